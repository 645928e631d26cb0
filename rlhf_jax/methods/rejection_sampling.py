"""Rejection-sampling fine-tuning over rounds, as Llama 2-Chat's.

A round samples K responses to each prompt from the newest policy (its *bag*),
chooses the best response to each prompt out of the bags so far, and fine-tunes
on these, from the SFT policy anew or from the policy of the round before.

Choosing from the last bag alone raises the reward and forgets what its prompts
do not ask for; choosing from the archive of all bags keeps it. Scores of
different reward models do not compare, so whatever is chosen from is scored
anew by the newest. Best of n (one round), RAFT (rounds within one stage) and
this are one idea at different intervals.

Source: Touvron et al. 2023 (Llama 2), §3.2.3.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

from rlhf_jax.feedback import ranking
from rlhf_jax.generation.sampling import PerPrompt, Sampling
from rlhf_jax.learners import likelihood
from rlhf_jax.stages import DatasetMethod, DatasetStage, Frozen, Method, Stage
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison, Demonstration, Prompt, Record, prompt_of
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = likelihood.loss
update = likelihood.update


def every(prompt: Prompt) -> bool:
  """All prompts are asked."""
  del prompt
  return True


def of_kinds(prompt: Prompt, *, kinds: Collection[str]) -> bool:
  """Prompts of these kinds alone are asked."""
  return prompt.kind in kinds


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Bag(PerPrompt):
  """How a round's responses are sampled; Llama 2 does not say how many.

  The best temperature grows from round to round, and with their number K.

  Attributes:
    asks: prompt -> whether this round asks it: `every`, `of_kinds`.
  """

  samples: Count = 8
  asks: Callable[[Prompt], bool] = every
  sampling: Sampling = Sampling(temperature=1.2)


def fill(
  records: Sequence[Record], queries: Any, *, config: Bag
) -> list[Comparison]:
  """A Comparison of each prompt's different responses, with their scores.

  Of those that ended. There may be a single one; prompts where none ended have
  no Comparison.
  """
  # All are sampled, asked or not: a sample's key is that of its place.
  sampled = queries.sample(
    samples=config.samples, sampling=config.sampling, ended=True
  )
  asked = [
    (prompt_of(record), texts)
    for record, texts in zip(records, sampled, strict=True)
    if config.asks(prompt_of(record))
  ]
  prompts, texts = ([pair[i] for pair in asked] for i in (0, 1))
  return ranking.by_reward(prompts, texts, queries)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Selection:
  """Chooses among all responses at once, each prompt's from all bags.

  Attributes:
    top: how many of each bag's responses to a prompt are looked at, the best by
      the score that they got when sampled; None for all. The newest bag loses
      nothing by it; of earlier ones Llama 2 keeps the best, it does not say how
      many.
    count: prompts; None takes all.
    batch_size: None, since a prompt's responses are spread over the bags.
  """

  top: Count | None = None
  count: Count | None = None
  batch_size: Count | None = None

  def __post_init__(self):
    if self.batch_size is not None:
      raise ValueError(
        f'batch_size is {self.batch_size}; a selection looks at all bags at '
        'once, so leave it None'
      )


def choose(
  records: Sequence[Comparison], queries: Any, *, config: Selection
) -> list[Demonstration]:
  """A Demonstration of each prompt's best response in all bags.

  Bags are Comparisons; those of one prompt (the same messages) are united,
  and scored anew by the frozen reward.
  """
  prompts: dict[tuple, Prompt] = {}
  united: dict[tuple, list[str]] = {}
  for bag in records:
    prompts.setdefault(bag.prompt.messages, bag.prompt)
    united.setdefault(bag.prompt.messages, []).extend(
      bag.responses[: config.top]
    )
  asked = list(prompts.values())
  return [
    Demonstration(found.prompt, found.responses[0])
    for found in ranking.by_reward(asked, list(united.values()), queries)
  ]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(likelihood.Config, optimizers.Steps):
  """Llama 2's values of SFT (§3.1), but for the steps.

  Those of its rejection sampling are not said.
  """

  batch_size: Count = 64
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=2e-5,
    decay=functools.partial(optimizers.cosine, final=0.1),
    weight_decay=0.1,
  )


# A policy's responses, ranked.
bag_stages = DatasetMethod(
  name='bag',
  data='prompts',
  build=fill,
  builds=Comparison,
  policy='policy',
  frozen={'reward': 'reward'},
)


# The best response to each prompt of one bag, or of several.
selection_stages = DatasetMethod(
  name='selection',
  data=('bag',),
  reads=(Comparison,),
  build=choose,
  builds=Demonstration,
  frozen={'reward': 'reward'},
)


# On what was selected.
stages = Method(
  name='rejection_sampling',
  data='selection',
  reads=(Demonstration,),
  init=likelihood.init,
  update=update,
)


def archive(bags: Sequence[str]) -> Sequence[str]:
  """All bags so far are chosen from: what Llama 2 ended with."""
  return bags


def newest(bags: Sequence[str]) -> Sequence[str]:
  """The newest bag alone is chosen from: what Llama 2 began with."""
  return bags[-1:]


def rounds(
  config: Config,
  bags: Sequence[Bag],
  *,
  selection: Selection = Selection(),
  kept: Callable[[Sequence[str]], Sequence[str]] = archive,
  earlier: Sequence[str] = (),
  data: str = 'prompts',
  policy: str = 'sft',
  start: str = 'sft',
  reward: Frozen = 'reward_model',
  name: str = 'rejection_sampling',
) -> dict[str, Stage | DatasetStage]:
  """{name}_1_bag, {name}_1_selection, {name}_1, {name}_2_bag, …: a round a Bag.

  Each round samples the policy of the one before and fine-tunes `start` anew.
  Where people annotate between rounds and the reward model is trained again,
  lay them out one by one: each with the `earlier` bags and the newest reward.

  Args:
    config: of every fine-tuning.
    bags: how each round samples.
    selection: how each round chooses.
    kept: names of all bags so far -> those chosen from: `archive`, `newest`.
    earlier: bags of rounds before these, which count as rounds.
    data: prompts.
    policy: what the first of these rounds samples.
    start: the policy that every round fine-tunes.
    reward: what ranks and chooses.
    name: what the rounds' names begin with.
  """
  found: dict[str, Stage | DatasetStage] = {}
  filled = [*earlier]
  for number, bag in enumerate(bags, len(earlier) + 1):
    trained = f'{name}_{number}'
    own, selected = f'{trained}_bag', f'{trained}_selection'
    filled.append(own)
    found |= bag_stages(bag, data=data, policy=policy, reward=reward, name=own)
    found |= selection_stages(
      selection, data=tuple(kept(filled)), reward=reward, name=selected
    )
    found |= stages(config, data=selected, start=start, name=trained)
    policy = trained
  return found
