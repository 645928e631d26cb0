"""A variant of a policy answers: its responses are sampled and scored."""

import collections
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax import processes, progress
from rlhf_jax.evaluation import best_of_n
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.experiment.definition import (
  Evaluation,
  Experiment,
  ExperimentError,
  PolicyVariant,
  policy_variants,
  reference_of,
)
from rlhf_jax.experiment.models import AnsweredPrompts, respond
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.feedback import scoring
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import logps
from rlhf_jax.stages import (
  DatasetStage,
  Ensemble,
  Frozen,
  ImplicitReward,
  Learnt,
  Pretrained,
  name_of,
  producing,
)
from rlhf_jax.training import stopping
from rlhf_jax.training.compile import make_room
from rlhf_jax.types import Prompt


def respond_as(
  run: Run,
  variant: PolicyVariant,
  prompts: Sequence[Prompt],
  key: jax.Array,
  *,
  scored: bool = True,
  **how: Any,
) -> Iterator[AnsweredPrompts]:
  """The answers of a variant of a trained policy; arguments as of `respond`.

  Without `scored`, scores are asked for only where the best is chosen.
  """
  reward = None
  if scored or variant.best_of > 1:
    reward = scoring_reward(run.experiment, variant.policy)
  if variant.best_of > 1 and reward is None:
    raise ExperimentError(
      f'the best of {variant.best_of} is chosen by a reward, and no stage '
      'trains a reward model or learns from a program'
    )
  reward = run.scored_by(reward, run.data)
  learnt = isinstance(reward, Learnt)
  return respond(
    run.data,
    run.models(reward, stage=variant.policy),
    run.trained.params(variant.policy, 'policy'),
    prompts,
    key,
    condition=variant.condition,
    best_of=variant.best_of,
    reward=run.trained.params(reward, 'reward') if learnt else reward,
    **how,
  )


def scoring_reward(
  experiment: Experiment, policy: str | Pretrained
) -> Frozen | None:
  """What scores a policy: the evaluation's own, or what the policy learnt from.

  Or else the first reward model of the experiment or, where no stage trains
  one, the first program or folder that a stage learns from; None without.
  """
  if experiment.evaluation.scored_by is not None:
    return experiment.evaluation.scored_by
  own, *frozen = (
    getattr(stage, 'frozen', {}).get('reward')
    for stage in (experiment.stages.get(policy), *experiment.stages.values())
    if not isinstance(stage, DatasetStage)
  )
  learnt = producing(experiment.stages, 'reward')
  found = (own, *learnt, *frozen)
  return next((reward for reward in found if reward is not None), None)


def reward_name(reward: Frozen | None) -> str:
  """What a report calls a reward: its stages or folder, or a program's path.

  One that is implicit has the name of its policy.
  """
  if isinstance(reward, Ensemble):
    return ' + '.join(map(reward_name, reward.members))
  if isinstance(reward, ImplicitReward):
    return reward_name(reward.policy)
  if isinstance(reward, str | Pretrained):
    return name_of(reward)
  return '' if reward is None else scoring.named(reward)


def sample(run: Run, name: str) -> PolicySamples:
  """A policy's responses to the held-out prompts, prompt by prompt, scored."""
  how = run.experiment.evaluation
  variant = policy_variants(run.experiment)[name]
  temperature = temperature_of(variant, how)
  asked = list(run.data.records(how.prompts)[: how.count])
  make_room()
  parts = respond_as(
    run,
    variant,
    asked,
    run.key(purpose(variant)),
    samples=how.samples,
    sampling=Sampling(temperature=temperature),
    batch_size=how.batch_size,
  )
  found = collections.defaultdict(list)
  drawn = how.samples * variant.best_of
  size = run.data.shared(run.data.at_a_time(how.batch_size, drawn))
  shown = progress.track(
    parts,
    f'{name} answers',
    len(asked),
    out=run.console,
    unit='prompt',
    each=size,
  )
  with jax.set_mesh(run.mesh):
    for part in shown:
      stopping.check()
      for field, values in _columns(run, variant, part, temperature).items():
        found[field] += values
  ended, most = found['ended'], run.experiment.limits.max_response_tokens
  if cut := ended.count(False):
    run.tell(name, f'{cut} of {len(ended)} responses cut at {most} tokens')
  gold = run.corpus.gold
  if gold is not None:
    with progress.waiting(f'{"gold":>13}  of {name}', out=run.console):
      gold = scoring.ask(gold, found['prompts'], found['responses'])
  return PolicySamples(
    name=name,
    prompts=found['prompts'],
    responses=found['responses'],
    lengths=np.array(found['lengths']),
    ended=np.array(found['ended']),
    gold=gold,
    score=np.array(found['score']) if found['score'] else None,
    kl=np.array(found['kl']),
    scored_by=reward_name(scoring_reward(run.experiment, variant.policy)),
  )


def _columns(run, variant, part, temperature):
  """{field of PolicySamples: its values} of some answers, gold left out."""
  pairs = zip(part.examples, part.texts, strict=True)
  arrays = {
    'lengths': part.rollouts.responses[1].sum(-1),
    'ended': part.rollouts.ended,
    'kl': _divergence(run, variant, part, temperature),
  }
  if part.scores is not None:
    arrays['score'] = part.scores
  return {
    'prompts': [e.prompt for e, texts in pairs for _ in texts],
    'responses': [text for texts in part.texts for text in texts],
  } | {
    field: values[: len(part.examples)].reshape(-1).tolist()
    for field, values in processes.on_host(arrays).items()
  }


def temperature_of(variant: PolicyVariant, how: Evaluation) -> float:
  """The variant's own temperature, or else the evaluation's."""
  given = variant.temperature
  return how.temperature if given is None else given


def purpose(variant: PolicyVariant) -> str:
  """Names the key of a variant's samples.

  Policies answer under one key, so that they differ in nothing else. The best
  of n is of samples of its own: it would be compared with its own candidates.
  """
  if variant.best_of == 1:
    return 'evaluation'
  return f'evaluation best of {variant.best_of}'


def _divergence(run, variant, part, temperature):
  """[B, K] log-ratios to the reference, in nats per response.

  Choosing the best of n adds log n − (n − 1) / n, which is exact where no two
  scores tie and an upper bound otherwise.
  """
  own, chosen = variant.policy, best_of_n.divergence(variant.best_of)
  if variant.condition is None and own == reference_of(run.experiment):
    # Nothing to read.
    return np.full(part.rollouts.ended.shape, chosen, np.float32)
  trained, batches = run.trained, (part.rollouts, part.shown)
  policy, reference = (
    logps_of(
      trained.models(source).policy,
      trained.params(source, 'policy'),
      batch,
      temperature,
    )
    for source, batch in zip(
      (variant.policy, reference_of(run.experiment)), batches, strict=True
    )
  )
  return policy - reference + chosen


@functools.partial(jax.jit, static_argnums=0)
def logps_of(model, params, batch, temperature=1.0):
  """`logps.response_logps`, compiled."""
  return logps.response_logps(
    model, params, batch=batch, temperature=temperature
  )
