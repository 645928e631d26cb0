"""Asking a steered policy for attributes from the command line."""

import pathlib

import pytest

from launch import loading
from rlhf_jax.addressing import describe, flatten

FILE = pathlib.Path(__file__).parents[2] / 'experiments/steerlm/steering.py'


def build(*assignments):
  return loading.build(loading.load(FILE), assignments)


def test_a_request_changes_what_policies_are_asked_for_and_nothing_else():
  before = flatten(describe(build()))
  after = flatten(describe(build('attributes.verbosity=0')))
  assert before.keys() == after.keys()
  policies = ('', '_rated', '_regressed', '_people', '_bootstrapped', '_again')
  assert {name for name in after if before[name] != after[name]} == {
    f'variants.steerlm{policy}.condition.values.verbosity'
    for policy in policies
  }
  condition = build('attributes.verbosity=0').variants['steerlm'].condition
  assert ' '.join(condition.text.split()) == (
    '<extra_id_2> correctness: 4 , helpfulness: 4 , verbosity: 0 , '
    'politeness: 4 , coherence: 4'
  )


def test_each_level_of_each_attribute_is_asked_for():
  variants = build().variants
  asked = variants['politeness_1']
  assert asked.policy == 'steerlm'
  assert dict(asked.condition.values) == {
    'correctness': 4,
    'helpfulness': 4,
    'verbosity': 2,
    'politeness': 1,
    'coherence': 4,
  }
  assert len([name for name in variants if name[-1] in '01234']) == 25


@pytest.mark.parametrize(
  'assignment, message',
  [
    ('attributes.verbosity=9', 'verbosity:9 is not on the scale'),
    ('attributes.verbosty=1', 'there is no attributes.verbosty; did you mean'),
    ('attributes.verbosity=long', 'attributes.verbosity takes a whole number'),
  ],
)
def test_mistakes_are_a_sentence(assignment, message):
  with pytest.raises(ValueError) as caught:
    build(assignment)
  assert message in str(caught.value)
  assert '\n' not in str(caught.value)
