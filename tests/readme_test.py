"""What the README shows is run as it stands there."""

import importlib
import io
import math
import pathlib
import pkgutil
import re
import shlex
import sys
import unittest
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments import readings
from launch import loading, train
from rlhf_jax import experiment, models
from rlhf_jax.learners import policy_gradient
from rlhf_jax.losses import policy_gradient as surrogates
from rlhf_jax.methods import rloo
from rlhf_jax.types import Message, Prompt
from tests import toy
from tests.feedback.endpoint_server import Server, said
from tests.methods import groups

ROOT = pathlib.Path(__file__).parents[1]


def section(title):
  """The text below a heading of the README, up to the next one."""
  text = (ROOT / 'README.md').read_text()
  return re.split(r'^## ', text.partition(f'## {title}\n')[2], flags=re.M)[0]


def code(text, language):
  return re.findall(rf'```{language}\n(.*?)```', text, flags=re.S)


@pytest.fixture
def own_loss(tmp_path, monkeypatch):
  """The module that the README has its reader write."""
  (snippet,) = code(section('Write your own loss'), 'python')
  assert len(snippet.splitlines()) < 40
  (tmp_path / 'my_loss.py').write_text(snippet)
  monkeypatch.syspath_prepend(tmp_path)
  yield importlib.import_module('my_loss')
  del sys.modules['my_loss']


def test_its_test_passes(own_loss):
  tests = unittest.defaultTestLoader.loadTestsFromModule(own_loss)
  result = unittest.TestResult()
  tests.run(result)
  assert result.testsRun == 2, result
  assert result.wasSuccessful(), result.failures + result.errors


def test_one_line_puts_it_into_an_experiment(own_loss):
  (command,) = code(section('Write your own loss'), 'sh')
  file, path, value = re.search(
    r'(\S+\.py) --set (\S+)=(\S+)', command
  ).groups()
  built = loading.build(loading.load(ROOT / file), [f'{path}={value}'])
  objective = built.stages['dpo'].config.objective
  assert objective.func is own_loss.exponential
  assert objective.keywords == {'beta': 0.1}


def test_an_experiment_is_made_of_the_library_alone(monkeypatch, tmp_path):
  first, *_ = code(section('From Python'), 'python')
  assert 'experiments' not in first.replace('rlhf_jax import experiment', '')
  prepared = []

  def run(chain, out):
    console = io.StringIO()
    prepared.append(experiment.prepare(chain, tmp_path, console=console))
    return {'policies': {'dpo': {'win_rate': 0.5}}}

  monkeypatch.setattr(experiment, 'run', run)
  exec(first, {})
  (chain,) = prepared
  assert list(chain.experiment.stages) == ['sft', 'dpo']
  assert len(chain.data.records('comparisons')) > 1000


def test_methods_run_without_an_experiment(capsys):
  dpo, rloo = [
    snippet
    for snippet in code(section('From Python'), 'python')
    if 'learner_of' in snippet
  ]
  for snippet in (dpo, rloo):
    lines = [line for line in snippet.splitlines() if line]
    assert sum('import' not in line for line in lines) <= 10, snippet
  names = {}
  exec(dpo, names)
  first = float(capsys.readouterr().out)
  assert 0.0 < first < math.log(2.0)  # Below what a policy unmoved would have.
  exec(rloo, names)
  score = float(capsys.readouterr().out)
  assert -8.0 <= score <= 0.0  # Words of a response of at most 8 tokens.
  assert int(names['state'].step) == 3


def test_a_loss_is_a_function_of_arrays():
  (snippet,) = [
    snippet
    for snippet in code(section('From Python'), 'python')
    if 'clipped_surrogate' in snippet
  ]
  names = {}
  exec(snippet, names)
  # exp(0.1) is within 1 ± 0.2; exp(−1) is not, and the clipped one is worse.
  expected = [-0.5 * math.exp(0.1), 0.5 * 0.8]
  np.testing.assert_allclose(names['losses'], expected, rtol=1e-6)


@pytest.mark.parametrize(
  ('replies', 'same'),
  [(('entailment', 'neutral'), True), (('neutral', 'neutral'), False)],
)
def test_a_judge_of_meaning_is_asked(replies, same):
  (snippet,) = code(section('Which responses mean the same'), 'python')
  without_torch = re.sub(r'.*# Needs PyTorch\.\n', '', snippet)
  assert without_torch != snippet

  def script(number, body):
    del body
    return 200, {}, said(replies[number % 2])

  names = {}
  with Server(script) as server:
    exec(without_torch.replace('http://localhost:8000/v1', server.url), names)
    (found,) = names['config'].similarity(
      [Prompt((Message('user', 'what ?'),))], [('a', 'b')], None
    )
  np.testing.assert_array_equal(found, [[True, same], [same, True]])
  assert names['config'].gamma == 0.5


