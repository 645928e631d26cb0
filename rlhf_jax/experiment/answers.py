"""The answers of a variant of a policy: sampled, scored, and kept.

Answers to the held-out prompts are kept in the policy's stage folder, as lines
of JSON in a file that is named after all that they depend on.
"""

import collections
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax import processes, progress
from rlhf_jax.addressing import Code
from rlhf_jax.data import record_lines as records
from rlhf_jax.evaluation import best_of_n
from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups
from rlhf_jax.experiment.addresses import (
  own_part,
  stage_addresses,
  without_gold,
)
from rlhf_jax.experiment.definition import (
  Evaluation,
  Experiment,
  ExperimentError,
  PolicyVariant,
  policy_variants,
  reference_of,
)
from rlhf_jax.experiment.identities import identity
from rlhf_jax.experiment.models import AnsweredPrompts, respond
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.experiment.pretrained import with_text_rewards
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
  folder_of,
  producing,
  sources,
)
from rlhf_jax.storage import files, seals
from rlhf_jax.training import stopping
from rlhf_jax.types import Prompt, Response

# The columns of PolicySamples that a policy may lack.
SCORES = ('gold', 'score', 'kl')


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
  reward, trained = None, run.trained
  if scored or variant.best_of > 1:
    reward = scoring_reward(run.experiment, variant.policy)
  if variant.best_of > 1 and reward is None:
    raise ExperimentError(
      f'the best of {variant.best_of} is chosen by a reward, and no stage '
      'trains a reward model or learns from a program'
    )
  reward = trained.scored_by(reward, run.data)
  learnt = isinstance(reward, Learnt)
  return respond(
    run.data,
    run.models(reward, stage=variant.policy),
    trained.params(variant.policy, 'policy'),
    prompts,
    key,
    condition=variant.condition,
    best_of=variant.best_of,
    reward=trained.params(reward, 'reward') if learnt else reward,
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
    return folder_of(reward) or reward
  return '' if reward is None else scoring.named(reward)


def sample(run: Run, name: str) -> PolicySamples:
  """A policy's responses to the held-out prompts, prompt by prompt, scored."""
  how = run.experiment.evaluation
  variant = policy_variants(run.experiment)[name]
  temperature = temperature_of(variant, how)
  asked = list(run.data.records(how.prompts)[: how.count])
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
  size = run.data.at_a_time(how.batch_size, drawn)
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


def path(
  experiment: Experiment,
  addresses: Mapping[str, str],
  stages_dir: pathlib.Path,
  policy: str,
) -> pathlib.Path:
  """Where a policy's answers are kept, by all that they depend on.

  That is the measure's prompts and sampling, the code that samples and scores,
  and the addresses of the policy, of the one that win rates and KL are against,
  of what the scoring reward is read from, and of the data, which cover the
  model, the limits and the seed; a program that scores, by what it runs; and
  who judges. How many prompts go at a time is no part of it.
  """
  how = experiment.evaluation
  variant = policy_variants(experiment)[policy]
  reward = scoring_reward(experiment, variant.policy)
  parts = sources(reward, 'reward').values()
  condition = variant.condition
  key = Code().digest(
    {
      'prompts': addresses.get(how.prompts, how.prompts),
      'count': how.count,
      'samples': how.samples,
      'temperature': temperature_of(variant, how),
      'policy': identity(variant.policy, addresses),
      'condition': condition and condition.text,
      'best_of': variant.best_of,
      'against': identity(reference_of(experiment), addresses),
      'reward': [identity(part, addresses) for part in parts],
      'read': own_part(reward),
      'data': addresses['data'],
      'gold': without_gold(experiment.data)[1],
    },
    (experiment.model, experiment.limits, experiment.seed),
    sample,
  )
  # Those of a model that no stage trained are kept with the data.
  folder = addresses.get(variant.policy, addresses['data'])
  return pathlib.Path(stages_dir) / folder / f'answers-{key}.jsonl'


def paths(
  experiment: Experiment, stages_dir: str | pathlib.Path
) -> dict[str, pathlib.Path]:
  """Where the answers of every policy of an experiment are kept, once there."""
  addresses = stage_addresses(experiment)
  experiment = with_text_rewards(experiment)
  return {
    name: path(experiment, addresses, pathlib.Path(stages_dir), name)
    for name in policy_variants(experiment)
  }


def answer(run: Run, name: str) -> PolicySamples:
  """A policy's answers: those that are kept, or sampled where none are whole.

  What is loaded for them is dropped after them.
  """
  folders = run.folders
  file = path(run.experiment, folders.addresses, folders.root, name)

  def kept():
    files.sweep(file)
    if not file.exists():
      return None
    try:
      return read(file, name)
    except seals.DamagedError:
      run.tell(name, f'answers again: {file} is damaged')

  with folders.lock(name, file.name).alone(), run.trained.while_needed():
    if (found := processes.by_first(kept)) is not None:
      return found
    with scoring.during(f'evaluation of {name!r}'):
      samples = sample(run, name)
    processes.by_first(lambda: write(file, samples))
    return processes.by_first(lambda: read(file, name))


def write(file: pathlib.Path, samples: PolicySamples) -> None:
  """Writes answers, with their checksum, whole or not at all."""
  files.make_folder(file.parent)
  scores = {
    name: values
    for name in SCORES
    if (values := getattr(samples, name)) is not None
  }
  rows = []
  for place, group in enumerate(prompt_groups(samples.prompts).tolist()):
    prompt, said = samples.prompts[place], samples.responses[place]
    row = {'prompt': group} | records.prompt_row(prompt)
    row |= {
      'where': prompt.where,
      'response': str(said),
      'length': samples.lengths[place].item(),
      'ended': samples.ended[place].item(),
      'scored_by': samples.scored_by,
    }
    if (ids := Response.of(said).ids) is not None:
      row['ids'] = ids
    for name, values in scores.items():  # JSON has no NaN.
      row[name] = float(values[place]) if np.isfinite(values[place]) else None
    rows.append(row)
  seals.write_lines(file, rows)


def read(file: pathlib.Path, policy: str) -> PolicySamples:
  """The answers that were written, every number as it was, in float64.

  Raises:
    DamagedError: the file is not what was written.
  """
  rows = seals.read_lines(file)
  scores = {
    name: np.array([row[name] for row in rows], float)
    for name in SCORES
    if name in rows[0]
  }
  return PolicySamples(
    name=policy,
    prompts=[records.parse_prompt(row, row['where']) for row in rows],
    responses=[
      Response(row['response'], ended=row['ended'], ids=row.get('ids'))
      for row in rows
    ],
    lengths=np.array([row['length'] for row in rows]),
    ended=np.array([row['ended'] for row in rows]),
    scored_by=rows[0]['scored_by'],
    **scores,
  )
