"""Every value of an experiment, set to what it cannot be: a sentence each."""

import functools

from absl.testing import absltest, parameterized

from experiments.dpo import relatives
from experiments.rlhf import sandbox
from experiments.rlp import published
from rlhf_jax import addressing
from rlhf_jax.experiment import overrides

# Texts that no number, no truth value and no function is written as.
NEVER = ('', 'nan', '1_000', ' 5', '0x10', 'yes', 'os.getcwd', '../x')
# Further ones, by the type of what is there.
BAD = {
  bool: ('1', '0', 'on'),
  int: ('0', '-2', '1e3', '1.5', '9' * 30, '9' * 5000),
  float: ('-1', '-inf', '1e39'),
}
# What is no mistake after all, by how the name ends: a seed of 0, what may be
# below 0, bounds that may be infinite, as 1e39 is in float32.
ALLOWED = {
  'seed': ('0',),
  'length_bias': ('-1',),
  'deviation_bias': ('-1',),
  'clip_epsilon': ('1e39',),
  'max_grad_norm': ('1e39',),
}
# Those of a stage's functions are the program's own.
OWN = ('init', 'update', 'collect', 'precompute', 'build', 'alarm')


def members(config):
  fields = addressing.field_values(config)
  if fields is None and isinstance(config, dict):
    return config
  if fields is None and isinstance(config, functools.partial):
    return config.keywords
  return fields or {}


def numbers(config, at=''):
  """(dotted name, value) of every number and truth value of a config."""
  for name, value in members(config).items():
    full = f'{at}.{name}' if at else name
    if isinstance(value, bool | int | float):
      yield full, value
    elif at.count('.') != 1 or name not in OWN:
      yield from numbers(value, full)


