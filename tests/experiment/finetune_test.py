"""The recipes on a small model in a folder and a file, and what they refuse."""

import concurrent.futures
import contextlib
import io
import json
import pathlib
import re
import shutil

import jax
import pytest

from launch import loading, train
from launch.annotating.desk import Desk
from launch.annotating.pairs import Pair
from rlhf_jax import experiment as experiments
from rlhf_jax.data import formats, tokens
from rlhf_jax.experiment.definition import policy_variants
from rlhf_jax.experiment.overrides import OverrideError
from rlhf_jax.models import huggingface, language_model, presets, scalar_model
from rlhf_jax.storage import journal
from rlhf_jax.types import Message, Prompt, prompt_of
from tests import browser
from tests.launch import pages, served
from tests.launch.train_test import run as run_command
from tests.models import huggingface_folders as folders

ROOT = pathlib.Path(__file__).parents[2] / 'experiments' / 'finetune'
ROWS = [
  {'prompt': f'what is {a} plus {b} ?', 'chosen': f'{a + b} .', 'rejected': 'x'}
  for a in range(6)
  for b in range(6)
]
SMALL = (
  'steps=1',
  'batch_size=8',
  'max_prompt_tokens=48',
  'max_response_tokens=8',
  'limits.buckets=',
  'test_prompts=8',
  'test_examples=8',
  'data.held_out=0.3',
)
PROGRAM = ('data={0}/prompts.jsonl', f'reward={__name__}.brief')
JUDGE = ('data={0}/prompts.jsonl', 'reward={0}/judge')
FIRST = 'stages.reward_model.config.steps=1'
# Recipes, values that are set, and the policies that are measured then.
QUICK = {
  'sft': ('sft', (), 'start sft'),
  'grpo': ('grpo', PROGRAM, 'start grpo'),
}
SLOW = {
  'dpo': ('dpo', (), 'start dpo'),
  'reward model': ('reward_model', (), 'start'),
  'reward head': ('reward_head', ('trunk_layers=1',), 'start'),
  'another method': ('dpo', ('method=rlhf_jax.methods.simpo',), 'start simpo'),
  'kto': ('kto', (), 'start kto'),
  'kto on labels': ('kto', ('data={0}/labels.jsonl',), 'start kto'),
  'orpo': ('orpo', (), 'start orpo'),
  'rloo on a folder': ('rloo', JUDGE, 'start rloo'),
  'ppo on a folder': ('ppo', JUDGE, 'start ppo'),
  'ppo on a program': ('ppo', PROGRAM, 'start ppo'),
  'ppo on pairs': ('ppo', (FIRST,), 'start ppo'),
  'rlp': (
    'rlp',
    (
      FIRST,
      'stages.uml.config.steps=1',
      'stages.spg.config.steps=1',
    ),
    'start ppo rlp_uml rlp_spg',
  ),
  'no model': (
    'dpo',
    ('model=', 'model.layers=1', 'stages.sft.config.steps=1'),
    'sft dpo',
  ),
}


def brief(prompts, responses):
  return [-len(response) for response in responses]


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """A folder with a model, a judge of the same tokenizer, pairs and prompts."""
  root = tmp_path_factory.mktemp('finetune')
  (root / 'pairs.jsonl').write_text('\n'.join(map(json.dumps, ROWS)))
  asked = [{'prompt': row['prompt']} for row in ROWS]
  (root / 'prompts.jsonl').write_text('\n'.join(map(json.dumps, asked)))
  labels = [
    {'prompt': row['prompt'], 'completion': row[side], 'label': good}
    for row in ROWS
    for side, good in (('chosen', True), ('rejected', False))
  ]
  (root / 'labels.jsonl').write_text('\n'.join(map(json.dumps, labels)))
  said = [' '.join(row.values()) for row in ROWS]
  tokenizer = tokens.train_bpe(said, vocab_size=280)
  config = presets.sandbox(tokenizer.vocab_size)
  for name, model in (('model', language_model), ('judge', scalar_model)):
    params = model(config).init(jax.random.key(0))
    huggingface.write(root / name, config, params)
    tokenizer.save(root / name)
  return root


