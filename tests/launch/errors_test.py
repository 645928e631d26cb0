"""Which errors are a sentence, and what is written down of the others."""

import argparse
import contextlib
import errno
import io
import os
import pathlib
import re

import jax
import numpy as np
import pytest

from launch import errors, loading, reporting, train
from rlhf_jax import experiment as experiments
from rlhf_jax.addressing import describe
from rlhf_jax.experiment import ExperimentError
from rlhf_jax.feedback.similarity import endpoint
from rlhf_jax.generation import Sampling

ROOT = pathlib.Path(__file__).parents[2]
SANDBOX = 'experiments/rlhf/sandbox.py'


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


def raised_by(call):
  try:
    call()
  except Exception as e:
    return e
  raise AssertionError('nothing was raised')


def raising(error):
  def call(*unused, **unused_by_name):
    raise error

  return call


def traced():
  jax.jit(lambda x: Sampling(temperature=0.0) and x)(1.0)


REFUSALS = {
  'of ours': lambda: Sampling(temperature=0.0),
  'of ours, below jax': traced,
  'a class of ours, raised by others': raising(ExperimentError('a sentence')),
  'no file': lambda: loading.load(pathlib.Path('none.py')),
  'a value without description': lambda: describe(object()),
}
ACCIDENTS = {
  'Python, called by ours': lambda: endpoint._classify(['a'], [], chat=None),
  'numpy': lambda: np.zeros(3).reshape(2),
  'jax': lambda: jax.numpy.zeros(3).reshape(2),
  'Python': lambda: int('x'),
  'others': raising(ValueError('a sentence')),
  'another kind': raising(KeyError('x')),
  'an OSError of no system call': raising(OSError('could not get source code')),
}


@pytest.mark.parametrize('name', REFUSALS)
def test_a_refusal_is_its_own_sentence(name):
  error = raised_by(REFUSALS[name])
  assert errors.sentence(error) == str(error)


@pytest.mark.parametrize('name', ACCIDENTS)
def test_an_accident_is_none(name):
  assert errors.sentence(raised_by(ACCIDENTS[name])) is None


def test_what_the_system_refuses_names_the_path(tmp_path):
  (tmp_path / 'file').write_text('')
  for path in (tmp_path / 'none', tmp_path / 'file' / 'x', tmp_path):
    error = raised_by(lambda path=path: path.open('rb'))
    said = f'{path}: {os.strerror(error.errno)}'
    assert errors.sentence(error) == said
  full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'a', None, 'b')
  assert errors.sentence(full) == f'a and b: {os.strerror(errno.ENOSPC)}'
  assert errors.sentence(OSError(errno.EIO, 'worn out')) == 'worn out'


@pytest.mark.parametrize(
  'error',
  [
    MemoryError(),
    jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating'),
    raised_by(lambda: np.zeros(2**58)),
    jax.errors.JaxRuntimeError(
      'INTERNAL: Error dispatching computation: Out of memory allocating 36'
    ),
  ],
)
def test_too_little_memory_says_what_to_lower(error):
  said = errors.sentence(error)
  assert said.startswith('out of memory') and 'micro_batches' in said
  assert '\n' not in said


def test_a_package_that_is_missing_is_named():
  error = raised_by(lambda: __import__('no_such_package.inside'))
  said = errors.sentence(error)
  assert said.startswith('the package no_such_package is not installed')
  assert 'errors_test.py:' in said


def command(*arguments):
  """Exit status and standard error of launch.train."""
  err = io.StringIO()
  nothing = contextlib.redirect_stdout(io.StringIO())
  with nothing, contextlib.redirect_stderr(err):
    status = train.main(list(map(str, arguments)))
  return status, err.getvalue()


def broken_reward():
  return {}['x']


@pytest.mark.parametrize(
  'bug', [raising(ValueError('odd\nshape')), broken_reward, lambda: int('x')]
)
def test_a_bug_says_that_it_is_one(bug, tmp_path, monkeypatch):
  monkeypatch.setattr(experiments, 'run', lambda *a, **k: bug())
  out, stages = tmp_path / 'out', tmp_path / 'stages'
  arguments = (SANDBOX, '--out', out, '--stages', stages, '--set', 'seed=3')
  status, err = command(*arguments)
  assert status == 70
  assert err.startswith('error: unexpected ') and err.count('\n') == 1, err
  assert 'This is a bug of rlhf_jax, or of what was plugged in' in err
  assert 'to report it' in err
  assert re.search(r'in \S+ \(tests/launch/errors_test.py:\d+\)', err), err
  (report,) = out.glob('error-*.txt')
  assert str(report) in err
  written = report.read_text()
  error = raised_by(bug)
  assert f'{type(error).__name__}: {error}' in written
  assert 'Traceback (most recent call last):' in written
  assert f'jax {jax.__version__}' in written
  assert 'command: ' in written
  assert '"seed": 3' in written


def test_a_report_goes_elsewhere_where_it_cannot_be_written(tmp_path):
  (tmp_path / 'file').write_text('')
  options = argparse.Namespace(set=[])
  said = reporting.unexpected(KeyError('x'), options, tmp_path / 'file' / 'out')
  path = pathlib.Path(re.search(r'traceback is in (\S+\.txt);', said)[1])
  assert "KeyError: 'x'" in path.read_text()
  path.unlink()
  path.parent.rmdir()


def test_a_traceback_is_shown_where_it_is_asked_for(tmp_path):
  bad = tmp_path / 'bad.py'
  bad.write_text('x = y\n')
  status, err = command(bad)
  assert status == 1 and 'Traceback' not in err
  status, err = command(bad, '--traceback')
  assert status == 1 and 'Traceback' in err
  assert err.splitlines()[-1].startswith(f'error: {bad}:1: NameError')
