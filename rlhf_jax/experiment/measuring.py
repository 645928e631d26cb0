"""Measuring what the stages made: every policy, and every reward model."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax.evaluation import preference_accuracy, report
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.experiment import running
from rlhf_jax.experiment.chain import Chain
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import logps
from rlhf_jax.stages import Stage
from rlhf_jax.training import metrics
from rlhf_jax.types import Comparison


def policies(chain: Chain) -> dict[str, Stage]:
  """The stages that trained a policy, in order."""
  return _producing(chain, 'policy')


def reward_models(chain: Chain) -> dict[str, Stage]:
  """The stages that trained a reward model, in order."""
  return _producing(chain, 'reward')


def _producing(chain, role):
  return {
    name: stage
    for name, stage in chain.experiment.stages.items()
    if isinstance(stage, Stage) and stage.produces == role
  }


def answer(chain: Chain, name: str) -> PolicySamples:
  """A policy's responses to the held-out prompts, prompt by prompt, scored."""
  how = chain.experiment.evaluation
  examples, _ = chain.encode(list(chain.records(how.prompts))[: how.count])
  models = chain.models()
  params = chain.params(name, 'policy')
  reference = chain.params(how.against, 'policy')
  judged_by = scoring_model(chain, name)
  frozen = {'reward': chain.params(judged_by, 'reward')} if judged_by else None
  found: dict[str, list] = {
    k: [] for k in ('responses', 'lengths', 'ended', 'proxy', 'kl')
  }
  with jax.set_mesh(chain.mesh):
    for first in range(0, len(examples), how.batch_size):
      some = examples[first : first + how.batch_size]
      rollouts = models.sampler(
        params,
        running.prompt_batch(chain, some, first, how.batch_size),
        chain.key('evaluation'),
        samples=how.samples,
        sampling=Sampling(temperature=how.temperature),
      )
      texts = chain.texts(rollouts)
      kl = _log_ratio(
        models.policy, params, reference, rollouts, how.temperature
      )
      rows = {
        'responses': np.array(texts, object),
        'lengths': np.sum(rollouts.responses[1], axis=-1),
        'ended': rollouts.ended,
        'kl': kl,
      }
      if frozen:
        rows['proxy'] = models.scorer(frozen, rollouts)
      for field, values in rows.items():
        found[field] += np.asarray(values)[: len(some)].reshape(-1).tolist()
  asked = [e.prompt for e in examples for _ in range(how.samples)]
  gold = chain.corpus.gold
  return PolicySamples(
    name=name,
    prompts=asked,
    responses=found['responses'],
    lengths=np.array(found['lengths']),
    ended=np.array(found['ended']),
    gold=None if gold is None else np.asarray(gold(asked, found['responses'])),
    proxy=np.array(found['proxy']) if frozen else None,
    kl=np.array(found['kl']),
  )


def scoring_model(chain: Chain, policy: str) -> str | None:
  """The reward model that a policy learnt from, or else the chain's first."""
  own = chain.experiment.stages[policy].frozen.get('reward')
  return own if isinstance(own, str) else next(iter(reward_models(chain)), None)


@functools.partial(jax.jit, static_argnums=(0,))
def _log_ratio(model, params, reference, rollouts, temperature):
  score = functools.partial(
    logps.response_logps, model, batch=rollouts, temperature=temperature
  )
  return score(params) - score(reference)


def own_pairs(samples: PolicySamples, per_prompt: int) -> tuple[Any, Any]:
  """Indices of the better and the worse of each prompt's first two responses.

  Pairs of equal gold have no better one, and are left out.
  """
  first = np.arange(0, len(samples.prompts), per_prompt)
  gold = samples.gold
  differ = gold[first] != gold[first + 1]
  a, b = first[differ], first[differ] + 1
  swap = gold[b] > gold[a]
  return np.where(swap, b, a), np.where(swap, a, b)


def measure_on_policies(
  chain: Chain, samples: Mapping[str, PolicySamples]
) -> dict[str, preference_accuracy.PairMetrics]:
  """Each reward model on pairs of each policy's samples, ranked by gold."""
  found = {}
  per_prompt = chain.experiment.evaluation.samples
  if chain.corpus.gold is None or per_prompt < 2:
    return found
  for model in reward_models(chain):
    for policy, answers in samples.items():
      better, worse = own_pairs(answers, per_prompt)
      if not len(better):
        continue
      ranked = [
        Comparison(
          answers.prompts[b], (answers.responses[b], answers.responses[w])
        )
        for b, w in zip(better, worse, strict=True)
      ]
      found[f'{model} on {policy} pairs'] = measure_pairs(chain, model, ranked)
  return found


def measure_pairs(
  chain: Chain, model: str, comparisons: Sequence[Comparison]
) -> preference_accuracy.PairMetrics:
  """A reward model's accuracy on comparisons, beside always-the-longer."""
  examples, _ = chain.encode(comparisons)
  size = chain.experiment.evaluation.batch_size
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
  better, worse = np.concatenate(scores)[:, :2].T
  better_lengths, worse_lengths = np.array(lengths)[:, :2].T
  return preference_accuracy.measure(
    better,
    worse,
    prompts=[comparisons[example.index].prompt for example in examples],
    better_lengths=better_lengths,
    worse_lengths=worse_lengths,
  )


def learning_curves(chain: Chain) -> dict[str, dict[str, list[float]]]:
  """The metrics of every training stage, by name, with their steps."""
  trained = {**policies(chain), **reward_models(chain)}
  return {
    name: report.columns(
      metrics.read_jsonl(chain.folder(name).path / 'metrics.jsonl')
    )
    for name in chain.experiment.stages
    if name in trained
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
