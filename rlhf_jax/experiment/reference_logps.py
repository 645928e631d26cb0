"""Log-probs of a frozen reference, computed once and kept with the data.

A file holds them by example (a digest of its prompt's and responses' ids), and
its name says whose they are (a digest of the address of the reference's stage,
and one of the model and the code that read them), so what was computed for
other data or another reference is never taken for them. The reference is read
only where something is to be computed.
"""

import functools
import json
import pathlib
from collections.abc import Callable, Sequence

import jax

from rlhf_jax import processes, progress
from rlhf_jax.addressing import Code, hashed
from rlhf_jax.data.collation import collate
from rlhf_jax.data.examples import Example, With, candidates
from rlhf_jax.experiment.beginning import frozen_params
from rlhf_jax.experiment.identities import identity
from rlhf_jax.experiment.models import roles
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.stages import names
from rlhf_jax.storage import files, seals
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Models, Params


def attach(
  run: Run,
  name: str,
  examples: Sequence[Example],
  own: Callable[[], Params],
  models: Models,
) -> Sequence[Example]:
  """A stage's examples with the reference's log-probs, computed if need be.

  The examples as they are where the stage's objective reads no reference.

  Args:
    run: of the stage.
    name: the stage's.
    examples: of what it learns from.
    own: what it trains as it was at its start, as of `frozen_params`.
    models: the stage's.
  """
  path = file(run, name)
  # Stages that run side by side may need the same.
  with run.folders.lock(name, path.name).alone():
    processes.by_first(lambda: files.sweep(path))
    known = processes.in_turn(lambda: read(path))
    digests = list(map(digest, examples))
    new = [place for place, d in enumerate(digests) if d not in known]
    if new:
      found = _computed(run, name, examples, new, own, models)
      if found is None:
        return examples
      known |= found
      processes.by_first(lambda: _write(path, known))
  return With(examples, 'reference_logps', [tuple(known[d]) for d in digests])


def _computed(run, name, examples, places, own, models):
  """{digest: log-probs} of some, or None where the objective reads none."""
  stage, known = run.experiment.stages[name], {}
  options = {'models': models, 'config': stage.config}
  size = stage.config.batch_size // stage.config.micro_batches
  most = int(candidates(examples)[places].max())
  shown = progress.Progress(
    f'{name} reference', len(places), out=run.console, unit='example'
  )
  with jax.set_mesh(run.mesh), run.trained.while_needed():
    frozen = None
    for first in range(0, len(places), size):
      some = [examples[place] for place in places[first : first + size]]
      batch = run.data.batch(some, size, most)
      if frozen is None:
        if not _is_read(stage, batch, options):
          return None
        unread = stage.frozen.keys() - {'reference'}
        frozen = frozen_params(run.trained, name, own, unread)
      values = jitted(stage.precompute)(frozen, batch, **options)
      rows = processes.on_host(values)
      for example, row in zip(some, rows, strict=False):
        known[digest(example)] = row[: len(example.response_ids)].tolist()
      shown.show(first + len(some), {})
  return known


def _is_read(stage, batch, options):
  """Whether the objective reads a reference."""
  shapes = jax.eval_shape(options['models'].policy.init, jax.random.key(0))
  precompute = functools.partial(stage.precompute, **options)
  return jax.eval_shape(precompute, {'reference': shapes}, batch) is not None


def file(run: Run, name: str) -> pathlib.Path:
  """Where the log-probs of a stage's data under its reference are kept.

  In the folder of the last dataset that a stage wrote, or of the source's.
  """
  stage = run.experiment.stages[name]
  model = run.trained.config(stage.start.get('policy'), 'policy')
  datasets, addresses = names(stage.data), run.folders.addresses
  # A fresh policy is its own reference, and only its stage says which it is.
  source = stage.frozen['reference']
  reference = identity(name if source is None else source, addresses)
  absent = run.corpus.tokenizer.absent_ids(model.vocab_size)
  summed = getattr(stage.config, 'response_logps', None)
  parts = (
    '-'.join(datasets),
    hashed(reference)[:16],
    Code().digest(stage.precompute, summed, model, absent, roles, collate),
  )
  written = [d for d in datasets if d in run.experiment.stages]
  owner = written[-1] if written else 'data'
  return run.folders[owner].path / f'reference_logps-{"-".join(parts)}.jsonl'


def digest(example: Example) -> str:
  """Changes when a token of an example's prompt or responses does."""
  return hashed(json.dumps([example.prompt_ids, example.response_ids]))[:24]


def _write(path, known):
  files.make_folder(path.parent)
  rows = ({'example': k, 'logps': list(v)} for k, v in known.items())
  seals.write_lines(path, rows)


def read(path: pathlib.Path) -> dict[str, list[float]]:
  """{example's digest: log-probs of its responses}; {} without a whole file."""
  if not path.exists():
    return {}
  try:
    rows = seals.read_lines(path)
  except seals.DamagedError:
    return {}  # They are computed again.
  return {row['example']: row['logps'] for row in rows}
