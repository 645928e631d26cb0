"""What every method keeps, whatever it learns: one table, one set of tests."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import learning_curves
from rlhf_jax.kernels import importance, rewards
from rlhf_jax.learners import likelihood, policy_gradient
from rlhf_jax.learners.reward import head
from rlhf_jax.losses import unpaired
from rlhf_jax.methods import (
  attribute_model,
  attribute_writer,
  cpo,
  dapo,
  dpo,
  grpo,
  inform,
  inform_head,
  kto,
  offline_rl,
  orpo,
  ppo,
  pro,
  raft,
  ranker,
  reinforce,
  rejection_sampling,
  remax,
  reward_head,
  reward_model,
  rloo,
  rlp,
  rrhf,
  rso,
  scpo,
  sft,
  simpo,
  slic,
  steerlm,
)
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Experience, Ratings, WithExtra
from tests import toy


def rollouts_for(method, config):
  """A batch that a method collected, from parameters it no longer has."""

  def batch(seed):
    key = jax.random.key(seed)
    params = {'policy': toy.POLICY.init(key), 'critic': toy.SCALAR.init(key)}
    frozen = {'reference': params['policy'], 'reward': params['critic']}
    collected, _ = method.collect(
      toy.state(params),
      frozen,
      toy.prompts(4),
      key,
      models=toy.MODELS,
      config=config,
    )
    return collected

  return batch


def online(method, make=None, **changes):
  """A row of the table: in two minibatches, whose shuffle the key decides."""
  values = {'steps': 1, 'batch_size': 4, 'samples': 2, 'minibatches': 2}
  config = (make or method.Config)(**(values | changes))
  return method, config, rollouts_for(method, config), True


def kept(seed):
  """What RAFT kept of a policy's samples."""
  policy = toy.POLICY.init(jax.random.key(seed))
  frozen = {'reference': policy, 'reward': toy.SCALAR.init(jax.random.key(2))}
  collected, _ = raft.collect(
    toy.state({'policy': policy}),
    frozen,
    toy.prompts(4),
    jax.random.key(seed),
    models=toy.MODELS,
    config=RAFT,
  )
  return collected


def pairs(seed):
  return toy.comparisons(4, seed)


def weighted(seed):
  weights = np.random.default_rng(seed).uniform(0.1, 5.0, 4)
  return toy.demonstrations(4, seed).replace(weight=weights.astype(np.float32))


def pairs_with_targets(seed):
  return pairs(seed).replace(targets=toy.demonstrations(4, seed + 1))


def ratings(seed):
  """Two attributes of every response, some of them not rated."""
  random = np.random.default_rng(seed)
  rated = toy.demonstrations(4, seed)
  return Ratings(
    tokens=rated.tokens,
    attention_mask=rated.attention_mask,
    ratings=random.integers(5, size=(4, 2)).astype(np.float32),
    rating_mask=np.array([[1, 0], [1, 1], [0, 1], [1, 1]], bool),
  )


def pairs_beside_samples(seed):
  return WithExtra(batch=pairs(seed), extra_data=toy.samples(6, seed=seed + 1))


def lists(seed):
  return toy.ranked_lists(seed=seed)


FEATURES = np.random.default_rng(3).normal(size=(4, 2, 4)).astype(np.float32)
RAFT = raft.Config(steps=1, batch_size=4, samples=4, minibatches=2)
CONTROL = functools.partial(rewards.adaptive_kl_coef, target=1.0, horizon=100.0)


