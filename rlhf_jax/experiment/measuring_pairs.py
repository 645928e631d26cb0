"""Measuring how reward models tell pairs of responses apart."""

import collections
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rlhf_jax import processes, progress
from rlhf_jax.data.encoding import Counts, Example, undecided
from rlhf_jax.evaluation import preference_accuracy
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.experiment import dataset_validation
from rlhf_jax.experiment.answering import reward_name
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.definition import (
  Experiment,
  ExperimentError,
  implicit_rewards,
)
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.feedback import scoring
from rlhf_jax.stages import Ensemble, Learnt, names, producing
from rlhf_jax.training import stopping
from rlhf_jax.types import (
  Comparison,
  Params,
  Record,
  Reward,
  Scorer,
  prompt_of,
  responses_of,
)

# Examples of N pairs -> [N, 2] scores, in reward units.
Score = Callable[[Sequence[Example]], np.ndarray]


class PairSet(NamedTuple):
  """Pairs that rewards are measured on.

  Attributes:
    comparisons: N, the better response of each first.
    preferred: [N] chances that people prefer it, or None.
    further: {name: comparisons} made of the same policy's samples.
  """

  comparisons: Sequence[Comparison]
  preferred: np.ndarray | None = None
  further: Mapping[str, Sequence[Comparison]] = {}


def measure_reward_models(
  run: Run, samples: Mapping[str, PolicySamples]
) -> dict[tuple[str, str], preference_accuracy.PairMetrics]:
  """{(reward, whose pairs): how it did}: policies', ranked by gold.

  And on the comparisons that the evaluation names for it, if it names any. So
  too the evaluation's fitted rewards, by their names.
  """
  how, found = run.experiment.evaluation, {}
  pairs = pairs_of_policies(run, samples)

  def measure(name, data, score):
    dataset, own = how.pairs_of(name), {}
    if dataset is not None:
      own[dataset] = PairSet(shortest_first(run, held_out(run, dataset)))
    for whose, of in (pairs | own).items():
      found[name, whose] = measure_set(data, score, of)

  for model, reward in measured_rewards(run.experiment).items():
    with run.trained.while_needed():
      measure(model, *scored_by(run, reward))
  for name, fitted in how.fitted_rewards.items():
    datasets = names(fitted.data)
    reward = fitted.fit([c for d in datasets for c in run.data.records(d)])
    measure(name, run.data, functools.partial(text_scores, reward))
  return found


def scored_by(run: Run, reward: Learnt) -> tuple[Data, Score]:
  """How a reward reads pairs, and scores them."""
  data = run.trained.read_by(run.data, reward, 'reward')
  params = {'reward': run.trained.params(reward, 'reward')}
  return data, functools.partial(
    network_scores,
    data,
    run.trained.scorer(reward),
    params,
    batch_size=run.experiment.evaluation.batch_size,
  )


def measured_rewards(experiment: Experiment) -> dict[str, Learnt]:
  """Every reward model, and what is read as a reward, by name.

  That are policies, and the ensembles that policies learn from.
  """
  models = producing(experiment.stages, 'reward')
  policies = producing(experiment.stages, 'policy').values()
  ensembles = {
    reward_name(reward): reward
    for reward in (stage.frozen.get('reward') for stage in policies)
    if isinstance(reward, Ensemble)
  }
  return (
    {name: name for name in models} | implicit_rewards(experiment) | ensembles
  )


def pairs_of_policies(
  run: Run, samples: Mapping[str, PolicySamples]
) -> dict[str, PairSet]:
  """{policy: the pairs of its samples}, of those that gold ranks some of."""
  how, found = run.experiment.evaluation, {}
  for policy, answered in samples.items():
    if answered.gold is None or how.samples < 2:
      continue
    ranked = shortest_first(run, ranked_by_gold(answered, how.samples))
    if not ranked:
      continue
    preferred = None
    if how.preferred_by is not None:
      prompts = [pair.prompt for pair in ranked]
      responses = zip(*(pair.responses for pair in ranked), strict=True)
      preferred = scoring.ask(how.preferred_by, prompts, *responses)
    further = {
      name: shortest_first(run, make(answered.prompts, answered.responses))
      for name, make in how.sample_pairs.items()
    }
    found[policy] = PairSet(ranked, preferred, further)
  return found


def ranked_by_gold(samples: PolicySamples, per_prompt: int) -> list[Comparison]:
  """Pairs of each prompt's first two responses, the better by gold first.

  Pairs of equal gold have no better one, nor have those that gold could not
  score, and are left out.
  """
  found, said = [], samples.responses
  for first in range(0, len(samples.prompts), per_prompt):
    gap = samples.gold[first] - samples.gold[first + 1]
    if np.isfinite(gap) and gap != 0.0:
      pair = (said[first], said[first + 1])
      pair = pair if gap > 0.0 else pair[::-1]
      found.append(Comparison(samples.prompts[first], pair))
  return found


