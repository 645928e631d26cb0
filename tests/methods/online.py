"""Every field of every online Config, set away from its neutral value.

A field's row says what it is set to, for the Config and in words of numpy; what
follows is held against `online_definitions`, for each row alone and for all at
once. A field that has no row fails `ShapeCase`.
"""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import baselines, divergences, importance, masking
from rlhf_jax.learners import policy_gradient
from rlhf_jax.losses import (
  policy_gradient as objectives,
)
from rlhf_jax.losses import (
  supervised,
)
from rlhf_jax.methods import dapo, grpo, ppo, reinforce, remax, rloo
from rlhf_jax.training import optimizers
from rlhf_jax.types import Experience, Prompt
from tests import toy
from tests.methods import online_definitions as definitions

partial = functools.partial
METHODS = {
  'ppo': ppo,
  'grpo': grpo,
  'rloo': rloo,
  'reinforce': reinforce,
  'remax': remax,
  'dapo': dapo,
}
VOCABULARY = toy.VOCABULARY
# Unlike the toy's own, tables in which padding is a word like any other.
POLICY, REFERENCE, NEW = (
  {'embedding': jax.random.normal(jax.random.key(seed), (VOCABULARY,) * 2)}
  for seed in (3, 4, 5)
)
CRITIC, NEW_CRITIC = (toy.SCALAR.init(jax.random.key(s)) for s in (6, 7))
RANDOM = np.random.default_rng(1)


def numbers(params) -> np.ndarray:
  """A policy's table [V, V] or a critic's weights [V], in float64."""
  if 'embedding' in params:
    return np.asarray(params['embedding'], np.float64)
  return np.asarray(params['head']['kernel'], np.float64)[:, 0]


TABLES = types.SimpleNamespace(
  policy=numbers(POLICY), reference=numbers(REFERENCE), critic=numbers(CRITIC)
)


def chosen(logps, old_logps, mask):
  """A token mask that reads what is trained."""
  return mask & (logps < old_logps + 0.1)


def value_clip(epsilon):
  return (
    partial(supervised.clipped_squared_error, clip_epsilon=epsilon),
    definitions.clipped_squared_error(epsilon),
  )


def both(x):
  """A number, for a Config and for a definition."""
  return x, x


