"""Models by role for one tokenizer, and a policy's answers to prompts."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rlhf_jax import processes
from rlhf_jax.data import at_hand, chat_templates
from rlhf_jax.data.encoding import Example
from rlhf_jax.data.templates import ChatFormat
from rlhf_jax.data.tokens import Tokenizer
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.definition import Condition, ExperimentError
from rlhf_jax.experiment.sampled import sampled
from rlhf_jax.feedback import scoring
from rlhf_jax.generation.decode import policy_sampler
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.models import (
  BOTTLENECK,
  Reading,
  TransformerConfig,
  language_model,
  last_token,
  scalar_model,
)
from rlhf_jax.types import (
  Comparison,
  Comparisons,
  Models,
  Params,
  Prompt,
  Response,
  Reward,
  Rollouts,
  Scorer,
)


def roles(
  model: TransformerConfig,
  absent: tuple[int, ...] = (),
  *,
  reward: TransformerConfig | None = None,
  critic: TransformerConfig | None = None,
  reading: Reading = last_token,
) -> Models:
  """Policy, reward model and critic, of one size unless others are given.

  `absent` ids are no tokens: the policy gives them probability 0. `reading` is
  the reward model's.
  """
  return Models(
    policy=language_model(model, absent),
    reward=scalar_model(reward or model, reading=reading),
    critic=scalar_model(critic or model),
    bottleneck=BOTTLENECK,
  )


def assembled(
  models: Models,
  tokenizer: Tokenizer,
  template: ChatFormat,
  *,
  max_response: int,
  scorer: Scorer | None = None,
) -> Models:
  """Models with a sampler of the policy's and a scorer.

  Args:
    models: by role.
    tokenizer, template: of the policy; they say what ends a response.
    max_response: tokens at most in a response.
    scorer: that of the models' own reward model where None.
  """
  sampler = policy_sampler(
    models.policy,
    max_response=max_response,
    stop_ids=template.stop_ids(tokenizer),
    pad_id=tokenizer.pad_id,
  )
  scorer = scorer or scoring.model_scorer(models.reward)
  return models._replace(sampler=sampler, scorer=scorer)


def models_of(
  model: TransformerConfig,
  tokenizer: Tokenizer,
  *,
  max_response: int = 512,
  reward: Reward | None = None,
  prompts: Sequence[Any] = (),
) -> Models:
  """Models of one size for a tokenizer, without an experiment.

  Args:
    model: the size of policy, reward model and critic.
    tokenizer: of all of them.
    max_response: tokens at most in a response.
    reward: (prompts, responses) -> scores, where a program scores.
    prompts: what it is asked about, as of `data.prompts`.
  """
  records, scorer = at_hand.prompt_records(prompts) if prompts else (), None
  if reward is not None:
    scorer = scoring.text_scorer(reward, records, tokenizer.decode_all)
  return assembled(
    roles(model, tokenizer.absent_ids(model.vocab_size)),
    tokenizer,
    chat_templates.of(tokenizer),
    max_response=max_response,
    scorer=scorer,
  )


class AnsweredPrompts(NamedTuple):
  """A policy's responses to some prompts.

  Attributes:
    examples: N prompts, without a condition.
    rollouts: Rollouts [B, K, T], B at least N, of what was sampled.
    shown: what judges see of them: the rollouts themselves or, of prompts with
      a condition, Comparisons [B, K, T] of the same responses without it.
    texts: N lists of K.
    scores: [B, K] by the reward, NaN where it gave none, or None without one.
  """

  examples: Sequence[Example]
  rollouts: Rollouts
  shown: Rollouts | Comparisons
  texts: list[list[Response]]
  scores: np.ndarray | None


def respond(
  data: Data,
  models: Models,
  policy: Params,
  records: Sequence[Prompt],
  key: jax.Array,
  *,
  samples: int,
  sampling: Sampling,
  batch_size: int,
  condition: Condition | None = None,
  best_of: int = 1,
  reward: Params | Reward | None = None,
) -> Iterator[AnsweredPrompts]:
  """A policy's answers to prompts, `batch_size` of them at a time.

  Args:
    data: of the experiment.
    models: whose sampler answers, and whose scorer scores.
    policy: the policy's parameters.
    records: prompts.
    key: of all; each sample's is folded from it and its prompt's place.
    samples: K, responses given to each prompt.
    sampling: of the responses.
    batch_size: B, or less where the experiment's `max_rows` says so.
    condition: what the policy reads right before its responses, or None.
    best_of: responses sampled for each that is given, which is the best.
    reward: a program that scores the text, or the parameters that the models'
      scorer scores with; without either there are no scores.
  """
  examples, _ = data.encode_all(records)
  asked = _conditioned(data, examples, condition)
  drawn = samples * best_of
  parts = sampled(
    data,
    models.sampler,
    models.sampler.load(policy),
    asked,
    key,
    samples=drawn,
    sampling=sampling,
    at_a_time=data.at_a_time(batch_size, drawn),
  )
  left = iter(examples)
  for conditioned, rollouts in parts:
    some = list(itertools.islice(left, len(conditioned)))
    shown, scores = rollouts, None
    if condition is not None:
      shown = _shown(data, some, rollouts)
    if callable(reward):
      scores = _asked(data, reward, some, rollouts)
    elif reward is not None:
      scores = models.scorer({'reward': reward}, shown)
    if best_of > 1:
      chosen = _best(scores, rollouts.ended, samples)
      rollouts, shown, scores = (
        _taken(tree, chosen) for tree in (rollouts, shown, scores)
      )
    texts = data.responses([e.prompt for e in conditioned], rollouts)
    yield AnsweredPrompts(some, rollouts, shown, texts, scores)


def _conditioned(data, examples, condition):
  """The examples on a condition, all of them; as they are on none."""
  if condition is None:
    return examples
  asked, _ = data.encode_all(
    [e.prompt._replace(condition=condition.text) for e in examples]
  )
  if len(asked) < len(examples):
    raise ExperimentError(
      f'the condition {condition.text!r} makes prompts longer than '
      'max_prompt_tokens; raise the limit'
    )
  return asked


def _shown(data, examples, rollouts):
  """The rollouts' responses to the prompts of `examples`, as Comparisons."""
  tokens, mask = processes.on_host(rollouts.responses)
  said = [
    example._replace(
      held=Comparison(example.prompt, ('',) * len(row)),
      response_ids=tuple(t[m].tolist() for t, m in zip(row, kept, strict=True)),
    )
    for example, row, kept in zip(examples, tokens, mask, strict=False)
  ]
  return data.batch(said, len(tokens), tokens.shape[1])


