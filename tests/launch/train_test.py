"""The command line: what it prints, and one sentence for every mistake."""

import contextlib
import io
import json
import pathlib
import sys

import jax
import numpy as np
import pytest

from launch import generate, loading, train
from rlhf_jax.generation import transform
from rlhf_jax.losses import pairwise

SANDBOX = 'experiments/rlhf/sandbox.py'
HH = 'experiments/rlhf/hh.py'


def run(command, *arguments):
  """Exit status, standard output and standard error of a command."""
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    status = command.main(list(map(str, arguments)))
  return status, out.getvalue(), err.getvalue()


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
  monkeypatch.chdir(pathlib.Path(__file__).parents[2])


@pytest.mark.parametrize(
  ('backend', 'devices', 'kept'),
  [('cpu', 1, True), ('cpu', 8, False), ('gpu', 8, True)],
)
def test_compiled_programs_are_kept_where_they_can_be_read_back(
  tmp_path, monkeypatch, backend, devices, kept
):
  import jax

  monkeypatch.setattr(jax, 'default_backend', lambda: backend)
  monkeypatch.setattr(jax, 'device_count', lambda: devices)
  before = jax.config.jax_compilation_cache_dir
  jax.config.update('jax_compilation_cache_dir', None)
  try:
    train.keep_compiled(tmp_path)
    found = jax.config.jax_compilation_cache_dir
  finally:
    jax.config.update('jax_compilation_cache_dir', before)
  assert found == (str(tmp_path) if kept else None)


def test_the_whole_config_is_printed():
  status, out, _ = run(
    train, SANDBOX, '--print-config', '--set', 'seed=3',
    '--set', 'stages.ppo.config.kl_coef=0.25',
    '--set', 'stages.ppo.config.kl_estimator=rlhf_jax.kernels.divergences.k3',
  )  # fmt: skip
  lines = [line.split('  # ')[0] for line in out.splitlines()]
  assert status == 0
  assert 'seed = 3' in lines
  assert 'stages.ppo.config.kl_coef = 0.25' in lines
  assert (
    'stages.ppo.config.kl_estimator = "rlhf_jax.kernels.divergences.k3"'
    in (lines)
  )
  assert 'stages.ppo.config.objective.clip_epsilon = 0.2' in lines
  assert 'stages.sft.config.optimizer.learning_rate = 0.003' in lines


def test_another_objective_keeps_its_beta():
  ipo = f'{pairwise.ipo_sum.__module__}.ipo_sum'
  status, out, err = run(
    train, 'experiments/dpo/against_ppo.py', '--print-config',
    '--set', f'stages.dpo.config.objective={ipo}',
    '--set', f'stages.dpo_beta_0.3.config.objective={ipo}',
    '--set', 'stages.dpo_beta_0.3.config.objective.beta=0.25',
  )  # fmt: skip
  assert status == 0, err
  lines = [line.split('  # ')[0] for line in out.splitlines()]
  for name, beta in (('dpo', 0.1), ('dpo_beta_0.3', 0.25)):
    assert f'stages.{name}.config.objective.function = "{ipo}"' in lines
    assert f'stages.{name}.config.objective.beta = {beta}' in lines