# name: (method, config, seed -> batch, whether the key matters)
METHODS = {
  'sft': (sft, sft.Config(steps=1), lambda s: toy.demonstrations(4, s), False),
  'sft_micro': (
    sft,
    sft.Config(steps=1, micro_batches=2),
    lambda s: toy.demonstrations(4, s),
    False,
  ),
  'offline_rl': (offline_rl, offline_rl.Config(steps=1), weighted, False),
  'offline_rl_unnormalised': (
    offline_rl,
    offline_rl.Config(
      steps=1, weighing=likelihood.unnormalised, micro_batches=2
    ),
    weighted,
    False,
  ),
  'rejection_sampling': (
    rejection_sampling,
    rejection_sampling.Config(steps=1),
    lambda s: toy.demonstrations(4, s),
    False,
  ),
  'raft': (raft, RAFT, kept, True),
  'reward_model': (
    reward_model,
    reward_model.Config(steps=1, centering=0.1),
    pairs,
    False,
  ),
  'reward_head': (
    reward_head,
    reward_head.Config(steps=1),
    lambda s: pairs(s).replace(features=FEATURES),
    False,
  ),
  'inform': (inform, inform.Config(steps=1, latent=3), pairs, True),
  'inform_released': (inform, inform.released(steps=1, latent=3), pairs, True),
  'inform_head': (
    inform_head,
    inform_head.Config(steps=1, latent=3),
    lambda s: pairs(s).replace(features=FEATURES),
    True,
  ),
  'rlp': (
    rlp,
    rlp.paper(steps=1, latent=2, hidden=4, critic_hidden=4, most_gradient=1.0),
    pairs_beside_samples,
    True,
  ),
  'attribute_model': (
    attribute_model,
    attribute_model.Config(
      names=('quality', 'toxicity'), steps=1, micro_batches=2
    ),
    ratings,
    False,
  ),
  'attribute_writer': (
    attribute_writer,
    attribute_writer.Config(steps=1),
    lambda s: toy.demonstrations(4, s),
    False,
  ),
  'steerlm': (
    steerlm,
    steerlm.Config(steps=1),
    lambda s: toy.demonstrations(4, s),
    False,
  ),
  'ranker': (ranker, ranker.Config(steps=1), pairs, False),
  'dpo': (dpo, dpo.Config(steps=1), pairs, False),
  'dpo_micro': (dpo, dpo.Config(steps=1, micro_batches=2), pairs, False),
  'slic': (slic, slic.Config(steps=1), pairs, False),
  'slic_targets': (slic, slic.Config(steps=1), pairs_with_targets, False),
  'rso': (rso, rso.Config(steps=1), pairs, False),
  'scpo': (scpo, scpo.Config(steps=1), pairs, False),
  'orpo': (orpo, orpo.Config(steps=1), pairs, False),
  'simpo': (simpo, simpo.Config(steps=1), pairs, False),
  'cpo': (cpo, cpo.Config(steps=1), pairs, False),
  'rrhf': (rrhf, rrhf.Config(steps=1), lists, False),
  'pro': (pro, pro.Config(steps=1, micro_batches=2), lists, False),
  'kto': (kto, kto.Config(steps=1), pairs, False),
  'kto_bco': (
    kto,
    kto.Config(steps=1, objective=functools.partial(unpaired.bco, beta=0.1)),
    lists,
    False,
  ),
  'ppo': online(ppo),
  'ppo_adaptive': online(ppo, kl_control=CONTROL),
  'ppo_shared_trunk': online(ppo, critic=policy_gradient.shared_trunk),
  'ppo_without_critic': online(ppo, critic=policy_gradient.no_critic),
  'ppo_corrected': online(
    ppo, correction=functools.partial(importance.truncated_weights, high=2.0)
  ),
  'reinforce': online(reinforce),
  'reinforce_plus_plus': online(reinforce, reinforce.reinforce_plus_plus),
  'reinforce_plus_plus_baseline': online(
    reinforce, reinforce.reinforce_plus_plus_baseline
  ),
  'remax_paper': online(remax, remax.paper),
  'remax_released': online(remax, remax.released),
  'rloo': online(rloo),
  'grpo': online(grpo),
  'grpo_adaptive': online(grpo, kl_control=CONTROL, micro_batches=2),
  'dr_grpo': online(grpo, grpo.dr_grpo),
  'gspo': online(grpo, grpo.gspo),
  'dapo': online(dapo, groups=2, samples=4),
}


OPTIMIZER = optax.adam(0.1)
# Roles whose parameters the table's models read; a bottleneck has none of them.
BASED = ('policy', 'critic', 'reward', 'ranker', 'attributes')


