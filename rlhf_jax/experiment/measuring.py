"""Measuring what the stages made: every policy, and every reward model."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax.data.encoding import Counts, Example, undecided
from rlhf_jax.evaluation import preference_accuracy, report
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.experiment import answers, definition, validation
from rlhf_jax.experiment.chain import Chain
from rlhf_jax.experiment.definition import (
  ExperimentError,
  policy_variants,
)
from rlhf_jax.feedback import scoring
from rlhf_jax.stages import Ensemble, Stage, graph
from rlhf_jax.training import metrics
from rlhf_jax.types import Comparison, prompt_of

# Facts of a stage that say what became of its data.
COUNTED = (*Counts._fields, 'unscored_responses')
SHARES = (
  ('unscored_share', 'of responses unscored'),
  ('undecided_share', 'of pairs without a verdict'),
)


def policies(chain: Chain) -> dict[str, Stage]:
  """The stages that trained a policy, in order."""
  return graph.producing(chain.experiment.stages, 'policy')


def warnings(chain: Chain, names: Sequence[str] | None = None) -> list[str]:
  """What is doubtful about the conditions that policies answer on.

  Args:
    chain: of the experiment.
    names: of the policies and variants that are looked at; all by default.
  """
  found = []
  for name, variant in policy_variants(chain.experiment).items():
    if variant.condition is None or (names and name not in names):
      continue
    records = chain.records(chain.experiment.stages[variant.policy].data)
    seen = sorted({prompt_of(record).condition for record in records})
    warning = variant.condition.warning(seen)
    if warning:
      found.append(f'{name}: {warning}')
  return found


def left_out(chain: Chain) -> list[str]:
  """What stages cut, left out or could not score, a line for each that did."""
  found = []
  for name in chain.experiment.stages:
    facts = chain.folder(name).facts()
    extra = getattr(chain.experiment.stages[name], 'extra_data', None)
    counted = [*COUNTED, *(f'{extra}_{k}' for k in COUNTED if extra)]
    said = [f'{facts[k]} {_words(k)}' for k in counted if facts.get(k)]
    said += [f'{facts[k]:.1%} {words}' for k, words in SHARES if facts.get(k)]
    if said:
      found.append(f'{name}: {", ".join(said)}.')
  return found


def left_out_of_evaluation(chain: Chain) -> list[str]:
  """What is cut or not measured of the held-out datasets, a line for each."""
  how = chain.experiment.evaluation
  asked = list(map(prompt_of, chain.records(how.prompts)))[: how.count]
  found = {how.prompts: chain.encode_all(asked)[1]}
  if how.comparisons and reward_models(chain):
    found[how.comparisons] = decided(chain, chain.records(how.comparisons))[1]
  lines = []
  for dataset, counts in found.items():
    said = [f'{n} {_words(k)}' for k, n in counts._asdict().items() if n]
    if said:
      lines.append(f'evaluation on {dataset}: {", ".join(said)}.')
  return lines


def decided(
  chain: Chain, comparisons: Sequence[Comparison]
) -> tuple[list[Example], Counts]:
  """The first two responses of comparisons, where one of them is the better.

  Returns:
    Examples in the comparisons' order, whose `index` goes on counting them, and
    what was cut or left out: ties, too, whose order says nothing.

  Raises:
    ExperimentError: a comparison has one response.
  """
  validation.check_several(comparisons)
  examples, counts = chain.encode_all(
    [
      c._replace(responses=c.responses[:2], scores=c.scores and c.scores[:2])
      for c in comparisons
    ]
  )
  reasons = list(map(undecided, examples))
  kept = [e for e, reason in zip(examples, reasons, strict=True) if not reason]
  return kept, counts._replace(**collections.Counter(filter(None, reasons)))


def _words(name: str) -> str:
  return name.replace('_', ' ')


def reward_models(chain: Chain) -> dict[str, Stage]:
  """The stages that trained a reward model, in order."""
  return graph.producing(chain.experiment.stages, 'reward')


def learnt_from(experiment: definition.Experiment) -> dict[str, str]:
  """{policy: the reward that trained it}, by name, of all that have one."""
  found = {}
  for name, variant in policy_variants(experiment).items():
    reward = experiment.stages[variant.policy].frozen.get('reward')
    if isinstance(reward, Ensemble):
      found[name] = ' + '.join(reward.members)
    elif reward is not None:
      found[name] = reward if isinstance(reward, str) else scoring.named(reward)
  return found


def answer(chain: Chain, name: str) -> PolicySamples:
  """A policy's responses, prompt by prompt, scored; sampled once and kept."""
  return answers.kept(chain, name)