def _asked(data, reward, examples, rollouts):
  """[B, K] a program's scores; NaN where it gave none, 0 in rows of padding."""
  prompts = [e.prompt for e in examples]
  listed = data.responses(prompts, rollouts)
  asked = [p for p, texts in zip(prompts, listed, strict=True) for _ in texts]
  scores = np.zeros(rollouts.ended.shape)
  said = scoring.ask(reward, asked, [text for row in listed for text in row])
  scores[: len(prompts)] = said.reshape(len(prompts), -1)
  return scores


def _best(scores, ended, count):
  """[B, count] places of the best of each of `count` equal shares.

  Of responses that could be scored, and of these those that ended, where any of
  the share did.

  Raises:
    ScoringError: in a share none could be scored.
  """
  rows = scores.shape[0]
  scores = processes.on_host(scores).reshape(rows, count, -1)
  ended = processes.on_host(ended).reshape(scores.shape)
  scored = np.isfinite(scores)
  if not scored.any(-1).all():
    raise scoring.ScoringError(
      f'none of {scores.shape[-1]} samples of a prompt has a score, so that '
      'none is the best; are the numbers of the reward finite?'
    )
  whole = ended & scored
  valid = np.where(whole.any(-1, keepdims=True), whole, scored)
  best = np.argmax(np.where(valid, scores, -np.inf), axis=-1)
  return best + scores.shape[-1] * np.arange(count)


def _taken(tree, chosen):
  """The chosen candidates [B, count] of every array [B, K, …] of a batch."""
  rows = np.arange(len(chosen))[:, None]
  return jax.tree.map(lambda x: x[rows, chosen] if x.ndim > 1 else x, tree)
