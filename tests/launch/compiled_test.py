"""What was saved is counted from jax's own events."""

import os
import pathlib
import subprocess
import sys

import jax

from launch import compiled


def test_it_counts_what_jax_says_while_it_listens():
  record = jax.monitoring.record_event_duration_secs
  with compiled.counted() as saved:
    record(compiled.SAVED, 40.0)
    record('/jax/compilation_cache/cache_retrieval_time_sec', 7.0)
    record(compiled.SAVED, 2.4)
  record(compiled.SAVED, 100.0)
  assert (saved.programs, saved.seconds) == (2, 42.4)
  said = saved.sentence()
  assert said.startswith('2 compiled programs came from')
  assert said.endswith('which saved 42 s')


def test_what_is_not_worth_a_line_is_not_said():
  assert compiled.Saved(3, 0.9).sentence() is None


PROGRAM = """
import sys, jax, jax.numpy as jnp
from launch import compiled
jax.config.update('jax_compilation_cache_dir', sys.argv[1])
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
with compiled.counted() as saved:
  jax.jit(lambda x: jnp.sin(x @ x.T).sum())(jnp.ones((8, 8)))
print(saved.programs)
"""


def test_a_second_start_reads_what_the_first_compiled(tmp_path):
  command = [sys.executable, '-c', PROGRAM, str(tmp_path)]
  own = ('XLA_FLAGS', 'JAX_ENABLE_COMPILATION_CACHE')  # Of tests alone.
  environ = {k: v for k, v in os.environ.items() if k not in own}
  environ['PYTHONPATH'] = str(pathlib.Path(compiled.__file__).parents[1])
  first, second = (
    int(
      subprocess.run(
        command, env=environ, capture_output=True, check=True
      ).stdout
    )
    for _ in range(2)
  )
  assert first == 0 < second
