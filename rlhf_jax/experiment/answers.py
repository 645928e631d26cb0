"""What a policy answers to the held-out prompts: sampled, scored, and kept.

Answers are kept in the policy's stage folder as lines of JSON, one a response,
in a file that is named after all that they depend on.
"""

import functools
import math
import pathlib
from collections.abc import Mapping

import jax
import numpy as np

from rlhf_jax.addressing import Code
from rlhf_jax.evaluation import best_of_n
from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups
from rlhf_jax.experiment import definition, locks, responding
from rlhf_jax.experiment.addresses import stage_addresses, without_gold
from rlhf_jax.experiment.chain import Chain
from rlhf_jax.feedback import scoring
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import logps
from rlhf_jax.stages import Ensemble, members
from rlhf_jax.storage import files, seals
from rlhf_jax.training import stopping
from rlhf_jax.types import Message, Prompt, Response

# The columns of PolicySamples that a policy may lack.
SCORES = ('gold', 'proxy', 'kl')


def path(
  experiment: definition.Experiment,
  addresses: Mapping[str, str],
  stages_dir: pathlib.Path,
  policy: str,
) -> pathlib.Path:
  """Where a policy's answers are kept, by all that they depend on.

  That is the measure's prompts and sampling, the code that samples and scores,
  and the addresses of the policy, of the one that win rates and KL are against,
  of the scoring reward model, and of the data, which cover the model, the
  limits and the seed; and who judges. How many prompts go at a time is no part
  of it.
  """
  how = experiment.evaluation
  variant = definition.policy_variants(experiment)[policy]
  judge = responding.scoring_model(experiment, variant.policy)
  condition = variant.condition
  key = Code().digest(
    {
      'prompts': addresses.get(how.prompts, how.prompts),
      'count': how.count,
      'samples': how.samples,
      'temperature': temperature_of(variant, how),
      'policy': addresses[variant.policy],
      'condition': condition and condition.text,
      'best_of': variant.best_of,
      'against': addresses[how.against],
      'reward': judge and [addresses[name] for name in members(judge)],
      'combine': isinstance(judge, Ensemble) and judge.combine,
      'data': addresses['data'],
      'gold': without_gold(experiment.data)[1],
    },
    (experiment.model, experiment.limits, experiment.seed),
    sample,
  )
  folder = pathlib.Path(stages_dir) / addresses[variant.policy]
  return folder / f'answers-{key}.jsonl'


def paths(
  experiment: definition.Experiment, stages_dir: str | pathlib.Path
) -> dict[str, pathlib.Path]:
  """Where the answers of every policy of an experiment are kept, once there."""
  addresses = stage_addresses(experiment)
  return {
    name: path(experiment, addresses, pathlib.Path(stages_dir), name)
    for name in definition.policy_variants(experiment)
  }


def kept(chain: Chain, name: str) -> PolicySamples:
  """A policy's answers: those there are, or sampled where none are whole."""
  file = path(chain.experiment, chain.addresses, chain.stages_dir, name)
  with locks.alone(
    chain.stages_dir, file.name, who=name, console=chain.console
  ):
    files.sweep(file)
    if file.exists():
      try:
        return read(file, name)
      except seals.DamagedError:
        print(
          f'{name:>13}  answers again: {file} is damaged',
          file=chain.console,
          flush=True,
        )
    with scoring.during(f'evaluation of {name!r}'):
      write(file, sample(chain, name))
    return read(file, name)