def summed(model):
  """The model of params {'base', 'change'}, which are base + change."""

  def reads(function):
    def read(params, *given, **options):
      if 'change' in params:
        params = jax.tree.map(jnp.add, params['base'], params['change'])
      return function(params, *given, **options)

    return read

  functions = {
    k: f for k, f in model._asdict().items() if k not in ('init', 'trunk')
  }
  return model._replace(**{k: reads(f) for k, f in functions.items()})


SUMMED = toy.MODELS._replace(
  policy=summed(toy.POLICY),
  reward=summed(toy.SCALAR),
  critic=summed(toy.SCALAR),
)
OPTIMIZERS = {  # Of a part of params.
  reward_head: head.of_part(OPTIMIZER, 'head'),
  inform_head: head.of_part(OPTIMIZER, 'bottleneck'),
}


@functools.cache
def batch_of(name):
  """A batch of a method, made once."""
  return METHODS[name][2](1)


@functools.cache
def counted(name):
  """A method's update, for all tests of it, and a list of its traces."""
  update, traces = METHODS[name][0].update, []

  def noted(*args, **kwargs):
    traces.append(1)
    return update(*args, **kwargs)

  return noted, traces


class TableCase(parameterized.TestCase):
  def begin(self, name, seed=0):
    """A method, its batch, and a state to start from."""
    self.name = name
    self.method, self.config, _, self.key_matters = METHODS[name]
    (stage,) = self.method.stages(self.config).values()
    self.batch = batch_of(name)
    self.frozen = {
      'reference': toy.POLICY.init(jax.random.key(7)),
      'features': head.spread(list(FEATURES)),
    }
    self.optimizer = OPTIMIZERS.get(self.method, OPTIMIZER)
    extra = getattr(self.config, 'initial_extra', dict)()

    def state(key):
      params = stage.init(key, {}, models=toy.MODELS, config=self.config)
      return training.create(params, self.optimizer, extra)

    self.make_state = state
    return state(jax.random.key(seed))

  def update(self, state, key=None):
    key = jax.random.key(11) if key is None else key
    return jitted(counted(self.name)[0])(
      state,
      self.frozen,
      self.batch,
      key,
      models=toy.MODELS,
      optimizer=self.optimizer,
      config=self.config,
    )

  def check_what_moves_beside_a_base(self, name):
    # params = base + change: the change moves as params do alone.
    state = self.begin(name)
    there, _ = self.update(state)
    own = state.params
    inner = {role: x for role, x in own.items() if role in BASED}
    change = {
      r: {'change': jax.tree.map(jnp.zeros_like, inner[r])} for r in inner
    }
    base = {role: {'base': params} for role, params in inner.items()}
    extra = getattr(self.config, 'initial_extra', dict)()
    moved, _ = jitted(self.method.update)(
      training.create(own | change, OPTIMIZER, extra),
      self.frozen | {'base': base},
      self.batch,
      jax.random.key(11),
      models=SUMMED,
      optimizer=OPTIMIZER,
      config=self.config,
    )
    for role, params in moved.params.items():
      if role in inner:
        params = jax.tree.map(jnp.add, own[role], params['change'])
      chex.assert_trees_all_close(params, there.params[role], atol=1e-5)


