"""Rules of values: every number of every config has one, and it holds."""

import dataclasses
import functools
import importlib
import inspect
import math
import pkgutil
import typing
from collections.abc import Callable
from typing import Annotated

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

import rlhf_jax
from rlhf_jax import losses
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.definition import Experiment
from rlhf_jax.feedback.similarity.endpoint import Chat
from rlhf_jax.stages import Stage
from rlhf_jax.types import calls, rules, values

# What a program makes for itself, and nobody sets.
MADE = (
  'Batches',
  'Data',
  'TextData',
  'Bound',
  'LazyRecords',
  'Loop',
  'WrittenBatches',
  'Compiled',
  'Program',
  'ProgramPlan',
  'StagePlan',
  'Trial',
  'Run',
  'Trained',
  'ResponseWriter',
  'Shapes',
)
# Looked at elsewhere, when it is first asked.
LAZY = (Chat,)


def modules(package):
  names = pkgutil.walk_packages(package.__path__, f'{package.__name__}.')
  return [importlib.import_module(m.name) for m in names]


@functools.cache
def configs():
  """Every frozen dataclass of the library that somebody sets."""
  return [
    cls
    for module in modules(rlhf_jax)
    for cls in vars(module).values()
    if isinstance(cls, type)
    and not module.__name__.startswith('rlhf_jax.types')
    and cls.__module__ == module.__name__
    and dataclasses.is_dataclass(cls)
    and cls.__dataclass_params__.frozen
    and not hasattr(cls, '_flax_dataclass')
    and cls.__name__ not in MADE
  ]


def numbers(hint):
  """The annotations of what is a number in a value, alone or in a tuple."""
  kinds = values.alternatives(values.unwrapped(hint)[0])
  if {int, float} & {*kinds}:
    yield hint
  for kind in kinds:
    if typing.get_origin(kind) is tuple:
      for part in typing.get_args(kind):
        yield from numbers(part)


def number(hint):
  return any(True for _ in numbers(hint))


def ruled(hint):
  """Whether the annotation of numbers says which are allowed."""
  return all(
    any(isinstance(rule, rules.Range) for rule in values.unwrapped(part)[1])
    for part in numbers(hint)
  )


def numbers_of_configs():
  return [
    (f'{cls.__module__}.{cls.__name__}.{name}', cls, name, hint)
    for cls in [*configs(), Stage]
    for name, hint in values.hints(cls).items()
    if number(hint) and cls not in LAZY
  ]


class EveryConfigTest(parameterized.TestCase):
  def test_there_are_many(self):
    found = {cls for _, cls, _, _ in numbers_of_configs()}
    self.assertGreater(len(found), 40)
    self.assertIn(Experiment, found)
    self.assertNotIn(Data, found)

  def test_the_annotations_of_each_can_be_read(self):
    # Of a class with one that cannot be, no field is checked.
    empty = [
      c for c in configs() if dataclasses.fields(c) and not values.hints(c)
    ]
    self.assertEmpty(empty)

  @parameterized.named_parameters(numbers_of_configs())
  def test_every_number_has_a_rule(self, cls, name, hint):
    self.assertTrue(ruled(hint), f'{cls.__name__}.{name} may be any number')

  @parameterized.named_parameters(
    row for row in numbers_of_configs() if row[1] is not Stage
  )
  def test_the_rule_is_looked_at_when_it_is_set(self, cls, name, hint):
    # Arrays are not looked into, so this field alone is wrong.
    config = object.__new__(cls)
    for field in dataclasses.fields(cls):
      object.__setattr__(config, field.name, np.zeros(()))
    wrong = (math.nan,) if 'tuple' in str(hint) else math.nan
    object.__setattr__(config, name, wrong)
    with self.assertRaisesRegex(values.ValueRuleError, rf'\b{name}\b.* nan'):
      config.__post_init__()

  def test_every_option_of_a_loss_has_a_rule(self):
    found = {
      f'{function.__module__}.{function.__name__}.{name}': hint
      for module in modules(losses)
      for function in vars(module).values()
      if inspect.isfunction(function) and function.__module__ == module.__name__
      for name, hint in values.hints(function).items()
      if name in calls.options(function) and number(hint)
    }
    self.assertGreater(len(found), 50)
    self.assertEmpty([name for name, hint in found.items() if not ruled(hint)])

  def test_every_number_that_a_default_binds_has_a_rule(self):
    bound = {
      (default.func, name)
      for cls in configs()
      for field in dataclasses.fields(cls)
      if isinstance(default := field.default, functools.partial)
      for name, value in default.keywords.items()
      if isinstance(value, int | float)
    }
    self.assertGreater(len(bound), 10)
    for function, name in bound:
      self.assertTrue(ruled(values.hints(function)[name]), (function, name))


