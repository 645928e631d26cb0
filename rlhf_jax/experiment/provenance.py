"""How a run was made, for its report: by what, on what, in which time."""

import importlib.metadata
import platform
from collections.abc import Mapping

import jax

from rlhf_jax.experiment.definition import reference_of
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.stages import DatasetStage

PACKAGES = ('rlhf_jax', 'jax', 'flax', 'optax')


def header(run: Run) -> str:
  """What is to run, on what: '1 cpu device; policy of 0.11 M parameters; …'."""
  stages = run.experiment.stages
  done = sum(run.folders[name].done for name in stages)
  model = run.trained.models(reference_of(run.experiment)).policy
  policy = jax.eval_shape(model.init, jax.random.key(0))
  count = sum(x.size for x in jax.tree.leaves(policy))
  parts = [
    devices(run),
    f'policy of {in_millions(count)} parameters',
    f'{len(stages)} stage{"s" if len(stages) > 1 else ""}'
    + (f', {done} done before' if done else ''),
  ]
  return '; '.join(parts)


def devices(run: Run) -> str:
  """'8 cpu devices as data 4, tensor 2', axes of one device left out."""
  found = run.mesh.devices.ravel()
  axes = ', '.join(f'{k} {n}' for k, n in run.mesh.shape.items() if n > 1)
  kind = f'{found[0].platform} device{"s" if len(found) > 1 else ""}'
  return f'{len(found)} {kind}' + (f' as {axes}' if axes else '')


def in_millions(count: int) -> str:
  """'0.11 M', '135 M', '8.03 B'."""
  number, unit = (count / 1e9, 'B') if count >= 1e9 else (count / 1e6, 'M')
  return f'{number:.3g} {unit}'


def stages(run: Run, seconds: Mapping[str, float]) -> list[str]:
  """A line of Markdown a stage: its size, and its time when it was made.

  Args:
    run: whose stages are done.
    seconds: that each stage took.
  """
  made = []
  for name, stage in run.experiment.stages.items():
    known = run.folders[name].facts()
    unit = 'record' if isinstance(stage, DatasetStage) else 'step'
    count = known.get(f'{unit}s', '?')
    what = f'{count} {unit}{"" if count == 1 else "s"}'
    made.append(
      f'[{name}](stages/{name}): {what}, {seconds[name]:.0f} s'
      f' ([config](stages/{name}/config.json))'
    )
  return made


def lines(run: Run) -> list[str]:
  """Lines of Markdown on files, devices and versions."""
  versions = [f'Python {platform.python_version()}']
  for package in PACKAGES:
    try:
      versions.append(f'{package} {importlib.metadata.version(package)}')
    except importlib.metadata.PackageNotFoundError:
      continue  # Run from a checkout.
  return [
    'All values: [config.json](config.json); all numbers: '
    '[results.json](results.json).',
    f'On {devices(run)}; {", ".join(versions)}.',
  ]
