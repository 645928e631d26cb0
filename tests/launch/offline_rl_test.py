"""Asking a Decision Transformer for a reward from the command line."""

import pathlib

import pytest

from launch import loading
from rlhf_jax import sandbox
from rlhf_jax.addressing import describe, flatten

FILE = (
  pathlib.Path(__file__).parents[2] / 'experiments/offline_rl/against_ppo.py'
)


def build(*assignments):
  return loading.build(loading.load(FILE), assignments)


def test_a_target_changes_what_is_asked_for_and_nothing_else():
  before = flatten(describe(build()))
  after = flatten(describe(build('target=-1.5')))
  assert before.keys() == after.keys()
  assert {name for name in after if before[name] != after[name]} == {
    'variants.dt.condition.z',
    'variants.dt_generated.condition.z',
  }
  condition = build('target=-1.5').variants['dt'].condition
  assert condition.text == '<rm_score>: - 1 . 5'


def test_it_asks_as_it_was_trained():
  experiment = build()
  recipe = experiment.stages['dt_pool'].config.recipe.keywords
  for variant in experiment.variants.values():
    condition = variant.condition
    assert recipe == {
      'decimals': condition.decimals,
      'spelling': condition.spelling,
    }
    told = sandbox.tokenizer(sandbox.CONDITION_WORDS).encode(condition.text)
    room = experiment.limits.max_prompt_tokens - sandbox.max_prompt_tokens()
    assert len(told) <= room


def test_every_arm_takes_as_many_updates_on_the_same_responses():
  stages = build('pairs=1024').stages
  arms = ('filtered', 'best', 'rwr', 'dt')
  assert {stages[arm].config.steps for arm in arms} == {96}
  assert {stages[arm].config.batch_size for arm in arms} == {64}
  assert {stages[f'{arm}_pool'].data for arm in arms} == {
    ('labelled_demonstrations', 'labelled_preferences')
  }


@pytest.mark.parametrize(
  'assignment, message',
  [
    ('target=nan', "target takes a number, not 'nan'"),
    ('target=inf', 'target is inf; it must be finite'),
    ('target=high', "target takes a number, not 'high'"),
  ],
)
def test_mistakes_are_a_sentence(assignment, message):
  with pytest.raises(ValueError) as caught:
    build(assignment)
  assert message in str(caught.value)
  assert '\n' not in str(caught.value)
