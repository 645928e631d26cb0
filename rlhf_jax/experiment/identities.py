"""Digests that identify parameters, without loading the parameters."""

import pathlib
from collections.abc import Mapping

from rlhf_jax.addressing import digest, hashed
from rlhf_jax.data import jsonl, tokens
from rlhf_jax.models import huggingface
from rlhf_jax.stages import Pretrained, folder_of
from rlhf_jax.storage import seals


def identity(source: str | Pretrained, addresses: Mapping[str, str]) -> str:
  """A digest of the parameters of a stage or of a folder.

  Args:
    source: the stage, or the folder.
    addresses: of the stages, as `addresses.stage_addresses` has them.
  """
  folder = folder_of(source)
  return addresses[source] if folder is None else content(folder)


def content(folder: str) -> str:
  """A digest of a folder of parameters; '' where there is no such folder."""
  if huggingface.is_folder(folder):
    read = [jsonl.digest(path) for path in tokens.files(folder)]
    return digest(huggingface.fingerprint(folder), read)
  seal = pathlib.Path(folder, seals.SEAL)
  return hashed(seal.read_text()) if seal.is_file() else ''