def settings(made, *given):
  """What is set: the model and the file, few steps, and what is given."""
  place = f'model={made}/model', f'data={made}/pairs.jsonl'
  return [*place, *SMALL, *(text.format(made) for text in given)]


def built(made, recipe, *given):
  module = loading.load(ROOT / f'{recipe}.py')
  return loading.build(module, settings(made, *given))


@pytest.mark.parametrize(
  ('recipe', 'given', 'policies'),
  [
    *(pytest.param(*case, id=name) for name, case in QUICK.items()),
    *(
      pytest.param(*case, id=name, marks=pytest.mark.long)
      for name, case in SLOW.items()
    ),
  ],
)
def test_runs_and_measures_what_it_began_from(
  made, tmp_path, recipe, given, policies
):
  results = experiments.run(
    built(made, recipe, *given),
    tmp_path,
    stages_dir=made / 'stages',
    console=io.StringIO(),
  )
  assert [*results['policies']] == policies.split()
  first = policies.split()[0]
  samples = (tmp_path / 'report.md').read_text().partition('## Samples')[2]
  for name in policies.split():
    assert f'| {name} |' in samples
    assert results['policies'][name]['against'] == first


@pytest.mark.parametrize(
  ('recipe', 'given', 'policies'),
  [*QUICK.values(), *SLOW.values()],
  ids=[*QUICK, *SLOW],
)
def test_its_data_and_folders_fit_it(made, tmp_path, recipe, given, policies):
  experiment = built(made, recipe, *given)
  run = experiments.prepare(experiment, tmp_path, console=io.StringIO())
  assert run.corpus.datasets['test_prompts']
  assert [*policy_variants(experiment)] == policies.split()


@pytest.mark.parametrize(
  'path', sorted(ROOT.glob('*.py')), ids=lambda p: p.stem
)
def test_a_recipe_is_short(path):
  if path.stem not in ('recipe', 'given'):
    assert len(path.read_text().splitlines()) < 60


@pytest.mark.parametrize(
  ('method', 'words'),
  [
    (
      'rlhf_jax.methods.reward_model',
      'does not learn a policy from pairs alone',
    ),
    ('rlhf_jax.methods.ppo', 'does not learn a policy from pairs alone'),
    ('rlhf_jax.losses', 'has no Config and stages'),
    ('rlhf_jax.methods.dp', 'No module named .rlhf_jax.methods.dp'),
  ],
)
def test_a_method_that_does_not_learn_from_pairs_is_refused(
  made, method, words
):
  with pytest.raises(OverrideError, match=f'^--set method={method}: .*{words}'):
    built(made, 'dpo', f'method={method}')


@pytest.mark.parametrize(
  ('recipe', 'wrong', 'words'),
  [
    ('sft', 'model={0}', 'that is no folder with the config.json of a model'),
    ('sft', 'model={0}/broken', '.*config.json: the activation .odd. is not'),
    ('dpo', 'data={0}/empty', '.* holds no file of data, which would end in'),
    ('dpo', 'data_columns=prompt:asked', 'columns are given as FIELD=COLUMN'),
    ('grpo', 'reward={0}', 'that is neither a folder with the config.json of'),
    ('ppo', 'reward={0}/model', '.*model holds a language model, which gives'),
  ],
)
def test_a_wrong_setting_is_named_first(made, tmp_path, recipe, wrong, words):
  (made / 'empty').mkdir(exist_ok=True)
  broken = made / 'broken'
  shutil.copytree(made / 'model', broken, dirs_exist_ok=True)
  folders.edit(broken, hidden_act='odd')
  status, _, said = command(made, tmp_path, recipe, (wrong,))
  assert status == 1
  assert re.match(rf'error: --set {wrong.format(made)}: {words}', said), said


SEVERAL = 'data={0}/pairs.jsonl,{0}/more'


@pytest.fixture
def more(made):
  """Another folder of pairs beside the first file."""
  (made / 'more').mkdir(exist_ok=True)
  rows = [{**row, 'prompt': f'now, {row["prompt"]}'} for row in ROWS[:20]]
  path = made / 'more' / 'other.jsonl'
  path.write_text('\n'.join(map(json.dumps, rows)))
  return path


