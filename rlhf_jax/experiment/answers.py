"""What a policy answers to the held-out prompts: sampled, scored, and kept.

Answers are kept in the policy's stage folder as lines of JSON, one a response,
in a file that is named after all that they depend on.
"""

import functools
import inspect
import json
import os
import pathlib
import sys
import uuid
from collections.abc import Mapping

import jax
import numpy as np

from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups
from rlhf_jax.experiment import definition, store
from rlhf_jax.experiment.chain import Chain
from rlhf_jax.experiment.describe import code_version, describe, digest
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import logps
from rlhf_jax.types import Message, Prompt

CODE = (
  *store.MODEL_CODE,
  *store.SAMPLING_CODE,
  'rlhf_jax.kernels.logps',
  'rlhf_jax.data.collation',
  'rlhf_jax.data.encoding',
)
# The columns of PolicySamples that a policy may lack.
SCORES = ('gold', 'proxy', 'kl')


def path(
  experiment: definition.Experiment,
  addresses: Mapping[str, str],
  stages_dir: pathlib.Path,
  policy: str,
) -> pathlib.Path:
  """Where a policy's answers are kept, by all that they depend on.

  That is the measure's prompts and sampling, this module and the code that it
  runs, and the addresses of the policy, of the one that win rates and KL are
  against, of the scoring reward model, and of the data, which cover the model,
  the limits, the seed and gold. How many prompts go at a time is no part of it.
  """
  how, judge = experiment.evaluation, scoring_model(experiment, policy)
  key = digest(
    {
      'prompts': addresses.get(how.prompts, how.prompts),
      'count': how.count,
      'samples': how.samples,
      'temperature': how.temperature,
      'policy': addresses[policy],
      'against': addresses[how.against],
      'reward': judge and addresses[judge],
      'data': addresses['data'],
    },
    describe((experiment.model, experiment.limits, experiment.seed)),
    _code(),
  )
  return pathlib.Path(stages_dir) / addresses[policy] / f'answers-{key}.jsonl'


@functools.cache
def _code():
  return code_version(None, CODE), inspect.getsource(sys.modules[__name__])


def paths(
  experiment: definition.Experiment, stages_dir: str | pathlib.Path
) -> dict[str, pathlib.Path]:
  """Where the answers of every policy of an experiment are kept, once there."""
  addresses = store.addresses(experiment)
  return {
    name: path(experiment, addresses, pathlib.Path(stages_dir), name)
    for name in definition.producing(experiment.stages, 'policy')
  }


def write(file: pathlib.Path, samples: PolicySamples) -> None:
  """Writes answers whole or not at all, whoever else writes them too."""
  columns = {
    'response': samples.responses,
    'length': samples.lengths.tolist(),
    'ended': samples.ended.tolist(),
  }
  for name in SCORES:
    values = getattr(samples, name)
    if values is not None:
      columns[name] = np.asarray(values, float).tolist()
  lines = []
  for row, prompt in enumerate(samples.prompts):
    asked = prompt._asdict() | {
      'messages': [message._asdict() for message in prompt.messages]
    }
    lines.append(
      asked | {name: column[row] for name, column in columns.items()}
    )
  numbers = prompt_groups(samples.prompts).tolist()
  partial = file.with_name(f'{file.name}-{uuid.uuid4().hex}.partial')
  partial.write_text(
    ''.join(
      json.dumps({'prompt': number} | line) + '\n'
      for number, line in zip(numbers, lines, strict=True)
    )
  )
  os.replace(partial, file)


def read(file: pathlib.Path, policy: str) -> PolicySamples:
  """The answers that were written, every number as it was, in float64."""
  rows = [json.loads(line) for line in file.read_text().splitlines()]
  scores = {
    name: np.array([row[name] for row in rows], float)
    for name in SCORES
    if name in rows[0]
  }
  return PolicySamples(
    name=policy,
    prompts=[
      Prompt(
        tuple(Message(**m) for m in row['messages']), row['kind'], row['where']
      )
      for row in rows
    ],
    responses=[row['response'] for row in rows],
    lengths=np.array([row['length'] for row in rows]),
    ended=np.array([row['ended'] for row in rows]),
    **scores,
  )


def sample(chain: Chain, name: str) -> PolicySamples:
  """A policy's responses to the held-out prompts, prompt by prompt, scored."""
  how = chain.experiment.evaluation
  examples, _ = chain.encode(list(chain.records(how.prompts))[: how.count])
  models = chain.models()
  params = chain.params(name, 'policy')
  reference = chain.params(how.against, 'policy')
  judge = scoring_model(chain.experiment, name)
  frozen = {'reward': chain.params(judge, 'reward')} if judge else None
  found: dict[str, list] = {
    k: [] for k in ('responses', 'lengths', 'ended', 'proxy', 'kl')
  }
  with jax.set_mesh(chain.mesh):
    for first in range(0, len(examples), how.batch_size):
      some = examples[first : first + how.batch_size]
      rollouts = models.sampler(
        params,
        chain.prompts(some, first, how.batch_size),
        chain.key('evaluation'),
        samples=how.samples,
        sampling=Sampling(temperature=how.temperature),
      )
      rows = {
        'responses': np.array(chain.texts(rollouts), object),
        'lengths': np.sum(rollouts.responses[1], axis=-1),
        'ended': rollouts.ended,
        'kl': _log_ratio(
          models.policy, params, reference, rollouts, how.temperature
        ),
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


def scoring_model(experiment: definition.Experiment, policy: str) -> str | None:
  """The reward model that a policy learnt from, or else the chain's first."""
  own = experiment.stages[policy].frozen.get('reward')
  if isinstance(own, str):
    return own
  return next(iter(definition.producing(experiment.stages, 'reward')), None)


@functools.partial(jax.jit, static_argnums=(0,))
def _log_ratio(model, params, reference, rollouts, temperature):
  score = functools.partial(
    logps.response_logps, model, batch=rollouts, temperature=temperature
  )
  return score(params) - score(reference)
