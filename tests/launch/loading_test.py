"""An experiment file's own errors: the file, the line and a sentence."""

import contextlib
import io
import pathlib

import pytest

from launch import loading, train
from rlhf_jax.experiment import ExperimentError

ROOT = pathlib.Path(__file__).parents[2]
GOOD = """\
import dataclasses
from experiments.rlhf import sandbox

Settings = sandbox.Settings

def config(settings):
  return sandbox.config(settings)
"""


def settings_of(fields, decorator='@dataclasses.dataclass(frozen=True)'):
  return f"""\
import dataclasses
{decorator}
class Settings:
{fields}

def config(settings):
  return 1 // 0
"""


# A file, and what has to be said of it.
FILES = {
  'syntax': ('x = (\n', ('file.py:1: ', 'never closed', 'in `x = (`')),
  'indentation': ('def f():\npass\n', ('file.py:2: ', 'in `pass`')),
  'not UTF-8': (b'x = "\xff"\n', ('file.py:1: ', 'utf-8')),
  'zero bytes': (b'x = 1\0\n', ('file.py: it is no Python file',)),
  'name': ('\nSetings()\n', ("file.py:2: NameError: name 'Setings' is not",)),
  'package': (
    '\nimport no_such_package\n',
    ('file.py:2: ', "No module named 'no_such_package'"),
  ),
  'module of ours': (
    'from rlhf_jax import metods\n',
    ('file.py:1: ImportError: ', "'metods'"),
  ),
  'exit': ('import sys\nsys.exit(3)\n', ('file.py:2: SystemExit: 3',)),
  'own refusal': (
    '\nraise ValueError("no\\nway")\n',
    ('file.py:2: no way',),
  ),
  'refusal of ours': (
    'from rlhf_jax.generation import Sampling\n\nSampling(temperature=0)\n',
    ('file.py:3: sampling.temperature is 0; it must be above 0',),
  ),
  'option that is not there': (
    'from rlhf_jax.generation import Sampling\nSampling(temprature=1)\n',
    ('file.py:2: TypeError: ', "'temprature'"),
  ),
  'no Settings': ('x = 1\n', ('file.py has no Settings; an experiment file',)),
  'no dataclass': (
    settings_of('  seed: int = 0', decorator=''),
    ('the Settings of ', 'file.py are no dataclass'),
  ),
  'an instance': ('Settings = 3\n', ('file.py are no dataclass',)),
  'no default': (
    settings_of('  data_dir: str\n  runs: list'),
    ('file.py need a default for data_dir, runs',),
  ),
  'no config': (
    settings_of('  seed: int = 0').replace('config', 'confg'),
    ('file.py has no config; an experiment file',),
  ),
  'config raises': (
    settings_of('  seed: int = 0'),
    ('file.py:7: ZeroDivisionError: ',),
  ),
  'config of other arguments': (
    settings_of('  seed: int = 0').replace('(settings)', '()'),
    ('file.py: config(settings) cannot be called: too many positional',),
  ),
  'config returns another': (
    settings_of('  seed: int = 0').replace('1 // 0', '{}'),
    ('file.py: config returns dict, no Experiment',),
  ),
  'config returns nothing': (
    GOOD.replace('return ', ''),
    ('file.py: config returns NoneType, no Experiment',),
  ),
}


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


def run(*arguments):
  """Exit status and standard error of launch.train."""
  err = io.StringIO()
  nothing = contextlib.redirect_stdout(io.StringIO())
  with nothing, contextlib.redirect_stderr(err):
    status = train.main(['--print-config', *map(str, arguments)])
  return status, err.getvalue()


@pytest.mark.parametrize('name', FILES)
def test_its_error_is_a_sentence_with_its_place(name, tmp_path):
  content, said = FILES[name]
  path = tmp_path / 'paper' / 'file.py'
  path.parent.mkdir()
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  status, err = run(path)
  assert status == 1, err
  assert err.startswith('error: ') and err.count('\n') == 1, err
  for words in said:
    assert words in err, err
  assert str(path) in err or f'{path.parent.name}/{path.name}' in err


def test_an_error_in_a_file_that_it_imports_names_both(tmp_path, monkeypatch):
  monkeypatch.syspath_prepend(tmp_path)
  (tmp_path / 'helper_of_a_test.py').write_text('x = 1\ny = x.z\n')
  path = tmp_path / 'file.py'
  path.write_text('\n\nimport helper_of_a_test\n')
  _, err = run(path)
  assert 'helper_of_a_test.py:2: AttributeError: ' in err
  assert f', called from {path}:3' in err


def test_what_is_set_wrongly_is_still_told_as_such(tmp_path):
  path = tmp_path / 'file.py'
  path.write_text(GOOD)
  for assignment, said in (
    ('sede=1', 'there is no sede; did you mean seed'),
    ('=1', "--set takes NAME=VALUE, and '=1' has no NAME"),
    (
      'stages.sft.config.steps=x',
      'stages.sft.config.steps takes a whole number',
    ),
  ):
    status, err = run(path, '--set', assignment)
    assert status == 1 and said in err, err
    assert 'file.py:' not in err


@pytest.mark.parametrize(
  'name, said',
  [
    ('', 'it is a folder; name a Python file in it'),
    ('notes.ipynb', 'it is a notebook'),
    ('file.txt', 'it is no Python file'),
    ('missing.py', 'there is no experiment'),
  ],
)
def test_what_is_no_experiment_file(name, said, tmp_path):
  path = tmp_path / name
  if name not in ('', 'missing.py'):
    path.write_text(GOOD)
  with pytest.raises(ExperimentError) as caught:
    loading.load(path)
  assert said in str(caught.value) and str(path) in str(caught.value)


def test_a_file_that_fails_leaves_no_module_behind(tmp_path):
  path = tmp_path / 'paper' / 'twice.py'
  path.parent.mkdir()
  path.write_text('x = y\n')
  with pytest.raises(ExperimentError):
    loading.load(path)
  path.write_text(GOOD)
  assert loading.build(loading.load(path), ['seed=4']).seed == 4