class BadValuesTest(parameterized.TestCase):
  @parameterized.parameters(
    (sandbox, ('stages.ppo', 'model', 'limits', 'evaluation', 'data', 'seed')),
    (published, ('stages.rlp_uml', 'stages.policy_samples', 'variants')),
    (relatives, ('stages.dpo', 'stages.ipo')),
  )
  def test_every_number_is_checked(self, module, parts):
    experiment = module.config(module.Settings())
    tried = 0
    for name, value in numbers(experiment):
      if not name.startswith(parts):
        continue
      allowed = ALLOWED.get(name.split('.')[-1], ())
      for text in set(NEVER + BAD[type(value)]).difference(allowed):
        with self.subTest(name=name, text=text[:40]):
          with self.assertRaises(overrides.OverrideError) as caught:
            overrides.apply(experiment, [(name, text)])
          said = str(caught.exception)
          self.assertStartsWith(said, name)
          self.assertNotIn('\n', said)
          tried += 1
    self.assertGreater(tried, 100)

  @parameterized.parameters(
    ('stages.ppo.config.kl_coef', '0', '0.5'),
    ('stages.ppo.config.entropy_coef', '0', '0.5'),
    ('stages.ppo.config.optimizer.weight_decay', '0', '0.5'),
    ('stages.ppo.config.optimizer.max_grad_norm', 'inf', '0.5'),
    ('stages.ppo.config.objective.clip_epsilon', 'inf', '0.5'),
    ('stages.ppo.config.discount', '0', '0.5'),
    ('stages.ppo.config.gae_lambda', '1', '0.5'),
    ('stages.ppo.config.score_clip', 'none', '0.5'),
    ('stages.ppo.config.sampling.top_k', '40', '5'),
    ('data.annotator.temperature', '0', '0.5'),
    ('evaluation.count', 'none', '5'),
  )
  def test_the_ends_of_the_ranges_are_allowed(self, name, text, within):
    experiment = sandbox.config(sandbox.Settings())
    end, inner = (
      addressing.describe(overrides.apply(experiment, [(name, value)]))
      for value in (text, within)
    )
    self.assertNotEqual(end, inner)

  @parameterized.parameters(
    'os.getcwd',
    'math.pi',
    'max',
    'builtins.max',
    'no.such',
    '.x',
    '..x',
    'rlhf_jax.kernels.divergences',
  )
  def test_functions_that_cannot_be_called_so(self, text):
    name = 'stages.ppo.config.kl_estimator'
    with self.assertRaisesRegex(overrides.OverrideError, f'^{name} .*'):
      overrides.apply(sandbox.config(sandbox.Settings()), [(name, text)])

  def test_options_that_nobody_bound_are_told_with_how_to(self):
    experiment = relatives.config(relatives.Settings())
    name = 'stages.dpo.config.objective'
    simpo = 'rlhf_jax.losses.pairwise.simpo'
    with self.assertRaisesRegex(
      overrides.OverrideError, f'needs gamma: bind it, .* or set {name}.gamma'
    ):
      overrides.apply(experiment, [(name, simpo)])
    # Together they do, in either order.
    both = [(name, simpo), (f'{name}.gamma', '1')]
    for assignments in (both, both[::-1]):
      changed = overrides.apply(experiment, assignments)
      bound = changed.stages['dpo'].config.objective.keywords
      self.assertEqual((bound['gamma'], bound['beta']), (1.0, 0.1))

  def test_combinations_are_checked_once_all_are_set(self):
    build = functools.partial(overrides.build, sandbox)
    for order in (1, -1):
      made = build(['model.heads=6', 'model.kv_heads=3'][::order])
      self.assertEqual((made.model.heads, made.model.kv_heads), (6, 3))
    with self.assertRaisesRegex(
      overrides.OverrideError, 'model.kv_heads is 4; it must divide heads, 6'
    ):
      build(['model.heads=6'])
    at = 'stages.ppo.config'
    with self.assertRaisesRegex(
      overrides.OverrideError, f'^{at}.minibatches: .* divide the 128 responses'
    ):
      build([f'{at}.minibatches=3'])
    build([f'{at}.minibatches=3', f'{at}.batch_size=129'])

  def test_settings_are_checked_like_values(self):
    with self.assertRaisesRegex(ValueError, '^kl_coef is -1.0; it must be'):
      overrides.build(sandbox, ['kl_coef=-1'])
    # Twice over one pair, 32 a step, is no step.
    with self.assertRaisesRegex(ValueError, '^pairs: .*Config.steps is 0; it'):
      overrides.build(sandbox, ['pairs=1'])
    with self.assertRaisesRegex(ValueError, '^rl is posix.getcwd, which takes'):
      overrides.build(sandbox, ['rl=os.getcwd'])

  def test_tuples_are_given_with_commas(self):
    experiment = sandbox.config(sandbox.Settings())
    made = overrides.apply(experiment, [('limits.buckets', '8,16')])
    self.assertEqual(made.limits.buckets, (8, 16))
    with self.assertRaisesRegex(ValueError, 'limits.buckets.1 is 0; it must'):
      overrides.apply(experiment, [('limits.buckets', '8,0')])
    with self.assertRaisesRegex(
      ValueError, 'buckets.1 takes a whole number, n'
    ):
      overrides.apply(experiment, [('limits.buckets', '8,x')])

  @parameterized.parameters(
    ('model', '3', 'model has values of its own; set one of them, such as mod'),
    ('mesh', '3', 'mesh has values of its own; set one of them, such as mesh.'),
    ('mesh.data', '0', 'mesh.data is 0; it must be 1 or more, or -1'),
    ('mesh.fsdp', '-1', 'mesh.data and mesh.fsdp are -1; only one of them'),
    ('stages.ppo.config.critic_optimizer', '1', 'is none here; give it in the'),
    ('model.tied_embeddings', 'yes', "takes true or false, not 'yes'"),
  )
  def test_says_what_can_be_given(self, name, text, message):
    with self.assertRaisesRegex(overrides.OverrideError, message):
      overrides.apply(sandbox.config(sandbox.Settings()), [(name, text)])


if __name__ == '__main__':
  absltest.main()