@pytest.mark.parametrize(
  ('recipe', 'stage', 'learnt'),
  [
    ('sft', 'sft', 'demonstrations'),
    ('dpo', 'dpo', 'comparisons'),
    ('ppo', 'reward_model', 'comparisons'),
    ('ppo', 'ppo', 'prompts'),
  ],
)
def test_several_data_have_their_shares(
  made, more, tmp_path, recipe, stage, learnt
):
  together = built(made, recipe, SEVERAL)
  assert together.stages[stage].data == learnt
  assert together.stages[stage].mixture is None
  experiment = built(made, recipe, SEVERAL, 'shares=0.25,0.75')
  parts = (f'{learnt}_1', f'{learnt}_2')
  assert experiment.stages[stage].data == parts
  corpus = experiments.prepare(
    experiment, tmp_path, console=io.StringIO()
  ).corpus
  sizes = {name: len(corpus.datasets[name]) for name in parts}
  assert sum(sizes.values()) == len(corpus.datasets[learnt])
  for record in corpus.datasets[parts[1]]:
    assert prompt_of(record).where.startswith('other.jsonl')
  shares = experiment.stages[stage].mixture.shares(sizes, 8)
  assert shares.tolist() == [0.25, 0.75]


@pytest.mark.long
def test_a_mixture_is_trained_on(made, more, tmp_path):
  experiment = built(made, 'sft', SEVERAL, 'shares=0.25,0.75')
  results = experiments.run(
    experiment, tmp_path, stages_dir=made / 'stages', console=io.StringIO()
  )
  assert [*results['policies']] == ['start', 'sft']


@pytest.mark.parametrize(
  ('given', 'words'),
  [
    ((SEVERAL, 'shares=1,'), 'shares.1 takes a number'),
    (
      (SEVERAL, 'shares=0.5'),
      '--set shares=0.5: --set data names 2, so give 2',
    ),
    (('shares=0.5,0.5',), '--set shares=0.5,0.5: --set data names 1, so give'),
    ((SEVERAL, 'shares=1,0'), 'shares.1 is 0.0; it must be above 0'),
    (('data={0}/pairs.jsonl,',), '--set data=: give a file, a folder'),
    (('data={0}/pairs.jsonl,nowhere',), '--set data=nowhere: there is neither'),
  ],
)
def test_wrong_shares_and_data_are_refused(made, more, given, words):
  with pytest.raises(OverrideError, match=re.escape(words)):
    built(made, 'dpo', *given)


def test_what_one_of_several_lacks_is_told_of_its_file(made, more, tmp_path):
  given = ('data={0}/pairs.jsonl,{0}/prompts.jsonl', 'shares=0.5,0.5')
  experiment = built(made, 'dpo', *given)
  with pytest.raises(ValueError, match=r'prompts\.jsonl.*comparisons are nee'):
    experiments.prepare(experiment, tmp_path, console=io.StringIO())


def test_labels_have_no_pairs_to_measure_on(made, tmp_path):
  rows = map(json.loads, (made / 'labels.jsonl').read_text().splitlines())
  renamed = [row | {'good': row.pop('label')} for row in rows]
  (made / 'renamed.json').write_text(json.dumps(renamed))
  (made / 'cut.jsonl').write_text('{"prompt": "a", "comp')
  for given, expected in [
    (('data={0}/labels.jsonl',), None),
    (('data={0}/renamed.json', 'data_columns=label=good'), None),
    (('data={0}/pairs.jsonl',), 'test_comparisons'),
    (('data={0}/pairs.jsonl,{0}/labels.jsonl',), None),
    (('data={0}/nowhere.jsonl',), 'test_comparisons'),
    (('data={0}/cut.jsonl',), 'test_comparisons'),
  ]:
    experiment = built(made, 'kto', *given)
    assert experiment.evaluation.comparisons == expected


