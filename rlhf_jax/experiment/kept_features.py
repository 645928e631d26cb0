"""Features of a trunk that stays, computed once and kept with the data.

A file holds them by example (a digest of its prompt's and responses' ids), and
its name says whose they are (a digest of the addresses that the trunk starts
from, and one of the model and the code that read them), so what was computed
for other data or another trunk is never taken for them.
"""

import base64
import pathlib
from collections.abc import Callable, Sequence

import jax
import numpy as np

from rlhf_jax import processes, progress
from rlhf_jax.addressing import Code, digest
from rlhf_jax.data.collation import collate
from rlhf_jax.data.examples import Example, With, candidates, lengths
from rlhf_jax.experiment import reference_logps
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.identities import identity
from rlhf_jax.experiment.models import roles
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.stages import Pretrained, names
from rlhf_jax.storage import files, seals
from rlhf_jax.training import stopping
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Models, Params


def attach(
  run: Run,
  name: str,
  examples: Sequence[Example],
  own: Callable[[], Params],
  models: Models,
  data: Data,
) -> Sequence[Example]:
  """A stage's examples with their features, computed if need be.

  Args:
    run: of the stage.
    name: the stage's.
    examples: of comparisons.
    own: gives what the stage trains as it was at its start, by role.
    models: the stage's.
    data: that the examples are of.
  """
  path = file(run, name)
  digests = list(map(reference_logps.digest, examples))
  # Stages that run side by side may need the same.
  with run.folders.lock(name, path.name).alone():
    processes.by_first(lambda: files.sweep(path))
    known = processes.in_turn(lambda: read(path))
    new = [place for place, d in enumerate(digests) if d not in known]
    if new:
      known |= _computed(run, name, examples, new, own, models, data)
      processes.by_first(lambda: _write(path, known))
  return With(examples, 'features', [known[d] for d in digests])


def _computed(run, name, examples, places, own, models, data):
  """{digest: features} of some examples, those of like length together."""
  stage, known = run.experiment.stages[name], {}
  most = int(candidates(examples)[places].max())
  size = data.at_a_time(stage.config.batch_size, most)
  ordered = sorted(places, key=lengths(examples).__getitem__)
  shown = progress.Progress(
    f'{name} features', len(ordered), out=run.console, unit='example'
  )
  with jax.set_mesh(run.mesh), run.trained.while_needed():
    params = own()
    for first in range(0, len(ordered), size):
      stopping.check()
      some = [examples[place] for place in ordered[first : first + size]]
      values = jitted(stage.features)(
        params,
        data.batch(some, size, most),
        models=models,
        config=stage.config,
      )
      rows = processes.on_host(values)
      for example, found in zip(some, rows, strict=False):
        kept = found[: len(example.response_ids)]
        known[reference_logps.digest(example)] = kept
      shown.show(first + len(some), {})
  shown.close()
  return known


def file(run: Run, name: str) -> pathlib.Path:
  """Where the features of a stage's data are kept.

  In the folder of the last dataset that a stage wrote, or of the source's.
  """
  stage = run.experiment.stages[name]
  datasets = names(stage.data)
  given = {
    role: identity(source, run.folders.addresses)
    for role, source in stage.start.items()
    if isinstance(source, str | Pretrained)
  }
  # Of a fresh trunk only the stage says which it is.
  trunk = given or identity(name, run.folders.addresses)
  config = run.trained.config(name, stage.produces)
  reading = run.trained.reading(name, stage.produces)
  parts = (
    '-'.join(datasets),
    digest(trunk),
    Code().digest(stage.features, config, reading, roles, collate),
  )
  written = [d for d in datasets if d in run.experiment.stages]
  owner = written[-1] if written else 'data'
  return run.folders[owner].path / f'features-{"-".join(parts)}.jsonl'


def _write(path, known):
  files.make_folder(path.parent)
  rows = ({'example': k} | _row(found) for k, found in known.items())
  seals.write_lines(path, rows)


def _row(found):
  said = base64.b64encode(np.asarray(found, '<f4').tobytes()).decode()
  return {'shape': found.shape, 'float32': said}


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """{example's digest: [K, D] features}; {} without a whole file."""
  if not path.exists():
    return {}
  try:
    rows = seals.read_lines(path)
  except seals.DamagedError:
    return {}  # They are computed again.
  return {
    row['example']: np.frombuffer(
      base64.b64decode(row['float32']), '<f4'
    ).reshape(row['shape'])
    for row in rows
  }