# Each field's neutral value, for a Config and as its definition; and what it is
# set to: a row sets several fields, where one alone says nothing.
NEUTRAL = {
  'objective': (objectives.policy_gradient, definitions.policy_gradient),
  'reference_objective': both(None),
  'reference_coef': both(0.0),
  'correction': both(None),
  'token_mask': both(None),
  'value_objective': value_clip(10.0),
  'critic': (policy_gradient.no_critic, definitions.no_critic),
  'reduction': (masking.token_mean, definitions.token_mean),
  'value_coef': both(0.0),
  'entropy_coef': both(0.0),
  'temperature': both(1.0),
}
SEPARATE = {
  'critic': (policy_gradient.separate_critic, definitions.separate),
  'value_coef': both(0.3),
}
LOSS = {
  'objective': {
    'objective': (
      partial(
        objectives.clipped_surrogate, clip_epsilon=0.1, clip_epsilon_high=0.4
      ),
      definitions.clipped(0.1, 0.4),
    )
  },
  'reference_objective': {
    'reference_objective': (divergences.k3, definitions.k3),
    'reference_coef': both(0.7),
  },
  'reference_coef': {
    'reference_objective': (divergences.k2, definitions.k2),
    'reference_coef': both(1.9),
  },
  'correction': {
    'correction': (
      partial(importance.truncated_weights, high=1.3),
      definitions.truncated_weights(1.3),
    )
  },
  'token_mask': {'token_mask': (chosen, lambda a: a.logps < a.old_logps + 0.1)},
  'value_coef': SEPARATE,
  'value_objective': SEPARATE | {'value_objective': value_clip(0.05)},
  'reduction': {
    'reduction': (masking.sequence_mean, definitions.sequence_mean)
  },
  'entropy_coef': {'entropy_coef': both(0.6)},
  'temperature': {'temperature': both(0.6)},
  'critic': {
    'critic': (policy_gradient.shared_trunk, definitions.shared),
    'value_coef': both(0.3),
  },
}
REDUCTIONS = {
  'sequence_sum': {
    'reduction': (masking.sequence_sum, definitions.sequence_sum)
  },
  'fixed_length': {
    'reduction': (masking.fixed_length, definitions.fixed_length)
  },
  'sequence_ratios': {
    'objective': (
      partial(objectives.clipped_sequence_surrogate, clip_epsilon=0.02),
      definitions.clipped_sequence(0.02, 0.02),
    )
  },
}
# Of the experience that a method makes of its samples.
ONLINE = {
  'kl_coef': both(0.0),
  'kl_estimator': (divergences.k1, definitions.k1),
  'score_clip': both(None),
  'unended_penalty': both(0.0),
  'length_penalty': both(None),
}
EXPERIENCE = {
  'score_clip': {'score_clip': both(2.0)},
  'unended_penalty': {'unended_penalty': both(0.9)},
  'length_penalty': {'length_penalty': both(lambda lengths: 0.3 * lengths)},
  'temperature': {'temperature': both(0.6)},
}
PENALISED = {
  'kl_coef': {'kl_coef': both(0.3)},
  'kl_estimator': {
    'kl_estimator': (divergences.k3, definitions.k3),
    'kl_coef': both(0.3),
  },
}
DISCOUNT = {'discount': {'discount': both(0.8)}}
GROUP_MEAN = {'baseline': (baselines.group_mean, definitions.group_mean)}
OWN = {
  'ppo': (
    {
      'whiten_rewards': both(False),
      'whiten_advantages': both(False),
      'discount': both(1.0),
      'gae_lambda': both(1.0),
    },
    {
      'critic': SEPARATE,
      'whiten_rewards': {'whiten_rewards': both(True)},
      'whiten_advantages': {'whiten_advantages': both(True)},
      'discount': DISCOUNT['discount'],
      'gae_lambda': SEPARATE | {'gae_lambda': both(0.7)},
    }
    | PENALISED,
  ),
  'grpo': (
    {
      'baseline': (
        baselines.group_standardised,
        definitions.group_standardised,
      )
    },
    {'baseline': GROUP_MEAN} | PENALISED,
  ),
  'rloo': (
    {'baseline': (baselines.leave_one_out, definitions.leave_one_out)},
    {'baseline': GROUP_MEAN} | PENALISED,
  ),
  'dapo': ({}, {}),
  'reinforce': (
    {
      'baseline': (reinforce.as_scored, definitions.as_scored),
      'normalise': (reinforce.as_earned, lambda x, mask: x),
      'discount': both(1.0),
    },
    {
      'baseline': GROUP_MEAN,
      'normalise': {'normalise': (masking.whiten, definitions.whiten)},
    }
    | DISCOUNT
    | PENALISED,
  ),
  'remax': (
    {
      'gap_clip': both(None),
      'returns': (remax.to_go, definitions.discounted),
      'discount': both(1.0),
    },
    {
      'gap_clip': {'gap_clip': both(1.5)},
      'returns': {
        'returns': (remax.one_step, lambda penalties, discount: penalties),
        'kl_coef': both(0.3),
      },
    }
    | DISCOUNT
    | PENALISED,
  ),
}
# Held by tests of their own: what is asked of a sampler, how a round is cut up,
# optimizers, and the coefficient that is adapted.
SAMPLES = {'samples', 'sampling', 'temperature'}
ROUNDS = {'steps', 'batch_size', 'epochs', 'minibatches', 'micro_batches'}
OPTIMIZERS = {'optimizer', 'critic_optimizer'}
CONTROL = {'kl_control'}
GROUPS = {'groups'}  # Of DAPO, held by dapo_test.
# What a method's Config has where its own defaults say nothing.
DEFAULTS = {
  'reference_objective': None,
  'reference_coef': 0.0,
  'correction': None,
  'token_mask': None,
  'value_objective': partial(
    supervised.clipped_squared_error, clip_epsilon=0.2
  ),
  'critic': policy_gradient.no_critic,
  'reduction': masking.token_mean,
  'value_coef': 0.0,
  'entropy_coef': 0.0,
  'temperature': 1.0,
  'epochs': 1,
  'minibatches': 1,
  'micro_batches': 1,
  'kl_control': None,
  'batch_size': 128,
  'samples': 1,
  'sampling': Sampling(),
  'kl_coef': 0.0,
  'kl_estimator': divergences.k1,
  'score_clip': None,
  'unended_penalty': 0.0,
  'length_penalty': None,
  'optimizer': optimizers.Adam(learning_rate=1e-6),
}