def test_prompts_alone_need_a_reward(made, tmp_path):
  experiment = built(made, 'grpo', 'data={0}/prompts.jsonl')
  with pytest.raises(ValueError, match='comparisons are needed here'):
    experiments.prepare(experiment, tmp_path, console=io.StringIO())


def test_values_inside_the_model_and_the_data_are_the_experiments(made):
  experiment = built(made, 'sft', 'model.compute_dtype=bfloat16')
  assert experiment.model.compute_dtype == 'bfloat16'
  assert experiment.data.held_out == 0.3


def command(made, tmp_path, recipe, given, *options):
  """Exit status, output and errors of `launch.train` on a recipe."""
  assigned = [x for s in settings(made, *given) for x in ('--set', s)]
  return run_command(
    train, ROOT / f'{recipe}.py', *assigned, '--out', tmp_path / 'out',
    '--stages', made / 'stages', *options,
  )  # fmt: skip


@pytest.mark.parametrize(
  ('recipe', 'what'),
  [
    pytest.param('dpo', 'language model', marks=pytest.mark.long),
    ('reward_model', 'reward'),
  ],
)
def test_what_was_trained_goes_out_as_a_folder(made, tmp_path, recipe, what):
  status, out, err = command(
    made, tmp_path, recipe, (), '--export', tmp_path / 'new'
  )
  assert status == 0, err
  assert f'new, the {what}' in out
  config, params = huggingface.read(tmp_path / 'new')
  assert config == huggingface.config_of(made / 'model')
  assert ('head' in params) == (what == 'reward')
  assert tokens.load(tmp_path / 'new').vocab_size == config.vocab_size


def asked(text):
  return Prompt((Message('user', text),))


def by_requests(here, name):
  """Somebody's choices, as their page would send them."""
  _, state = here.ask('next', name)
  while state['pair']:
    right = 'right' if state['texts'][0] == 'x' else 'left'
    state = here.choose(state, right, name)
  return state['done']


def by_browser(here, name):
  """Somebody's choices, in a browser of their own."""
  with browser.started() as own:
    page = pages.begun(own, here, name)
    return pages.choose_all(page, lambda left, right: right == 'x')


@pytest.mark.parametrize(
  'person',
  [
    by_requests,
    pytest.param(
      by_browser,
      marks=[
        pytest.mark.long,
        pytest.mark.skipif(
          not browser.program(), reason='there is no chromium: apt install it'
        ),
      ],
    ),
  ],
)
def test_what_two_people_chose_trains_a_reward_to_its_end(
  made, tmp_path, person
):
  pairs = [
    Pair(asked(row['prompt']), (row['chosen'], row['rejected'])) for row in ROWS
  ]
  choices = tmp_path / 'choices.jsonl'
  with (
    contextlib.closing(journal.Journal(choices)) as kept,
    served.served(Desk(pairs, kept, each=2)) as here,
    concurrent.futures.ThreadPoolExecutor() as people,
  ):
    chosen = people.map(person, (here, here), ('ann', 'bob'))
    assert list(chosen) == [len(ROWS)] * 2
  found = formats.comparisons(choices)
  assert len(found) == 2 * len(ROWS)
  assert all(record.responses[1] == 'x' for record in found)
  values = (
    'batch_size=16',
    'steps=40',
    'learning_rate=0.003',
    'test_examples=20',
  )
  found = experiments.run(
    built(made, 'reward_model', f'data={choices}', *values),
    tmp_path / 'out',
    stages_dir=tmp_path / 'stages',
    console=io.StringIO(),
  )
  (measured,) = found['reward_models']['reward_model'].values()
  assert measured['count'] == 20
  assert measured['accuracy']['value'] > 0.9


def test_nothing_is_trained_that_cannot_go_out(made, tmp_path):
  _, _, taken = command(made, tmp_path, 'dpo', (), '--export', made / 'model')
  assert 'model is not empty; name another folder' in taken
  _, _, anew = command(
    made, tmp_path, 'dpo', ('model=',), '--export', tmp_path / 'new'
  )
  assert "'dpo' began from none; begin from one" in anew
  assert not (tmp_path / 'out').exists()
