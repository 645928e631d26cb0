"""Values set by dotted names, and what is said of mistakes."""

import dataclasses
import functools
import math
import types
from collections.abc import Callable

import jax
import jax.numpy as jnp
from absl.testing import absltest, parameterized

from rlhf_jax.experiment import overrides
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import divergences
from rlhf_jax.losses import objective as objectives
from rlhf_jax.losses import pairwise
from rlhf_jax.sandbox import gold
from rlhf_jax.stages import Stage
from rlhf_jax.training import compile as compilation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
  learning_rate: float = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  steps: int = 10
  kl_coef: float = 0.02
  score_clip: float | None = None
  whiten: bool = True
  name: str = 'plain'
  estimator: Callable[..., float] = divergences.k1
  objective: Callable[..., float] = functools.partial(max, default=0.2)
  optimizer: Optimizer = Optimizer()
  critic_optimizer: Optimizer | None = None
  sampling: Sampling = Sampling()

  def __post_init__(self):
    if self.steps < 1:
      raise ValueError(f'steps is {self.steps}; 1 is the least')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs:
  objective: objectives.Objective


def init(key, start, *, models, config):
  """A stage's, of which only the name counts here."""


def update(state, frozen, batch, key, *, models, optimizer, config):
  """Likewise."""


def stage(config):
  return Stage(init=init, update=update, config=config, data='prompts')


EXPERIMENT = {'stages': {'ppo': stage(Config()), 'sft': stage(Config())}}


def after(path, text):
  changed = overrides.apply(EXPERIMENT, [(path, text)])
  return changed['stages']['ppo'].config


class ApplyTest(parameterized.TestCase):
  @parameterized.parameters(
    ('steps', '25', 25),
    ('kl_coef', '0.5', 0.5),
    ('kl_coef', '1', 1.0),
    ('kl_coef', '1e-3', 1e-3),
    ('score_clip', '3', 3.0),
    ('score_clip', 'none', None),
    ('whiten', 'false', False),
    ('name', 'other', 'other'),
    ('estimator', 'rlhf_jax.kernels.divergences.k3', divergences.k3),
  )
  def test_reads_a_value_as_what_is_there(self, name, text, expected):
    value = getattr(after(f'stages.ppo.config.{name}', text), name)
    self.assertEqual(value, expected)
    self.assertIs(type(value), type(expected))

  def test_reaches_as_deep_as_there_is(self):
    config = after('stages.ppo.config.optimizer.learning_rate', '0.25')
    self.assertEqual(config.optimizer.learning_rate, 0.25)
    config = after('stages.ppo.config.objective.default', '0.3')
    self.assertEqual(config.objective.keywords, {'default': 0.3})
    config = after('stages.ppo.config.sampling.top_p', '0.5')
    self.assertEqual(config.sampling.top_p, 0.5)

  @parameterized.parameters('dpo_0', 'dpo_0.1', 'dpo_0.1.2')
  def test_names_may_have_dots(self, name):
    names = ('dpo_0', 'dpo_0.1', 'dpo_0.1.2')
    many = {'stages': {other: stage(Config()) for other in names}}
    changed = overrides.apply(many, [(f'stages.{name}.config.steps', '25')])
    steps = {k: v.config.steps for k, v in changed['stages'].items()}
    self.assertEqual(steps, dict.fromkeys(names, 10) | {name: 25})
    with self.assertRaisesRegex(
      overrides.OverrideError, 'no stages.dpo_9; did you mean dpo_0'
    ):
      overrides.apply(many, [('stages.dpo_9.9.config.steps', '25')])

  @parameterized.parameters(
    ('dpo_beta_0.03', 'dpo_beta_0.03'),
    ('rlhf_jax.sandbox.gold', gold),
  )
  def test_a_source_is_a_stage_or_a_function(self, text, expected):
    for before in ('reward_model', max):
      changed = stage(Config())._replace(frozen={'reward': before})
      found = overrides.apply(changed, [('frozen.reward', text)])
      self.assertEqual(found.frozen, {'reward': expected})

  def test_a_source_that_is_no_function_is_told(self):
    made = stage(Config())._replace(frozen={'reward': 'reward_model'})
    with self.assertRaisesRegex(
      overrides.OverrideError, "'rlhf_jax.sandbox.no_such' is none"
    ):
      overrides.apply(made, [('frozen.reward', 'rlhf_jax.sandbox.no_such')])

  def test_leaves_everything_else(self):
    changed = overrides.apply(EXPERIMENT, [('stages.ppo.config.steps', '25')])
    self.assertEqual(changed['stages']['sft'], EXPERIMENT['stages']['sft'])
    self.assertEqual(EXPERIMENT['stages']['ppo'].config.steps, 10)

  @parameterized.parameters(
    (
      'stages.ppo.config.kl_coeff',
      '1',
      'no stages.ppo.config.kl_coeff; did you mean kl_coef',
    ),
    ('stages.pop.config.kl_coef', '1', 'no stages.pop; did you mean ppo'),
    (
      'stages.ppo.config.steps',
      '2.5',
      'config.steps takes a whole number, not .2.5.',
    ),
    (
      'stages.ppo.config.kl_coef',
      'small',
      'kl_coef takes a number, not .small.',
    ),
    ('stages.ppo.config.kl_coef', 'none', 'kl_coef takes a number, not .none.'),
    (
      'stages.ppo.config.score_clip',
      'x',
      'takes a number or none',
    ),
    ('stages.ppo.config.steps.more', '1', 'steps is a single value'),
    ('stages.ppo.config.estimator', 'k9', 'takes a function by its import'),
    (
      'stages.ppo.config.estimator',
      'rlhf_jax.kernels.divergences.k9',
      'takes a function by its import',
    ),
    ('stages.ppo.config.steps', '0', 'config.steps: steps is 0; 1 is the'),
  )
  def test_says_what_is_wrong(self, path, text, message):
    with self.assertRaisesRegex(overrides.OverrideError, message):
      overrides.apply(EXPERIMENT, [(path, text)])