def settings(neutral, *rows):
  """(fields of a Config, a namespace of their definitions)."""
  merged = functools.reduce(lambda x, y: x | y, rows, neutral)
  return (
    {name: x for name, (x, _) in merged.items()},
    types.SimpleNamespace(**{name: x for name, (_, x) in merged.items()}),
  )


def experience(batch) -> Experience:
  """The learner's batch [N, T] of a definition's [N, R]."""
  flat = policy_gradient.flatten_rollouts(definitions.rollouts())
  return Experience(
    rollouts=flat,
    logps=jnp.asarray(batch.old_logps, jnp.float32),
    reference_logps=jnp.asarray(batch.reference_logps, jnp.float32),
    values=jnp.asarray(batch.old_values, jnp.float32),
    advantages=jnp.asarray(batch.advantages, jnp.float32),
    returns=jnp.asarray(batch.returns, jnp.float32),
  )


def drawn():
  """What a round left, as numbers that have nothing to do with each other."""
  mask = definitions.MASK

  def random():
    return np.where(mask, RANDOM.normal(size=mask.shape), 0.0)

  logps = definitions.logps_of(TABLES.policy, 1.0)
  reference_logps = definitions.logps_of(TABLES.reference, 1.0)
  return types.SimpleNamespace(
    old_logps=logps,
    reference_logps=reference_logps,
    old_values=random(),
    advantages=random(),
    returns=random(),
  )


BATCH = drawn()


def neutral(method):
  return NEUTRAL | ONLINE | OWN[method][0]


def config_of(method, fields, **changes):
  base = {'steps': 1, 'samples': 3, 'batch_size': 4, 'minibatches': 1}
  base |= {'groups': 4} if method == 'dapo' else {}
  return METHODS[method].Config(**(base | fields | changes))


def rows_of(method):
  return EXPERIENCE | OWN[method][1]


def matches(test, found, metrics, expected, measured):
  """An Experience [B, K] and metrics against a definition's."""
  names = {
    'old_logps': 'logps',
    'reference_logps': 'reference_logps',
    'old_values': 'values',
    'advantages': 'advantages',
    'returns': 'returns',
  }
  for name, own in names.items():
    actual = np.asarray(getattr(found, own)).reshape(definitions.MASK.shape)
    # Nothing reads these where nothing counts.
    actual = np.where(definitions.MASK, actual, 0.0)
    wanted = np.where(definitions.MASK, getattr(expected, name), 0.0)
    np.testing.assert_allclose(actual, wanted, atol=2e-5, err_msg=name)
  for name in ('advantages', 'returns'):
    actual = np.asarray(getattr(found, name)).reshape(definitions.MASK.shape)
    np.testing.assert_array_equal(actual[~definitions.MASK], 0.0)
  metrics = {k: m for k, m in metrics.items() if 'seconds' not in k}
  test.assertEqual(set(metrics), set(measured))
  for name, number in measured.items():
    np.testing.assert_allclose(
      metrics[name].value, number, atol=2e-5, err_msg=name
    )