def measure_pairs(
  data: Data,
  scorer: Scorer,
  params: Params,
  comparisons: Sequence[Comparison],
  *,
  batch_size: int,
) -> preference_accuracy.PairMetrics:
  """How often the better of two responses scores higher, or is the longer.

  The first two responses of each count; at most `batch_size` go at a time.

  Args:
    data: how comparisons become batches.
    scorer: (params, Comparisons [B, 2, T]) -> scores [B, 2].
    params: by role.
    comparisons: the better response of each first.
    batch_size: B.

  Raises:
    ExperimentError: there is nothing to compare.
  """
  score = functools.partial(
    network_scores, data, scorer, params, batch_size=batch_size
  )
  return measure_set(data, score, PairSet(comparisons))


def measure_set(
  data: Data, score: Score, of: PairSet
) -> preference_accuracy.PairMetrics:
  """Measures the scores of a set of pairs.

  Raises:
    ExperimentError: there is nothing to compare.
  """
  examples, _ = decided(data, of.comparisons)
  if not examples:
    raise ExperimentError(
      f'of {len(of.comparisons)} comparisons none has a better response to '
      'measure reward models on; give evaluation.comparisons another dataset'
    )
  preferred = of.preferred
  if preferred is not None:
    preferred = preferred[[example.index for example in examples]]
  better, worse = score(examples).T
  lengths = np.array([list(map(len, e.response_ids)) for e in examples])
  metrics = preference_accuracy.measure(
    better,
    worse,
    prompts=_prompts(examples),
    better_lengths=lengths[:, 0],
    worse_lengths=lengths[:, 1],
    preferred=preferred,
  )
  further = {}
  for name, comparisons in of.further.items():
    examples, _ = decided(data, comparisons)
    if examples:
      further[name] = preference_accuracy.pair_accuracy(
        *score(examples).T, _prompts(examples)
      )
  return metrics._replace(further=further)


def network_scores(
  data: Data,
  scorer: Scorer,
  params: Params,
  examples: Sequence[Example],
  *,
  batch_size: int,
) -> np.ndarray:
  """[N, 2] scores of N pairs; arguments as of `measure_pairs`."""
  size = data.at_a_time(batch_size, 2)
  firsts, scores = range(0, len(examples), size), []
  with jax.set_mesh(data.mesh):
    for first in progress.track(
      firsts,
      'scoring',
      len(examples),
      out=data.console,
      unit='pair',
      each=size,
    ):
      stopping.check()
      some = examples[first : first + size]
      batch = data.batch(some, size)
      # The others fill the batch.
      real = np.arange(len(batch.weight)) < len(some)
      batch = batch.replace(weight=batch.weight * real)
      found = processes.on_host(scorer(params, batch))
      scores.append(found[: len(some)])
  return np.concatenate(scores)


def text_scores(reward: Reward, examples: Sequence[Example]) -> np.ndarray:
  """[N, 2] scores of N pairs by a reward of text."""
  sides = zip(*(example.record.responses for example in examples), strict=True)
  scores = [scoring.ask(reward, _prompts(examples), side) for side in sides]
  return np.stack(scores, axis=1)


def decided(
  data: Data, comparisons: Sequence[Comparison]
) -> tuple[list[Example], Counts]:
  """The first two responses of comparisons, where one of them is the better.

  Returns:
    Examples in the comparisons' order, whose `index` goes on counting them, and
    what was cut or left out: ties, too, whose order says nothing.

  Raises:
    ExperimentError: a comparison has one response.
  """
  dataset_validation.check_several(comparisons)
  examples, counts = data.encode_all(
    [
      c._replace(
        responses=c.responses[:2],
        scores=c.scores and c.scores[:2],
        models=c.models[:2],
      )
      for c in comparisons
    ]
  )
  reasons = list(map(undecided, examples))
  kept = [e for e, reason in zip(examples, reasons, strict=True) if not reason]
  return kept, counts._replace(**collections.Counter(filter(None, reasons)))


def held_out(run: Run, dataset: str) -> Sequence[Any]:
  """The records of a dataset that something is measured on."""
  return run.data.records(dataset)[: run.experiment.evaluation.held_out]


def shortest_first(run: Run, records: Sequence[Any]) -> Sequence[Any]:
  """The records, sorted where batches may be shorter than the limits."""
  if not run.experiment.limits.buckets:
    return records
  return sorted(records, key=letters)


def letters(record: Record) -> int:
  """Of all that is said before a response and of the longest response."""
  said = (len(message.content) for message in prompt_of(record).messages)
  return sum(said) + max(map(len, responses_of(record)), default=0)


def _prompts(examples):
  return [example.record.prompt for example in examples]
