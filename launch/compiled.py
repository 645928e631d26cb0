"""What the cache of compiled programs saved a run, as jax counts it."""

import contextlib
import dataclasses
from collections.abc import Iterator

SAVED = '/jax/compilation_cache/compile_time_saved_sec'
WORTH_SAYING = 1.0  # Seconds.


@dataclasses.dataclass
class Saved:
  """Programs that were read and not compiled.

  Attributes:
    programs: how many.
    seconds: that compiling them took when they were kept, less reading them.
  """

  programs: int = 0
  seconds: float = 0.0

  def sentence(self) -> str | None:
    """What a user is told; None where it is not worth a line."""
    import jax

    if self.seconds < WORTH_SAYING:
      return None
    folder = jax.config.jax_compilation_cache_dir
    return (
      f'{self.programs} compiled programs came from {folder}, which saved '
      f'{self.seconds:.0f} s'
    )


@contextlib.contextmanager
def counted() -> Iterator[Saved]:
  """Counts what is read from the cache while the block runs."""
  from jax import monitoring

  saved = Saved()

  def on_duration(event, seconds, **_):
    if event == SAVED:
      saved.programs += 1
      saved.seconds += seconds

  monitoring.register_event_duration_secs_listener(on_duration)
  try:
    yield saved
  finally:
    monitoring.unregister_event_duration_listener(on_duration)