def test_a_method_of_ones_own_makes_experience():
  names = {}
  for snippet in code(section('Write your own method'), 'python'):
    exec(snippet, names)
  # Rewards of four responses to a prompt, by hand; nothing is taken off them.
  scores = np.array([[3.0, 0.0, 1.0, 0.0]], np.float32)
  listed = [[(0, toy.EOS), (1, toy.EOS), (toy.EOS,), (0, 1, toy.EOS)]]
  clipped = groups.shaped(
    rloo,
    names['clipped_rloo'](steps=1, samples=4, batch_size=1, kl_coef=0.0),
    listed,
    scores,
  )
  first = clipped[0].advantages[..., 0]
  np.testing.assert_allclose(first, [[1.0, -1.0, 0.0, -1.0]], atol=1e-6)
  (stage,) = names['stages'](
    policy_gradient.OnlineConfig(
      steps=1, samples=4, objective=surrogates.policy_gradient
    )
  ).values()
  assert stage.frozen == {'reference': 'sft', 'reward': 'reward_model'}
  best = groups.shaped(
    SimpleNamespace(shape=names['shape']), stage.config, listed, scores
  )
  first = best[0].advantages[..., 0]
  np.testing.assert_allclose(first, [[0.0, -3.0, -2.0, -3.0]], atol=1e-6)


def commands():
  """(file, settings) of the README's runs of an experiment that it names."""
  text = (ROOT / 'README.md').read_text()
  for line in '\n'.join(code(text, 'sh')).splitlines():
    words = shlex.split(line, comments=True)
    if 'launch.train' in words and 'experiments' in line:
      given = words[words.index('launch.train') + 1 :]
      if '--help' not in given:
        options = train.parse(given)
        yield options.file, options.set


@pytest.fixture(scope='module')
def models_of_ones_own(tmp_path_factory):
  """A folder with the models that the README begins from."""
  root = tmp_path_factory.mktemp('own')
  config = models.presets.sandbox(300)
  params = models.language_model(config).init(jax.random.key(0))
  for name in ('smollm2', 'mine'):
    models.huggingface.write(root / 'models' / name, config, params)
  return root


@pytest.mark.parametrize(('file', 'settings'), list(commands()))
def test_its_commands_name_what_is_there(
  file, settings, own_loss, models_of_ones_own, tmp_path, monkeypatch
):
  for name in ('my_judge', 'my_reward'):
    (tmp_path / f'{name}.py').write_text(
      'def score(prompts, responses):\n  return []'
    )
  monkeypatch.chdir(models_of_ones_own)
  built = loading.build(loading.load(ROOT / file), settings)
  if 'judge=my_judge.score' in settings:
    assert built.data.gold.__name__ == 'score'
    assert built.model.layers == 2


@pytest.mark.parametrize(
  'name', [m.name for m in pkgutil.iter_modules(readings.__path__)]
)
def test_what_reads_runs_can_be_imported(name):
  importlib.import_module(f'{readings.__name__}.{name}')


def rows_of_tests():
  """(file, name) of every test that the README of the tests names."""
  text = (ROOT / 'tests' / 'README.md').read_text()
  for line in text.splitlines():
    file = None
    for quoted in (
      re.findall(r'`([^`]+)`', line) if line.startswith('|') else ()
    ):
      path, _, name = quoted.rpartition('::')
      if quoted.endswith('_test.py'):
        yield quoted, ''
      elif re.fullmatch(r'(test_\w+|\w+Test)', name):
        file = path or file
        yield file, name


@pytest.mark.parametrize(('file', 'name'), list(rows_of_tests()))
def test_the_tests_of_bad_input_are_there(file, name):
  text = (ROOT / 'tests' / file).read_text()
  assert re.search(rf'^\s*(def|class) {name}\b', text, re.M), (file, name)


def test_what_one_looks_for_is_where_the_house_says():
  rows = re.findall(r'`(\w+)` in \[`\S+`\]\((\S+)\)', section('The house'))
  assert len(rows) == 5
  for name, path in rows:
    text = (ROOT / path).read_text()
    assert re.search(rf'^(def|class) {name}\b', text, re.M), (name, path)