MISTAKES = {
  'no such file': (
    ('experiments/rlhf/sandbx.py',),
    (
      "there is no experiment experiments/rlhf/sandbx.py; did you mean '"
      + SANDBOX,
      'In experiments/ there are ',
      ' rlhf/sandbox.py, ',
    ),
  ),
  'no such setting': (
    (SANDBOX, '--set', 'sede=1'),
    ('no sede', 'did you mean seed'),
  ),
  'no such stage': (
    (SANDBOX, '--set', 'stages.pop.config.kl_coef=1'),
    ('no stages.pop', 'did you mean ppo'),
  ),
  'no such value': (
    (SANDBOX, '--set', 'stages.ppo.config.kl_cof=1'),
    ('no stages.ppo.config.kl_cof', 'did you mean kl_coef'),
  ),
  'wrong type': (
    (SANDBOX, '--set', 'ppo_steps=many'),
    ('ppo_steps takes a whole number', "'many'"),
  ),
  'no equals sign': (
    (SANDBOX, '--set', 'seed'),
    ('--set takes NAME=VALUE', "'seed'"),
  ),
  'nothing to resume': (
    (SANDBOX, '--resume', 'nowhere'),
    ('nowhere holds no config.json',),
  ),
  'out a file': ((SANDBOX, '--out', 'README.md'), ('--out must be a folder',)),
  'out in a bucket': (
    (SANDBOX, '--out', 'gs://bucket/runs/a'),
    ('--out: gs://bucket/runs/a is no folder of this machine', 'gcsfuse'),
  ),
  'resume in a bucket': (
    (SANDBOX, '--resume', 'gs://bucket'),
    ('--out: gs://bucket is no folder', 'launch/README.md'),
  ),
  'out below a file': (
    (SANDBOX, '--out', 'README.md/out'),
    ('--out must be a folder, and README.md is a file',),
  ),
  'resume and out': (
    (SANDBOX, '--resume', 'here', '--out', 'there'),
    ('--resume goes on in here, and --out names there',),
  ),
  'no data': (
    (HH, '--set', 'data_dir=nowhere'),
    ('nowhere', 'alpaca_subset.jsonl.gz|hh_'),
  ),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_is_told_in_a_sentence(mistake, tmp_path):
  arguments, said = MISTAKES[mistake]
  status, _, err = run(train, *arguments, '--stages', tmp_path / 'stages')
  assert status == 1
  assert err.startswith('error: ') and err.count('\n') == 1, err
  for words in said:
    assert any(word in err for word in words.split('|')), err


def test_another_config_is_not_resumed(tmp_path):
  status, out, _ = run(train, SANDBOX, '--print-config')
  assert status == 0
  from rlhf_jax.addressing import describe

  module = loading.load(pathlib.Path(SANDBOX))
  described = describe(loading.build(module, ['ppo_steps=7']))
  (tmp_path / 'config.json').write_text(json.dumps(described))
  status, _, err = run(train, SANDBOX, '--resume', tmp_path)
  assert status == 1
  assert 'stages.ppo.config.steps was 7 and is 40' in err


@pytest.mark.parametrize('damage', ['', '{"se', 'null'])
def test_a_damaged_config_is_not_resumed(damage, tmp_path):
  (tmp_path / 'config.json').write_text(damage)
  status, _, err = run(train, SANDBOX, '--resume', tmp_path)
  assert status == 1
  assert err.startswith(f'error: {tmp_path}/config.json is damaged'), err
  # What is said to do makes it anew, which deleting it would not.
  assert f'leave --resume out and give --out {tmp_path}' in err, err
  assert 'same command' not in err and err.count('\n') == 1, err


def test_a_policy_that_is_not_trained_cannot_answer(tmp_path):
  status, _, err = run(generate, SANDBOX, '--stages', tmp_path, '--prompt', 'x')
  assert status == 1
  assert "'ppo' is not trained yet" in err
  status, _, err = run(
    generate, SANDBOX, '--stages', tmp_path, '--policy', 'dpo', '--prompt', 'x'
  )
  assert status == 1
  assert "'dpo' is no policy of this experiment; there are sft, ppo" in err


@pytest.fixture
def stdin(monkeypatch):
  """Sets the bytes of the standard input."""

  def hold(content):
    text = io.TextIOWrapper(io.BytesIO(content), encoding='ascii')
    monkeypatch.setattr(sys, 'stdin', text)

  return hold


ASKING = {
  'no sample': (('--samples', 0), '--samples must be 1 or more, got 0'),
  'less than none': (('--samples', -1), '--samples must be 1 or more, got -1'),
  'seed': (('--seed', -1), '--seed must be from 0 to 4294967295, got -1'),
  'large seed': (('--seed', 2**40), '--seed must be from 0 to 4294967295'),
  'cold': (('--temperature', -1), 'temperature is -1.0; it must be above 0'),
  'no token': (('--top-k', 0), '--top-k must be from 1 to 2147483647, got 0'),
  'too many': (('--top-k', 2**31), '--top-k must be from 1 to 2147483647'),
  'no mass': (('--top-p', 0), 'top_p is 0.0; it must be in (0, 1]'),
  'nothing asked': (('--prompt', ' '), '--prompt 2 of 2 is empty'),
  'no text': (('--prompt', '\udcff'), 'prompt 2 of 2 is not UTF-8'),
}


@pytest.mark.parametrize('mistake', ASKING)
def test_what_cannot_be_asked_is_told_first(mistake, tmp_path):
  arguments, said = ASKING[mistake]
  status, _, err = run(
    generate, SANDBOX, '--stages', tmp_path, '--prompt', 'x', *arguments
  )
  assert status == 1 and err.count('\n') == 1, err
  assert err.startswith('error: ') and said in err


def test_a_temperature_of_0_is_greedy():
  options = generate.parse([SANDBOX, '--prompt', 'x', '--temperature', '0'])
  sampling = generate.sampling(options)
  logits = np.array([[0.1, 3.0, 2.9], [1.0, -1.0, 0.0]], np.float32)
  keys = jax.random.split(jax.random.key(0), 2)
  tokens, _ = sampling.draw(keys, transform(logits, sampling))
  np.testing.assert_array_equal(tokens, logits.argmax(-1))


@pytest.mark.parametrize(
  'content, said',
  [
    (b'', 'there is no prompt: give --prompt TEXT, or one on each line'),
    (b'\n \n', 'there is no prompt'),
    (b'good\n\nbad \xff\n', 'prompt 2 of 2 is not UTF-8'),
  ],
)
def test_an_input_without_prompts(content, said, tmp_path, stdin):
  stdin(content)
  status, _, err = run(generate, SANDBOX, '--stages', tmp_path)
  assert status == 1 and err.count('\n') == 1, err
  assert said in err


def test_prompts_are_the_lines_of_the_input_in_utf_8(stdin):
  stdin('\ufeffwhat ?\r\n\n  größer ?  \n'.encode())
  options = generate.parse([SANDBOX])
  assert generate.prompts(options) == ['what ?', 'größer ?']


@pytest.mark.parametrize('top_k', [1, 128, 200, 2**31 - 1])
def test_any_top_k_is_taken_and_no_more_is_sorted(top_k):
  options = generate.parse([SANDBOX, '--prompt', 'x', '--top-k', str(top_k)])
  sampling = generate.sampling(options)
  assert sampling.top_k == top_k
  assert sampling.sorted_candidates(1000) == min(top_k, 1000)


def test_each_setting_has_a_folder_of_results():
  long = f'seed={"1" * 999}'
  plain, one, two, other = (
    train.default_out(SANDBOX, values)
    for values in ([], ['seed=1'], ['b=x/y', 'a=2', 'a=1'], [long])
  )
  assert plain == pathlib.Path('runs/rlhf/sandbox')
  assert one == plain / 'seed=1'
  # As they were set last, in an order that does not depend on the command.
  assert two == plain / 'a=1,b=x_y'
  assert other.parent == plain and len(other.name.encode()) < 256
  assert other != train.default_out(SANDBOX, [long[:-1]])


def test_a_report_names_the_command_and_what_was_set():
  assert train.asked(SANDBOX, []) == [
    f'Command: `python -m launch.train {SANDBOX}`',
    'Settings: as the file has them.',
  ]
  assert train.asked(SANDBOX, ['seed=1', 'stages.ppo.config.kl_coef=0.2']) == [
    f'Command: `python -m launch.train {SANDBOX} --set seed=1 --set '
    'stages.ppo.config.kl_coef=0.2`',
    'Set: `seed=1` (in the file 0), `stages.ppo.config.kl_coef=0.2` (in the '
    'file 0.05).',
  ]


def test_stages_cannot_be_a_file(tmp_path):
  (tmp_path / 'file').write_text('')
  status, _, err = run(train, SANDBOX, '--stages', tmp_path / 'file')
  assert status == 1
  assert err == (
    f'error: --stages must be a folder, and {tmp_path}/file is a file; name '
    'another\n'
  )


def test_stages_cannot_be_in_a_bucket():
  status, _, err = run(train, SANDBOX, '--stages', 'gs://bucket/stages')
  assert status == 1 and err.count('\n') == 1
  assert err.startswith('error: --stages: gs://bucket/stages is no folder')


def test_resuming_where_the_results_go_is_no_contradiction(tmp_path):
  status, _, err = run(train, SANDBOX, '--resume', tmp_path, '--out', tmp_path)
  assert status == 1
  assert f'{tmp_path} holds no config.json' in err