# Functions by where they are now.
def path_of(function):
  return f'{function.__module__}.{function.__name__}'


def plain(x):
  """It has no options."""
  return x


def of_all(x, **options):
  return x, options


class ObjectiveTest(parameterized.TestCase):
  def after(self, *assignments, objective=None):
    """The objective of a stage after each of them in turn."""
    if objective is None:
      objective = functools.partial(pairwise.dpo, beta=0.1, label_smoothing=0.2)
    experiment = {'stages': {'dpo': stage(Pairs(objective=objective))}}
    for path, text in assignments:
      at = f'stages.dpo.config.objective{path}'
      experiment = overrides.apply(experiment, [(at, text)])
    return experiment['stages']['dpo'].config.objective

  def test_keeps_the_options_that_the_new_one_takes_too(self):
    changed = self.after(('', path_of(pairwise.ipo_sum)))
    self.assertIs(changed.func, pairwise.ipo_sum)
    self.assertEqual(changed.keywords, {'beta': 0.1})
    changed = self.after(('', path_of(pairwise.cpo)))
    self.assertIs(changed.func, pairwise.cpo)
    self.assertEqual(changed.keywords, {'beta': 0.1, 'label_smoothing': 0.2})

  def test_takes_none_where_there_are_none_to_take(self):
    self.assertIs(self.after(('', path_of(plain))), plain)
    self.assertIs(self.after(('', 'math.sqrt')), math.sqrt)
    policies = jax.checkpoint_policies  # An attribute of jax, and no module.
    everything = self.after(('', 'jax.checkpoint_policies.everything_saveable'))
    self.assertIs(everything, policies.everything_saveable)
    self.assertIs(self.after(('', path_of(of_all))), of_all)

  def test_what_is_none_becomes_what_its_place_holds_by_default(self):
    changed = overrides.apply(
      Config(), [('critic_optimizer.learning_rate', '0.5')]
    )
    self.assertEqual(changed.critic_optimizer, Optimizer(learning_rate=0.5))

  def test_a_number_is_set_in_the_one_that_is_there(self):
    changed = self.after(('.beta', '0.3'))
    self.assertIs(changed.func, pairwise.dpo)
    self.assertEqual(changed.keywords, {'beta': 0.3, 'label_smoothing': 0.2})

  def test_a_number_is_set_after_the_function(self):
    changed = self.after(('', path_of(pairwise.ipo_sum)), ('.beta', '0.3'))
    self.assertIs(changed.func, pairwise.ipo_sum)
    self.assertEqual(changed.keywords, {'beta': 0.3})

  def test_options_that_nobody_bound_can_be_bound(self):
    bare = functools.partial(pairwise.dpo)
    changed = self.after(('.beta', '1'), ('.label_smoothing', '0'),
                         objective=bare)  # fmt: skip
    self.assertEqual(changed.keywords, {'beta': 1.0, 'label_smoothing': 0.0})
    # As floats, or a step would be compiled for each value.
    blank, values = compilation.split_config(Pairs(objective=changed))
    self.assertLen(values, 2)
    self.assertEqual(
      blank.objective.options, (('beta', None), ('label_smoothing', None))
    )
    changed = self.after(('.beta', '0.5'), objective=pairwise.dpo)
    self.assertEqual(changed.keywords, {'beta': 0.5})

  def test_what_the_new_one_needs_is_told_when_it_is_called(self):
    changed = self.after(('', path_of(pairwise.simpo)))
    arrays = dict.fromkeys(objectives.reads(changed), jnp.zeros(2))
    with self.assertRaisesRegex(
      ValueError, r'simpo needs a value for .+: bind it, as in functools'
    ):
      objectives.evaluate(changed, arrays)

  @parameterized.parameters(
    ('.beat', '1', 'no stages.dpo.config.objective.beat; did you mean beta'),
    ('.beta', 'small', 'objective.beta takes a number, not .small.'),
    ('.beta', 'none', 'objective.beta takes a number, not .none.'),
    ('.policy_chosen_logps', '1', 'no .+policy_chosen_logps; .*names in'),
  )
  def test_says_what_is_wrong(self, path, text, message):
    with self.assertRaisesRegex(overrides.OverrideError, message):
      self.after((path, text))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  model: str = ''
  optimizer: Optimizer = Optimizer()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Built:
  model: Config
  learnt: Optimizer


class FileTest(absltest.TestCase):
  def build(self, *assignments):
    module = types.SimpleNamespace(
      Settings=Settings,
      config=lambda settings: Built(
        model=Config(name=settings.model or 'small'), learnt=settings.optimizer
      ),
    )
    return overrides.build(module, assignments)

  def test_what_is_inside_a_text_is_the_experiments(self):
    found = self.build('model.steps=3', 'model=m', 'optimizer.learning_rate=1')
    self.assertEqual(found.model, Config(name='m', steps=3))
    self.assertEqual(found.learnt.learning_rate, 1.0)

  def test_what_is_inside_neither_is_told(self):
    with self.assertRaisesRegex(overrides.OverrideError, 'no model.step; did'):
      self.build('model.step=3')


if __name__ == '__main__':
  absltest.main()