def write(file: pathlib.Path, samples: PolicySamples) -> None:
  """Writes answers, with their checksum, whole or not at all."""
  said = [Response.of(text) for text in samples.responses]
  columns = {
    'response': [str(text) for text in said],
    'ids': [text.ids for text in said],
    'length': samples.lengths.tolist(),
    'ended': samples.ended.tolist(),
  }
  for name in SCORES:
    values = getattr(samples, name)
    if values is not None:
      numbers = np.asarray(values, float).tolist()
      columns[name] = [x if math.isfinite(x) else None for x in numbers]
  lines = []
  for row, prompt in enumerate(samples.prompts):
    asked = prompt._asdict() | {
      'messages': [message._asdict() for message in prompt.messages]
    }
    answered = {name: column[row] for name, column in columns.items()}
    if answered['ids'] is None:  # The text says it.
      del answered['ids']
    lines.append(asked | answered)
  numbers = prompt_groups(samples.prompts).tolist()
  seals.write_lines(
    file,
    [{'prompt': n} | line for n, line in zip(numbers, lines, strict=True)],
  )


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
    prompts=[
      Prompt(
        tuple(Message(**m) for m in row['messages']),
        row['kind'],
        row['where'],
        row['condition'],
        row['answer'],
      )
      for row in rows
    ],
    responses=[
      Response(row['response'], ended=row['ended'], ids=row.get('ids'))
      for row in rows
    ],
    lengths=np.array([row['length'] for row in rows]),
    ended=np.array([row['ended'] for row in rows]),
    **scores,
  )


def sample(chain: Chain, name: str) -> PolicySamples:
  """A policy's responses to the held-out prompts, prompt by prompt, scored."""
  how = chain.experiment.evaluation
  variant = definition.policy_variants(chain.experiment)[name]
  records = list(chain.records(how.prompts))[: how.count]
  temperature = temperature_of(variant, how)
  found: dict[str, list] = {
    k: [] for k in ('prompts', 'responses', 'lengths', 'ended', 'proxy', 'kl')
  }
  parts = responding.respond(
    chain,
    variant,
    records,
    chain.key(purpose(variant)),
    samples=how.samples,
    sampling=Sampling(temperature=temperature),
    batch_size=how.batch_size,
  )
  with jax.set_mesh(chain.mesh):
    reference = chain.params(how.against, 'policy')
    for part in parts:
      stopping.check()
      rows = {
        'prompts': [[e.prompt] * how.samples for e in part.examples],
        'responses': np.array(part.texts, object),
        'lengths': np.sum(part.rollouts.responses[1], axis=-1),
        'ended': part.rollouts.ended,
        'kl': _divergence(chain, variant, part, reference, temperature),
      }
      if part.scores is not None:
        rows['proxy'] = part.scores
      for field, values in rows.items():
        kept = values[: len(part.examples)]
        found[field] += (
          sum(kept, [])
          if field == 'prompts'
          else np.asarray(kept).reshape(-1).tolist()
        )
  gold, asked = chain.corpus.gold, found['prompts']
  if gold is not None:
    gold = scoring.ask(gold, asked, found['responses'])
  return PolicySamples(
    name=name,
    prompts=asked,
    responses=found['responses'],
    lengths=np.array(found['lengths']),
    ended=np.array(found['ended']),
    gold=gold,
    proxy=np.array(found['proxy']) if found['proxy'] else None,
    kl=np.array(found['kl']),
  )


def temperature_of(variant, how) -> float:
  """The variant's own temperature, or else the evaluation's."""
  given = variant.temperature
  return how.temperature if given is None else given


def purpose(variant) -> str:
  """Names the key of a variant's samples.

  Policies answer under one key, so that they differ in nothing else. The best
  of n is of samples of its own: it would be compared with its own candidates.
  """
  if variant.best_of == 1:
    return 'evaluation'
  return f'evaluation best of {variant.best_of}'


def _divergence(chain, variant, part, reference, temperature):
  """[B, K] log-ratios to the reference, in nats per response.

  Choosing the best of n adds log n − (n − 1) / n, which is exact where no two
  scores tie and an upper bound otherwise.
  """
  model = chain.models().policy
  params = chain.params(variant.policy, 'policy')
  ratios = _response_logps(model, params, part.rollouts, temperature)
  ratios -= _response_logps(model, reference, part.shown, temperature)
  return ratios + best_of_n.divergence(variant.best_of)


@functools.partial(jax.jit, static_argnums=0)
def _response_logps(model, params, batch, temperature):
  return logps.response_logps(
    model, params, batch=batch, temperature=temperature
  )
