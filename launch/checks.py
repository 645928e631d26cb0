"""Options of the command line that cannot be, told before anything runs."""

import pathlib

LARGEST_SEED = 2**32 - 1  # Of a key of jax, which takes the bits below.


class OptionError(ValueError):
  """An option of the command line that cannot be."""


def whole(name: str, value: int, least: int, most: int | None = None) -> None:
  """Refuses a whole number that is out of range."""
  if value < least or (most is not None and value > most):
    range_ = f'{least} or more' if most is None else f'from {least} to {most}'
    raise OptionError(f'{name} must be {range_}, got {value}')


def folder(name: str, path: pathlib.Path | None) -> None:
  """Refuses a path where no folder can be made, for a file lies there."""
  if path is None:
    return
  there = next((p for p in (path, *path.parents) if p.exists()), None)
  if there is not None and not there.is_dir():
    raise OptionError(
      f'{name} must be a folder, and {there} is a file; name another'
    )
