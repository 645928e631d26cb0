"""Files that gzip, xz or zstd packed, opened as what they hold."""

import gzip
import io
import lzma
import pathlib
import zlib
from collections.abc import Callable
from typing import BinaryIO, NamedTuple


class Packing(NamedTuple):
  """A way of packing a file.

  Attributes:
    name: what people call it.
    open: path -> the content, a file to read bytes from.
    faults: what reading a file raises that is not whole. One with an `errno` is
      the disk's.
  """

  name: str
  open: Callable[[pathlib.Path], BinaryIO]
  faults: tuple[type[Exception], ...]


def _plain(path: pathlib.Path) -> BinaryIO:
  return open(path, 'rb')


def _zstd(path: pathlib.Path) -> BinaryIO:
  import pyarrow  # Which tables need too, and few other files.

  return io.BufferedReader(pyarrow.input_stream(path, compression='zstd'))


PACKINGS = {
  '.gz': Packing('gzip', gzip.open, (gzip.BadGzipFile, EOFError, zlib.error)),
  '.xz': Packing('xz', lzma.open, (lzma.LZMAError, EOFError)),
  '.zst': Packing('zstd', _zstd, (OSError,)),
}
PLAIN = Packing('plain', _plain, ())


def of(path: pathlib.Path) -> Packing:
  """How a file is packed, as the end of its name says."""
  return PACKINGS.get(path.suffix, PLAIN)


def unpacked(path: pathlib.Path) -> pathlib.Path:
  """The path of what is packed in a file, or of the file where it is plain."""
  return path.with_suffix('') if path.suffix in PACKINGS else path
