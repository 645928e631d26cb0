"""Folders of transformers: made whole, and told apart by their contents."""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator

from rlhf_jax.models.huggingface import safetensors
from rlhf_jax.storage import files

CONFIG = 'config.json'
REMEMBERED = '.content.json'
# All files of a folder that a tokenizer or a sampler reads.
TOKENIZER_FILES = (
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'additional_chat_templates',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
)


def is_folder(folder: str | pathlib.Path) -> bool:
  """Whether a folder is one of transformers: it has a config.json.

  A stage's folder has one too, beside its `params`.
  """
  folder = pathlib.Path(folder)
  return (folder / CONFIG).is_file() and not (folder / 'params').is_dir()


@contextlib.contextmanager
def new_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """A folder to fill, moved to its place when the block ends without error.

  Raises:
    StorageError: it is there already and not empty, or cannot be written.
  """
  if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
    raise files.StorageError(
      f'{folder} is there already; name another, or remove it'
    )
  files.make_folder(folder.absolute().parent)
  files.sweep(folder)
  partial = files.partial_of(folder)
  try:
    with files.naming(folder):
      partial.mkdir()
      yield partial
      for path in partial.rglob('*'):
        if path.is_file():
          with path.open('rb') as file:
            os.fsync(file.fileno())
      if folder.exists():
        folder.rmdir()
      os.replace(partial, folder)
      files.fsync_folder(folder.absolute().parent)
  finally:
    shutil.rmtree(partial, ignore_errors=True)


def copy_tokenizer_files(original: pathlib.Path, folder: pathlib.Path) -> None:
  """Copies the files of a tokenizer, and what its sampler stops at."""
  for name in TOKENIZER_FILES:
    path = original / name
    if path.is_dir():
      shutil.copytree(path, folder / name)
    elif path.is_file():
      shutil.copyfile(path, folder / name)


def fingerprint(folder: str | pathlib.Path) -> str:
  """SHA-256 of the contents of a folder that a model depends on.

  Large files are read once: what they hashed to is remembered in the folder,
  with their size and the time of their last change, where it can be written to.

  Raises:
    CheckpointError: the folder has no config or no tensors.
  """
  folder = pathlib.Path(folder)
  safetensors.read_json(folder / CONFIG)
  tensors = {stored.path for stored in safetensors.find(folder).values()}
  known = _remembered(folder)
  hashes = {}
  for path in sorted({folder / CONFIG, *tensors}):
    stat = path.stat()
    state = [stat.st_size, stat.st_mtime_ns]
    entry = known.get(path.name)
    if not entry or entry[:2] != state:
      entry = [*state, _hash(path, *state)]
    hashes[path.name] = entry
  if hashes != known:
    # Of somebody else's folder nothing is remembered.
    with contextlib.suppress(files.StorageError):
      files.write_json(folder / REMEMBERED, hashes)
  said = json.dumps({name: entry[2] for name, entry in hashes.items()})
  return hashlib.sha256(said.encode()).hexdigest()


def _remembered(folder):
  try:
    found = json.loads((folder / REMEMBERED).read_text())
    return found if isinstance(found, dict) else {}
  except (OSError, ValueError):
    return {}


@functools.lru_cache
def _hash(path, size, changed):
  """SHA-256 of a file, read once while its size and its time are these."""
  del size, changed
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