@parameterized.named_parameters((name, name) for name in METHODS)
class ContractTest(TableCase):
  def test_is_finite_and_moves(self, name):
    state = self.begin(name)
    moved, metrics = self.update(state)
    chex.assert_tree_all_finite((moved, metrics))
    change = jax.tree.map(
      lambda a, b: jnp.max(jnp.abs(a - b)), moved.params, state.params
    )
    self.assertGreater(max(jax.tree.leaves(change)), 1e-4)
    self.assertEqual(moved.step, 1)
    for metric in metrics:
      self.assertNotEqual(learning_curves.unit(metric), '', metric)

  def test_keeps_tree_shapes_and_dtypes(self, name):
    state = self.begin(name)
    moved, metrics = self.update(state)
    chex.assert_trees_all_equal_shapes_and_dtypes(moved, state)
    for mean in metrics.values():
      chex.assert_shape((mean.total, mean.weight), ())

  def test_is_traced_once(self, name):
    state = self.begin(name)
    _, traces = counted(name)
    before = len(traces)  # Of another test, whose program serves here too.
    for step in range(3):
      state, _ = self.update(state, jax.random.key(step))
    self.assertLessEqual(len(traces), before + 1)
    self.assertNotEmpty(traces)

  def test_repeats_itself_under_one_key(self, name):
    state = self.begin(name)
    first, _ = self.update(state, jax.random.key(1))
    again, _ = self.update(state, jax.random.key(1))
    chex.assert_trees_all_equal(first, again)
    other, _ = self.update(state, jax.random.key(2))
    same = all(
      np.array_equal(a, b)
      for a, b in zip(
        jax.tree.leaves(first.params),
        jax.tree.leaves(other.params),
        strict=True,
      )
    )
    self.assertEqual(same, not self.key_matters)

  def test_leaves_what_is_frozen(self, name):
    state = self.begin(name)
    before = jax.tree.map(np.array, (self.frozen, self.batch))
    self.update(state)
    chex.assert_trees_all_equal((self.frozen, self.batch), before)

  def test_loss_is_pure_and_its_weights_come_from_masks(self, name):
    self.begin(name)
    batch = self.batch
    if isinstance(batch, Experience):
      batch = flat(batch)
    elif isinstance(batch, raft.BestSamples):
      batch = batch.demonstrations
    loss = functools.partial(
      self.method.loss,
      frozen=self.frozen,
      batch=batch,
      key=jax.random.key(0),
      models=toy.MODELS,
      config=self.config,
    )
    terms, _ = loss(self.make_state(jax.random.key(0)).params)
    others, _ = loss(self.make_state(jax.random.key(1)).params)
    for term in terms:
      self.assertEqual(terms[term][1].weight, others[term][1].weight)
      self.assertNotEqual(terms[term][1].weight, 0)

  @pytest.mark.long
  def test_seeds_can_be_vmapped(self, name):
    self.begin(name)
    keys = jax.random.split(jax.random.key(3), 3)
    many, _ = jax.jit(
      jax.vmap(lambda key: self.update(self.make_state(key), key))
    )(keys)
    for seed in range(3):
      alone, _ = self.update(self.make_state(keys[seed]), keys[seed])
      chex.assert_trees_all_close(
        jax.tree.map(lambda x, s=seed: x[s], many.params),
        alone.params,
        atol=2e-5,
      )


# A method of each learner.
LEARNERS = (
  'sft',
  'dpo',
  'pro',
  'kto',
  'ppo',
  'raft',
  'reward_model',
  'ranker',
  'attribute_model',
)


# They look into the parameters of a head, which is never in a base.
OF_HEADS = ('rlp', 'reward_head', 'inform', 'inform_head', 'inform_released')


class BaseTest(TableCase):
  @parameterized.named_parameters((name, name) for name in LEARNERS)
  def test_moves_what_is_trained_beside_a_base(self, name):
    self.check_what_moves_beside_a_base(name)

  @parameterized.named_parameters(
    (name, name) for name in METHODS if name not in (*LEARNERS, *OF_HEADS)
  )
  @pytest.mark.long  # Innermost, or each case would lose it.
  def test_every_other_moves_what_is_trained_beside_a_base(self, name):
    self.check_what_moves_beside_a_base(name)


def flat(batch):
  rest = jax.tree.map(
    lambda x: x.reshape(-1, *x.shape[2:]), batch.replace(rollouts=None)
  )
  return rest.replace(rollouts=policy_gradient.flatten_rollouts(batch.rollouts))


class TableTest(absltest.TestCase):
  def test_every_method_that_trains_is_in_the_table(self):
    import pathlib
    import re

    folder = pathlib.Path(sft.__file__).parent
    methods = {
      path.relative_to(folder).parts[0].removesuffix('.py')
      for path in folder.rglob('*.py')
      if re.search(r'^(update = |def update\()', path.read_text(), re.M)
    }
    self.assertEqual(
      {m.__name__.split('.')[-1] for m, *_ in METHODS.values()}, methods
    )


if __name__ == '__main__':
  absltest.main()
