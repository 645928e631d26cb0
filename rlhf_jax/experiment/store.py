"""Stage folders: what they hold, and whether it is whole."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any, TextIO

from rlhf_jax import processes
from rlhf_jax.addressing import hashed
from rlhf_jax.data.tokenizer import Tokenizer
from rlhf_jax.experiment import locks
from rlhf_jax.storage import files, seals

# What a stage's folder holds.
DONE = 'done.json'
CONFIG = 'config.json'
RECORDS = 'records.jsonl'
PARTIAL_RECORDS = 'records.partial.jsonl'
METRICS = 'metrics.jsonl'
SAMPLES = 'samples.txt'
PARAMS = 'params'
CHECKPOINTS = 'checkpoints'
# Raised where settings get other names, or parameters other paths: what was
# made before goes by others.
LAYOUT = 4
# Scales and checksums of the base parameters, of a stage with LoRA adapters.
BASE = 'base.json'
# What a reward model's head reads, of a stage where it is not the last token.
READING = 'reading.json'
# Whose ids the parameters were trained on.
VOCABULARY = 'vocabulary.json'
# Copies are kept with the parameters, under their seal.
COPIED = (METRICS, SAMPLES, BASE, READING, VOCABULARY)


def write_vocabulary(folder: pathlib.Path, tokenizer: Tokenizer) -> None:
  """Notes in a stage's folder whose ids it is trained on."""
  files.write_json(folder / VOCABULARY, {'ids': ids_of(tokenizer)})


def vocabulary_of(folder: pathlib.Path) -> str | None:
  """Whose ids parameters were trained on, as of `ids_of`.

  None where it is not known: earlier versions noted nothing.
  """
  path = folder / VOCABULARY
  if not path.exists():
    return None
  return seals.read_json(path, delete=folder)['ids']


def ids_of(tokenizer: Tokenizer) -> str:
  """Changes when the id of a token does."""
  return hashed(json.dumps(tokenizer.vocabulary, sort_keys=True))


@dataclasses.dataclass(frozen=True)
class Folder:
  """Where a stage keeps its files.

  A stage is done when `done.json` is there, which is written last.
  """

  path: pathlib.Path

  @property
  def done(self) -> bool:
    return processes.by_first((self.path / DONE).exists)

  def begin(self, config: Any) -> None:
    """Makes the folder, with what its config.json says."""
    files.make_folder(self.path)
    files.write_json(self.path / CONFIG, config)

  def finish(self, facts: Mapping[str, Any]) -> None:
    """Marks the stage done, with a few facts for people."""
    content = {'layout': LAYOUT} | dict(facts)
    processes.by_first(lambda: files.write_json(self.path / DONE, content))

  def facts(self) -> dict[str, Any]:
    """What `finish` wrote.

    Raises:
      DamagedError: done.json is not what was written.
    """
    return processes.by_first(
      lambda: seals.read_json(self.path / DONE, delete=self.path)
    )

  def seconds(self) -> float:
    """How long the stage took.

    Raises:
      DamagedError: done.json does not say so.
    """
    found = self.facts().get('seconds')
    if not isinstance(found, int | float):
      why = 'is damaged: it does not say how many seconds the stage took'
      raise seals.DamagedError(self.path / DONE, why, self.path)
    return found

  def in_place_of(self, settings: str) -> list[str]:
    """Lines for people on the stage's folders that this one replaces.

    Args:
      settings: `<stage>-<digest>`, as in `addresses.stage_settings`.
    """
    same, earlier = [], []
    stage = settings.rpartition('-')[0]
    for path in sorted(self.path.parent.glob(f'{stage}-*')):
      try:
        facts = Folder(path).facts()
      except (seals.DamagedError, files.StorageError):
        continue  # It is not done, or nobody would go on with it.
      if path == self.path or facts.get('stage') != stage:
        continue
      if facts.get('layout') != LAYOUT:
        earlier.append(path)
      elif facts.get('settings') == settings:
        same.append(path)
    said = [
      f'made again: {path} has the same settings and was made by other code, '
      'or of other data'
      for path in same
    ]
    if earlier:
      more = f' and {len(earlier) - 1} more' if len(earlier) > 1 else ''
      said.append(
        f'made anew: {earlier[0]}{more} of an earlier version may be the same, '
        'and cannot be told: settings or parameters had other names'
      )
    return said

  def records(self) -> pathlib.Path:
    """The file of the records that the stage wrote.

    Raises:
      DamagedError: it is not what was written.
    """
    path = self.path / RECORDS
    if not path.is_file():
      raise seals.DamagedError(path, 'is not there', self.path)
    if seals.checksum(path) != self.facts().get('checksum'):
      why = 'is damaged: its checksum differs'
      raise seals.DamagedError(path, why, self.path)
    return path

  def tidy(self, *, config: Any, keep_checkpoint: bool) -> None:
    """Leaves of a stage that is done what it hands on, and mends its logs.

    What it takes away and puts back, a kill after `finish` or a hand may have
    left or lost. Runs that read the stage may do this side by side.

    Args:
      config: what config.json says, where it is damaged.
      keep_checkpoint: whether the last checkpoint stays.
    """
    files.remove(self.path / PARTIAL_RECORDS)
    if not keep_checkpoint:
      files.remove(self.path / CHECKPOINTS)
      files.sweep(self.path / CHECKPOINTS)
    for name in COPIED:
      copy, path = self.path / PARAMS / name, self.path / name
      if copy.exists() and not seals.same(copy, path):
        seals.verify(copy.parent, delete=self.path)
        with files.whole(path, 'wb') as file:
          file.write(copy.read_bytes())
    try:
      seals.read_json(self.path / CONFIG, delete=self.path)
    except (seals.DamagedError, files.StorageError):
      files.write_json(self.path / CONFIG, config)

  def clear(self) -> None:
    """Deletes the folder atomically."""
    files.remove(self.path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folders:
  """The folders of an experiment's stages, by name; the source's is 'data'.

  Attributes:
    root: where they are, with those of other experiments.
    addresses: each one's name there.
    settings: digests of `addresses.stage_settings`, without code and files.
    console: where notes for people are printed.
  """

  root: pathlib.Path
  addresses: Mapping[str, str]
  settings: Mapping[str, str]
  console: TextIO

  def __getitem__(self, stage: str) -> Folder:
    return Folder(self.root / self.addresses[stage])

  def lock(self, who: str, name: str | None = None) -> locks.Lock:
    """The lock of the stage `who`, or of a file's `name` for its sake."""
    name = self.addresses[who] if name is None else name
    return locks.Lock(self.root, name, who=who, console=self.console)
