"""Files of tensors in the safetensors format, read and written piece by piece.

A file is the length of its header (8 bytes, little-endian), the header (JSON:
for each tensor its type, shape and place among the bytes), and the bytes. A
folder has one file, or several and an index that names each tensor's file.
"""

import json
import math
import mmap
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple

import ml_dtypes
import numpy as np

DTYPES = {
  'F32': np.dtype(np.float32),
  'F16': np.dtype(np.float16),
  'BF16': np.dtype(ml_dtypes.bfloat16),
}
NAMES = {'float32': 'F32', 'float16': 'F16', 'bfloat16': 'BF16'}
SIZES = {'F64': 8, 'I64': 8, 'I32': 4, 'I16': 2, 'I8': 1, 'U8': 1, 'BOOL': 1}
SIZES |= {name: dtype.itemsize for name, dtype in DTYPES.items()}
FILE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
LONGEST_HEADER = 100_000_000  # As the format's own library has it.
AGAIN = 'download it again'


class CheckpointError(ValueError):
  """A folder of a model that cannot be read, or written: one sentence."""


class StoredTensor(NamedTuple):
  """One tensor of a file.

  Attributes:
    name: of the tensor.
    path: of its file.
    dtype: as the format calls it.
    shape: of the tensor.
    start, stop: its bytes in the file.
  """

  name: str
  path: pathlib.Path
  dtype: str
  shape: tuple[int, ...]
  start: int
  stop: int


def find(folder: pathlib.Path) -> dict[str, StoredTensor]:
  """All tensors of a folder by name, file by file, in the order of the bytes.

  Raises:
    CheckpointError: a file is missing or damaged, or tensors are not in the
      files where the index says they are.
  """
  index = folder / INDEX
  if not index.is_file():
    if (folder / FILE).is_file():
      return {stored.name: stored for stored in header(folder / FILE)}
    others = sorted(path.name for path in folder.glob('*.bin'))
    raise CheckpointError(
      f'there is no {FILE} nor {INDEX} in {folder}'
      + (
        f', and {others[0]} would need torch; save it with safe_serialization'
        if others
        else '; name the folder that a model was saved to'
      )
    )
  places = read_json(index).get('weight_map')
  if not isinstance(places, dict) or not places:
    raise CheckpointError(f'{index} has no weight_map; {AGAIN}')
  found = {}
  for name in dict.fromkeys(places.values()):
    path = folder / str(name)
    if not path.is_file():
      held = [tensor for tensor, file in places.items() if file == name]
      raise CheckpointError(
        f'{path} is not there, which {INDEX} says holds {held[0]}; {AGAIN}'
      )
    found |= {stored.name: stored for stored in header(path)}
  for tensor, name in places.items():
    if tensor not in found or found[tensor].path.name != name:
      raise CheckpointError(
        f'{folder / str(name)} has no tensor {tensor}, which {INDEX} says it '
        f'holds; {AGAIN}'
      )
  return found


def header(path: pathlib.Path) -> list[StoredTensor]:
  """The tensors of one file, in the order of their bytes.

  Raises:
    CheckpointError: it is no such file, or is cut short.
  """
  size = path.stat().st_size
  with path.open('rb') as file:
    length = int.from_bytes(file.read(8), 'little')
    if size < 8 or not 2 <= length <= min(size - 8, LONGEST_HEADER):
      raise CheckpointError(
        f'{path} is cut short, or no safetensors file ({size} bytes); {AGAIN}'
      )
    try:
      entries = json.loads(file.read(length))
      entries.pop('__metadata__', None)
      found = [_stored(path, 8 + length, *item) for item in entries.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
      raise CheckpointError(
        f'the header of {path} is damaged ({error}); {AGAIN}'
      ) from error
  found.sort(key=lambda stored: stored.start)
  end = max((stored.stop for stored in found), default=8 + length)
  if end > size:
    last = next(stored for stored in found if stored.stop > size)
    raise CheckpointError(
      f'{path} is cut short: it has {size} of {end} bytes, and {last.name} is '
      f'not whole; {AGAIN}'
    )
  return found


def _stored(path, base, name, entry):
  start, stop = entry['data_offsets']
  dtype, shape = entry['dtype'], tuple(map(int, entry['shape']))
  wanted = SIZES.get(dtype, 0) * math.prod(shape)
  if wanted and stop - start != wanted or start < 0 or stop < start:
    raise ValueError(f'{name} has {stop - start} bytes, not {wanted}')
  return StoredTensor(name, path, dtype, shape, base + start, base + stop)


def check_types(found: Iterable[StoredTensor]) -> None:
  """Refuses tensors of other types than parameters have.

  Raises:
    CheckpointError: naming the file and the tensor.
  """
  for one in found:
    if one.dtype not in DTYPES:
      raise CheckpointError(
        f'{one.path}: the tensor {one.name} is of type {one.dtype}; there are '
        f'{", ".join(DTYPES)}'
      )


def each(
  found: Iterable[StoredTensor],
) -> Iterator[tuple[StoredTensor, np.ndarray]]:
  """Tensors one after the other, each to be let go of before the next.

  Files are mapped to memory: of an array only what is looked at is read, and
  its pages are freed before the next one.
  """
  path = None
  for stored in found:
    if stored.path != path:
      path = stored.path
      with path.open('rb') as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    count = math.prod(stored.shape)
    array = np.frombuffer(mapped, DTYPES[stored.dtype], count, stored.start)
    yield stored, array.reshape(stored.shape)
    start = stored.start - stored.start % mmap.PAGESIZE
    if hasattr(mapped, 'madvise') and stored.stop > start:
      mapped.madvise(mmap.MADV_DONTNEED, start, stored.stop - start)


class Planned(NamedTuple):
  """A tensor that will be written: its name, type and shape."""

  name: str
  dtype: str
  shape: tuple[int, ...]

  @property
  def size(self) -> int:
    """Bytes."""
    return SIZES[self.dtype] * math.prod(self.shape)


def write_header(file: IO[bytes], planned: Sequence[Planned]) -> None:
  """Begins a file; the tensors' bytes follow, in this order."""
  entries, start = {'__metadata__': {'format': 'pt'}}, 0
  for one in planned:
    entries[one.name] = {
      'dtype': one.dtype,
      'shape': list(one.shape),
      'data_offsets': [start, start + one.size],
    }
    start += one.size
  text = json.dumps(entries, separators=(',', ':')).encode()
  text += b' ' * (-len(text) % 8)
  file.write(len(text).to_bytes(8, 'little') + text)


def index_of(files: Mapping[str, Sequence[Planned]]) -> dict:
  """What the index of several files says."""
  return {
    'metadata': {'total_size': sum(p.size for f in files.values() for p in f)},
    'weight_map': {p.name: name for name, f in files.items() for p in f},
  }


def read_json(path: pathlib.Path) -> dict:
  """The object that a JSON file holds.

  Raises:
    CheckpointError: there is no such file, or it holds none.
  """
  if not path.is_file():
    raise CheckpointError(
      f'there is no {path.name} in {path.parent}; name the folder that a model '
      'was saved to'
    )
  try:
    found = json.loads(path.read_text('utf-8'))
  except ValueError as error:
    raise CheckpointError(f'{path} is no JSON ({error}); {AGAIN}') from error
  if not isinstance(found, dict):
    raise CheckpointError(f'{path} must hold an object; {AGAIN}')
  return found
