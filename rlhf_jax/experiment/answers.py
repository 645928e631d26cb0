"""The answers of a policy to the held-out prompts, as they are kept.

In the policy's stage folder, as lines of JSON in a file that is named after all
that they depend on.
"""

import pathlib
from collections.abc import Mapping

import numpy as np

from rlhf_jax import processes
from rlhf_jax.addressing import Code
from rlhf_jax.data import record_lines as records
from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups
from rlhf_jax.experiment import answering
from rlhf_jax.experiment.addresses import (
  own_part,
  stage_addresses,
  without_gold,
)
from rlhf_jax.experiment.definition import (
  Experiment,
  policy_variants,
  reference_of,
)
from rlhf_jax.experiment.identities import identity
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.experiment.pretrained import with_text_rewards
from rlhf_jax.feedback import scoring
from rlhf_jax.stages import sources
from rlhf_jax.storage import files, seals
from rlhf_jax.types import Response

# The columns of PolicySamples that a policy may lack.
SCORES = ('gold', 'score', 'kl')


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
  reward = answering.scoring_reward(experiment, variant.policy)
  parts = sources(reward, 'reward').values()
  condition = variant.condition
  key = Code().digest(
    {
      'prompts': addresses.get(how.prompts, how.prompts),
      'count': how.count,
      'samples': how.samples,
      'temperature': answering.temperature_of(variant, how),
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
    answering.sample,
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
      samples = answering.sample(run, name)
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
