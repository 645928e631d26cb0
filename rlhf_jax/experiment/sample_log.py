"""Samples of a policy along its training, for people to read: samples.txt."""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from rlhf_jax.experiment.models import respond
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.stages import playing
from rlhf_jax.storage import files
from rlhf_jax.training.state import whole
from rlhf_jax.types import Models, Params

PROMPTS = 8  # That are answered each time.


class SampleLog:
  """The file: prompts and responses at one step after another."""

  HEAD = '--- step '

  def __init__(self, path: pathlib.Path, *, start: int):
    """Opens `path`, and drops what is there of steps after `start`."""
    self._path = path
    if path.exists():
      files.write_text(path, ''.join(self._until(start)))

  def write(self, step: int, said: Sequence[tuple[str, str]]) -> None:
    """Adds prompts and the responses to them."""
    shown = [[_shown(s) for s in pair] for pair in said]
    text = ''.join(f'{prompt}\n  → {response}\n' for prompt, response in shown)
    with (
      files.naming(self._path),
      self._path.open('a', encoding='utf-8', newline='') as file,
    ):
      file.write(f'{self.HEAD}{step}\n{text}')

  def _until(self, start: int) -> Iterator[str]:
    text = self._path.read_bytes().decode('utf-8', 'replace')
    for line in text.split('\n')[:-1]:  # Whole ones.
      step = line.removeprefix(self.HEAD)
      if line.startswith(self.HEAD) and step.isdigit() and int(step) > start:
        return
      yield line + '\n'


def _shown(text: str) -> str:
  """A text none of whose lines is taken for the head of a step."""
  head = '    ' if text.startswith(SampleLog.HEAD) else ''
  return head + text.replace('\n', '\n    ')


def sample_logger(
  run: Run,
  name: str,
  models: Models,
  frozen: Mapping[str, Params],
  log: SampleLog | None,
) -> Callable | None:
  """(state, step) -> None, which samples the policy into its log.

  On the condition that the policy is measured on, if there is one. None where
  the stage trains no policy. `log` is that of the process that writes it.
  """
  stage = run.experiment.stages[name]
  if stage.produces != 'policy':
    return None
  prompts = run.data.records(run.experiment.evaluation.prompts)[:PROMPTS]
  conditions = [
    variant.condition
    for variant in run.experiment.variants.values()
    if variant.policy == name and variant.condition is not None
  ]

  def log_samples(state, step):
    parts = respond(
      run.data,
      models,
      playing(whole(state.params, frozen), 'policy'),
      prompts,
      run.key('sample log'),
      samples=1,
      sampling=Sampling(temperature=1.0),
      batch_size=PROMPTS,
      condition=conditions[0] if conditions else None,
    )
    said = [
      (example.prompt.text, text)
      for answered in parts
      for example, (text,) in zip(
        answered.examples, answered.texts, strict=True
      )
    ]
    if log is not None:
      log.write(step, said)

  return log_samples