@dataclasses.dataclass(frozen=True, kw_only=True)
@values.checked
class Config:
  steps: rules.Count = 4
  rate: rules.Positive = 0.1
  share: rules.Share = 0.5
  clip: rules.Bound | None = None
  lengths: tuple[rules.Count, ...] = ()
  parts: Annotated[rules.Count, rules.Divides('steps')] = 1
  kept: Annotated[int, rules.AtMost('steps')] = 1
  whole: bool = False
  word: str = 'a'
  called: Callable[[chex.Array, chex.Array], chex.Array] = jnp.add
  inner: 'Config | None' = None


class RulesTest(parameterized.TestCase):
  @parameterized.parameters(
    ('steps', 1), ('steps', 2**31 - 1), ('rate', 1e-30), ('rate', 3),
    ('share', 0), ('share', 1.0), ('clip', math.inf), ('clip', None),
    ('lengths', (1, 2)), ('lengths', [3]), ('parts', 2), ('kept', 4),
    ('rate', np.float32(0.5)), ('steps', np.int64(8)), ('rate', jnp.ones(3)),
  )  # fmt: skip
  def test_allows(self, name, value):
    self.assertIs(getattr(Config(**{name: value}), name), value)

  @parameterized.parameters(
    ('steps', 0, r'Config.steps is 0; it must be in \[1, 2147483648\)'),
    ('steps', 2**31, r'Config.steps is 2147483648; it must be in'),
    ('steps', 2.0, 'steps is 2.0; it must be a whole number'),
    ('steps', True, 'steps is True; it must be a whole number'),
    ('steps', '5', "steps is '5'; it must be a whole number"),
    ('rate', 0.0, 'rate is 0.0; it must be above 0'),
    ('rate', math.nan, 'rate is nan; it must be above 0'),
    ('rate', math.inf, 'rate is inf; it must be above 0'),
    # Infinite and 0 in float32, whose largest is 3.4e38, smallest 1.4e-45.
    ('rate', 1e39, r'rate is 1e\+39; it must be above 0'),
    ('rate', 1e-46, 'rate is 1e-46; it must be above 0'),
    ('rate', None, 'rate is None; it must be a number'),
    ('share', 1.5, r'share is 1.5; it must be in \[0, 1\]'),
    ('clip', -1.0, 'clip is -1.0; it must be above 0, or infinite'),
    ('lengths', (3, 0), 'lengths.1 is 0; it must be in'),
    ('lengths', 3, 'lengths is 3; it must be a tuple'),
    ('parts', 3, 'parts is 3; it must divide steps, 4, evenly'),
    ('kept', 5, 'kept is 5; it must not be more than steps, 4'),
    ('whole', 'yes', "whole is 'yes'; it must be true or false"),
    ('word', 3, 'word is 3; it must be text'),
    ('called', [max], r'called is \[.*\]; it must be a function'),
    ('inner', 3, 'inner is 3; it must be Config or none'),
  )
  def test_refuses_in_a_sentence(self, name, value, message):
    with self.assertRaisesRegex(values.ValueRuleError, message) as caught:
      Config(**{name: value})
    self.assertNotIn('\n', str(caught.exception))

  def test_tracers_pass(self):
    def double(rate):
      return 2.0 * dataclasses.replace(Config(), rate=rate).rate

    rates = jnp.array([-1.0, 0.5])
    np.testing.assert_array_equal(jax.vmap(double)(rates), [-2.0, 1.0])

  def test_a_check_of_its_own_comes_after(self):
    seen = []

    @dataclasses.dataclass(frozen=True, kw_only=True)
    @values.checked
    class Child(Config):
      more: rules.Count = 1

      def __post_init__(self):
        seen.append(self.more)

    Child(more=3)
    self.assertEqual(seen, [3])
    with self.assertRaisesRegex(ValueError, 'Child.more is 0'):
      Child(more=0)
    with self.assertRaisesRegex(ValueError, 'Child.steps is 0'):
      Child(steps=0)
    self.assertEqual(seen, [3])


if __name__ == '__main__':
  absltest.main()
