"""Log-probs of a frozen reference, computed once and kept with the data.

A file holds them by example (a digest of its prompt's and responses' ids), and
its name says whose they are (a checksum of the reference's parameters, and a
digest of the model and the code that read them), so what was computed for other
data or another reference is never taken for them.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence

import jax

from rlhf_jax import processes, progress
from rlhf_jax.addressing import Code, hashed
from rlhf_jax.data.collation import collate
from rlhf_jax.data.examples import Example, With, candidates
from rlhf_jax.experiment.models import roles
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.stages import names
from rlhf_jax.storage import files, seals
from rlhf_jax.training import checkpoints
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Models, Params


def attach(
  run: Run,
  name: str,
  examples: Sequence[Example],
  frozen: Mapping[str, Params],
  models: Models,
) -> Sequence[Example]:
  """A stage's examples with the reference's log-probs, computed if need be.

  The examples as they are where the stage's objective reads no reference.
  """
  path = file(run, name, frozen['reference'])
  # Stages that run side by side may need the same.
  with run.folders.lock(name, path.name).alone():
    processes.by_first(lambda: files.sweep(path))
    known = processes.in_turn(lambda: read(path))
    digests = list(map(digest, examples))
    new = [place for place, d in enumerate(digests) if d not in known]
    if new:
      found = _computed(run, name, examples, new, frozen, models)
      if found is None:
        return examples
      known |= found
      processes.by_first(lambda: _write(path, known))
  return With(examples, 'reference_logps', [tuple(known[d]) for d in digests])


def _computed(run, name, examples, places, frozen, models):
  """{digest: log-probs} of some, or None where the objective reads none."""
  stage, known = run.experiment.stages[name], {}
  size = stage.config.batch_size // stage.config.micro_batches
  most = int(candidates(examples)[places].max())
  shown = progress.Progress(
    f'{name} reference', len(places), out=run.console, unit='example'
  )
  with jax.set_mesh(run.mesh):
    for first in range(0, len(places), size):
      some = [examples[place] for place in places[first : first + size]]
      values = jitted(stage.precompute)(
        frozen,
        run.data.batch(some, size, most),
        models=models,
        config=stage.config,
      )
      if values is None:
        return None
      rows = processes.on_host(values)
      for example, row in zip(some, rows, strict=False):
        known[digest(example)] = row[: len(example.response_ids)].tolist()
      shown.show(first + len(some), {})
  return known


def file(run: Run, name: str, reference: Params) -> pathlib.Path:
  """Where the log-probs of a stage's data under its reference are kept.

  In the folder of the last dataset that a stage wrote, or of the source's.
  """
  stage = run.experiment.stages[name]
  model = run.trained.config(stage.start.get('policy'), 'policy')
  datasets = names(stage.data)
  absent = run.corpus.tokenizer.absent_ids(model.vocab_size)
  summed = getattr(stage.config, 'response_logps', None)
  parts = (
    '-'.join(datasets),
    checkpoints.checksum(reference),
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