def own_pairs(samples: PolicySamples, per_prompt: int) -> tuple[Any, Any]:
  """Indices of the better and the worse of each prompt's first two responses.

  Pairs of equal gold have no better one, nor have those that gold could not
  score, and are left out.
  """
  first = np.arange(0, len(samples.prompts), per_prompt)
  gold = samples.gold
  gaps = gold[first] - gold[first + 1]
  differ = np.isfinite(gaps) & (gaps != 0.0)
  a, b = first[differ], first[differ] + 1
  swap = gold[b] > gold[a]
  return np.where(swap, b, a), np.where(swap, a, b)


def measure_on_policies(
  chain: Chain, samples: Mapping[str, PolicySamples]
) -> dict[tuple[str, str], preference_accuracy.PairMetrics]:
  """Each reward model on pairs of each policy's samples, ranked by gold."""
  found = {}
  per_prompt = chain.experiment.evaluation.samples
  if chain.corpus.gold is None or per_prompt < 2:
    return found
  for model in reward_models(chain):
    apart = chain.apart()
    for policy, answered in samples.items():
      better, worse = own_pairs(answered, per_prompt)
      if not len(better):
        continue
      ranked = [
        Comparison(
          answered.prompts[b], (answered.responses[b], answered.responses[w])
        )
        for b, w in zip(better, worse, strict=True)
      ]
      found[model, policy] = measure_pairs(apart, model, ranked)
  return found


def measure_pairs(
  chain: Chain, model: str, comparisons: Sequence[Comparison]
) -> preference_accuracy.PairMetrics:
  """A reward model's accuracy on comparisons, beside always-the-longer.

  Raises:
    ExperimentError: there is nothing to compare.
  """
  examples, _ = decided(chain, comparisons)
  if not examples:
    raise ExperimentError(
      f'of {len(comparisons)} comparisons none has a better response to '
      f'measure {model!r} on; give evaluation.comparisons another dataset'
    )
  size = chain.at_a_time(chain.experiment.evaluation.batch_size, 2)
  frozen, scorer = (
    {'reward': chain.params(model, 'reward')},
    chain.models().scorer,
  )
  scores, lengths = [], []
  with jax.set_mesh(chain.mesh):
    for first in range(0, len(examples), size):
      some = examples[first : first + size]
      batch = chain.batch(some, size)
      scores.append(np.asarray(scorer(frozen, batch))[: len(some)])
      lengths += [list(map(len, example.response_ids)) for example in some]
  better, worse = np.concatenate(scores).T
  better_lengths, worse_lengths = np.array(lengths).T
  return preference_accuracy.measure(
    better,
    worse,
    prompts=[comparisons[example.index].prompt for example in examples],
    better_lengths=better_lengths,
    worse_lengths=worse_lengths,
  )


def learning_curves(chain: Chain) -> dict[str, dict[str, list[float]]]:
  """The metrics of every training stage, by name, with their steps."""
  return {
    name: report.columns(
      metrics.read_jsonl(chain.folder(name).path / 'metrics.jsonl')
    )
    for name, stage in chain.experiment.stages.items()
    if isinstance(stage, Stage)
  }


def reward_curves(
  columns: Mapping[str, Mapping[str, Sequence[float]]],
) -> dict[str, RewardCurve]:
  """KL, proxy and gold along the training of each online policy."""
  return {
    name: RewardCurve(
      *(np.array(column[key]) for key in ('step', 'kl', 'score')),
      gold=np.array(column['gold']) if 'gold' in column else None,
    )
    for name, column in columns.items()
    if {'step', 'kl', 'score'} <= set(column)
  }
