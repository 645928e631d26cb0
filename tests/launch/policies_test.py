"""Policies that a command line names: folders, runs and their stages."""

import dataclasses
import json

import jax
import pytest

from launch import errors, export_weights, policies
from rlhf_jax.data import tokens
from rlhf_jax.experiment import store
from rlhf_jax.models import huggingface, language_model
from rlhf_jax.training import checkpoints
from tests.experiment import small
from tests.launch.evaluate_test import result, run

STAGE = {'type': 'rlhf_jax.stages.stage.Stage', 'produces': 'policy'}


def described(folder, **said):
  folder.mkdir(parents=True, exist_ok=True)
  (folder / store.CONFIG).write_text(json.dumps(said))


@pytest.fixture
def original(tmp_path, monkeypatch):
  """A folder of transformers."""
  monkeypatch.chdir(tmp_path)
  tokenizer = tokens.train_bpe(['what is it ?'], vocab_size=265)
  config = dataclasses.replace(small.MODEL, vocab_size=tokenizer.vocab_size)
  params = language_model(config).init(jax.random.key(0))
  huggingface.write(tmp_path / 'model', config, params)
  tokenizer.save(tmp_path / 'model')
  return tmp_path / 'model'


@pytest.fixture
def run_folder(tmp_path, original):
  """A run that trained a policy twice, the second time from the first."""
  out, kept = tmp_path / 'out', tmp_path / 'kept'
  config, _ = huggingface.read(original)
  stages = {
    'sft': STAGE | {'start': {'policy': {'folder': str(original)}}},
    'preferences': {'type': 'rlhf_jax.stages.stage.DatasetStage'},
    'ppo': STAGE | {'start': {'policy': 'sft', 'critic': 'reward_model'}},
    'reward_model': STAGE | {'produces': 'reward'},
  }
  described(out, stages=stages)
  (out / 'stages').mkdir()
  for seed, (name, said) in enumerate(stages.items(), 1):
    stage = kept / f'{name}-0a1b'
    described(stage, **said)
    (out / 'stages' / name).symlink_to(stage)
    if name in ('sft', 'ppo'):
      params = language_model(config).init(jax.random.key(seed))
      store.write_vocabulary(stage, tokens.load(original))
      checkpoints.save_params(
        stage / store.PARAMS,
        {'policy': params},
        also=[stage / store.VOCABULARY],
      )
  return out


def test_a_run_answers_as_what_is_exported_of_it(
  run_folder, original, tmp_path
):
  status = export_weights.main(
    [str(run_folder / 'stages' / 'ppo'), 'exported', '--original', 'model']
  )
  assert status == 0
  (tmp_path / 'question.jsonl').write_text(
    ''.join(
      json.dumps({'question_id': i, 'category': 'c', 'turns': turns}) + '\n'
      for i, turns in enumerate((['what is it ?', 'is it ?'], ['is', 'what ?']))
    )
  )
  arguments = (
    '--benchmark', 'mt_bench', '--questions', 'question.jsonl', '--judge',
    'longer', '--max-tokens', 4, '--max-prompt-tokens', 64, '--at-a-time', 2,
  )  # fmt: skip
  status, out, err = run(
    *arguments, '--policy', run_folder, '--against', 'exported', '--out', 'o'
  )
  assert status == 0, err
  assert 'out/ppo against exported on mt_bench' in out
  rate = result(tmp_path / 'o')['win_rates']['all']['win_rate']
  assert (rate['value'], rate['ties']) == (0.5, 2)  # The same answers.
  (row, _) = json.loads((tmp_path / 'o' / 'model_outputs.json').read_text())
  assert '[The user asks next: is it ?]' in row['output']
  # Each turn of each of the two is kept.
  assert len(list((tmp_path / 'o').glob('answers-*.jsonl'))) == 4
  status, _, err = run(
    *arguments, '--policy', run_folder / 'stages' / 'sft', '--against',
    run_folder, '--out', 'p',
  )  # fmt: skip
  assert status == 0, err
  rate = result(tmp_path / 'p')['win_rates']['all']['win_rate']
  assert rate['ties'] < 2


def test_what_a_place_means(run_folder, original):
  stages = run_folder / 'stages'
  ppo = policies.Policy('out/ppo', str(original), stages / 'ppo')
  assert policies.named(str(run_folder)) == ppo
  assert policies.named(str(stages / 'ppo' / 'params')) == ppo
  sft = (stages / 'sft').resolve()
  assert policies.named(str(sft)) == ('sft-0a1b', str(original), sft)
  assert policies.named('model') == ('model', 'model', None)


@pytest.mark.parametrize(
  ('place', 'message'),
  [
    ('nowhere', 'nowhere is neither a file of answers, nor a folder of'),
    ('out/stages/reward_model', 'trains no policy'),
    ('out/stages/preferences', 'trains no policy'),
    ('kept/ppo-0a1b', 'name a policy by its run, as in RUN/stages/dpo'),
    ('afresh', 'began from no folder of transformers'),
    ('moved', 'gone/model, which is no folder of transformers now'),
    ('unfinished', 'unfinished is not trained yet'),
    ('untrained', 'untrained trains no policy; its stages are data'),
    ('seeds', 'name one: seeds/seed-0'),
    ('broken', 'broken/config.json is damaged'),
  ],
)
def test_what_is_no_policy(place, message, run_folder, tmp_path):
  described(tmp_path / 'afresh', **STAGE, start={})
  described(tmp_path / 'moved', **STAGE, start={'policy': 'gone/model'})
  described(tmp_path / 'unfinished', **STAGE, start={'policy': './model'})
  described(tmp_path / 'untrained', stages={'data': {}})
  described(tmp_path / 'seeds' / 'seed-0', stages={})
  described(tmp_path / 'broken')
  (tmp_path / 'broken' / store.CONFIG).write_text('{')
  with pytest.raises(errors.OptionError) as found:
    policies.named(place)
  assert message in str(found.value)


def test_other_tokens_are_refused(run_folder, original):
  stage = run_folder / 'stages' / 'ppo'
  other = tokens.train_bpe(['quite another text'], vocab_size=265)
  store.write_vocabulary(stage / store.PARAMS, other)
  policy = policies.named(str(run_folder))
  with pytest.raises(errors.OptionError, match='trained on other tokens'):
    policy.opened(None, None)