def said(x):
  """A value to be compared: two partials are equal that say the same."""
  return (x.func, x.keywords) if isinstance(x, partial) else x


def values_of(config):
  names = [field.name for field in dataclasses.fields(config)]
  return {name: said(getattr(config, name)) for name in names}


class ShapeCase(parameterized.TestCase):
  """Of one method: subclasses name it, and its defaults by preset."""

  method: str
  defaults: dict

  def __init_subclass__(cls):
    for name, row in rows_of(cls.method).items():
      alone = functools.partialmethod(cls.alone, row)
      setattr(cls, f'test_{name}_alone', alone)

  @property
  def module(self):
    return METHODS[self.method]

  def shaped(self, *rows):
    """What `shape` returns is held to its definition, which is returned."""
    fields, s = settings(neutral(self.method), *rows)
    extra = (jnp.asarray(definitions.GREEDY, jnp.float32),)
    found, metrics = self.module.shape(
      {'policy': POLICY, 'critic': CRITIC},
      {'reference': REFERENCE},
      definitions.rollouts(),
      jnp.asarray(definitions.SCORES, jnp.float32),
      *(extra if self.method == 'remax' else ()),
      models=toy.MODELS,
      config=config_of(self.method, fields),
    )
    expected, measured = definitions.experience(self.method, TABLES, s)
    matches(self, found, metrics, expected, measured)
    return expected

  def alone(self, row):
    expected = self.shaped(row)
    # What the row sets besides is not what makes the difference.
    others = {k: x for k, x in row.items() if k in ('critic', 'kl_coef')}
    if len(others) == len(row) or row is SEPARATE:
      others = {}
    plain, _ = definitions.experience(
      self.method, TABLES, settings(neutral(self.method), others)[1]
    )
    differences = [
      np.abs(x - vars(plain)[name]).max() for name, x in vars(expected).items()
    ]
    self.assertGreater(max(differences), 0.01)

  def test_neutral(self):
    self.shaped()

  def test_all_at_once(self):
    self.shaped(*rows_of(self.method).values())

  def test_every_field_has_a_row(self):
    fields = {field.name for field in dataclasses.fields(self.module.Config)}
    held = LOSS.keys() | rows_of(self.method).keys() | OPTIMIZERS
    held |= SAMPLES | ROUNDS | CONTROL
    if self.method == 'dapo':
      held |= PENALISED.keys() | GROUPS  # The former it refuses.
    self.assertEqual(fields - held, set())

  def test_defaults(self):
    plain = {'steps': 1} | DEFAULTS | self.defaults['Config']
    for preset, own in self.defaults.items():
      make = getattr(self.module, preset)
      expected = {k: said(x) for k, x in (plain | own).items()}
      self.assertEqual(values_of(make(steps=1)), expected)
      # Whoever names a value has it.
      again = make(steps=1, **{name: plain[name] for name in own})
      expected = {k: said(x) for k, x in plain.items()}
      self.assertEqual(values_of(again), expected)

  def test_stage(self):
    config, module = self.module.Config(steps=1), self.module
    given = {'data': 'd', 'start': 's', 'reward': 'r', 'name': 'n'}
    usual = {'data': 'prompts', 'start': 'sft', 'reward': 'reward_model'}
    usual |= {'name': self.method}
    for names, options in ((given, given), (usual, {})):
      stages = module.stages(config, **options)
      self.assertEqual(list(stages), [names['name']])
      start = {'policy': names['start']}
      start |= {'critic': names['reward']} if self.method == 'ppo' else {}
      expected = {
        'init': policy_gradient.init,
        'update': policy_gradient.update,
        'collect': module.collect,
        'config': config,
        'data': names['data'],
        'reads': (Prompt,),
        'start': start,
        'frozen': {'reference': names['start'], 'reward': names['reward']},
        'log_every': 1,
        'checkpoint_every': 10,
      }
      (stage,) = stages.values()
      found = {name: getattr(stage, name) for name in expected}
      self.assertEqual(found, expected)
