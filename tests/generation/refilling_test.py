"""More prompts than are answered at a time: the same samples, fewer steps."""

import dataclasses
import functools
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sharding
from rlhf_jax.generation import Sampling, greedy
from rlhf_jax.generation.decode import sample, sample_loaded
from rlhf_jax.models import TransformerConfig, language_model, layer_cache
from rlhf_jax.models.config import Local
from rlhf_jax.types import Prompts
from tests import toy

CONFIG = TransformerConfig(
  vocab_size=12,
  layers=2,
  width=16,
  heads=2,
  kv_heads=1,
  head_width=8,
  mlp_width=24,
)
OPTIONS = {
  'samples': 2,
  'max_response': 6,
  'sampling': Sampling(temperature=1.0),
  'stop_ids': (1, 2),
  'pad_id': 0,
}


def prompts(count):
  """Prompts of 1 to 5 tokens."""
  draw = np.random.default_rng(0)
  lengths = 1 + np.arange(count) % 5
  mask = np.arange(5)[None] >= 5 - lengths[:, None]
  tokens = np.where(mask, draw.integers(3, 12, mask.shape), 0).astype(np.int32)
  return Prompts(tokens, mask, np.arange(count, dtype=np.int32) + 100)


def draw(given, model, params, *, key=0, **options):
  options = OPTIONS | options
  return sample(model, params, given, jax.random.key(key), **options)


class SamplesTest(chex.TestCase):
  """At a time or all at once: what one prompt gets is the same."""

  def assert_same(self, found, expected):
    for name in ('tokens', 'attention_mask', 'response_mask', 'ended', 'index'):
      np.testing.assert_array_equal(
        getattr(found, name), getattr(expected, name), err_msg=name
      )
    for name in ('logps', 'truncated_logps'):
      np.testing.assert_allclose(
        getattr(found, name), getattr(expected, name), atol=1e-5, err_msg=name
      )

  @parameterized.named_parameters(
    ('one at a time', 1, {}),
    ('of three', 3, {}),
    ('of sixteen, two of which are replaced', 16, {'samples': 1}),
    ('all but one', 20, {}),
    ('a token each', 4, {'max_response': 1}),
    ('that never end', 4, {'stop_ids': ()}),
    ('cut', 4, {'sampling': Sampling(temperature=0.7, top_k=3)}),
    (
      'by what is seen and how long it is',
      4,
      {'sampling': Sampling(repetition_penalty=1.5, min_new_tokens=2)},
    ),
  )
  def test_changes_no_sample(self, at_a_time, options):
    model = language_model(CONFIG)
    params = model.init(jax.random.key(0))
    given = prompts(21)
    expected = draw(given, model, params, **options)
    found = draw(given, model, params, at_a_time=at_a_time, **options)
    self.assert_same(found, expected)

  def test_a_window_reaches_as_far(self):
    local = Local(window=3, layers=(True, False))
    model = language_model(dataclasses.replace(CONFIG, local=local))
    params = model.init(jax.random.key(1))
    given = prompts(11)
    expected = draw(given, model, params, samples=1)
    self.assert_same(
      draw(given, model, params, samples=1, at_a_time=4), expected
    )

  def test_block_by_block_they_are_the_same(self):
    model = language_model(dataclasses.replace(CONFIG, mlp_width=20))
    params = model.init(jax.random.key(2))
    given = prompts(13)
    with mock.patch.object(layer_cache, 'FIRST_BLOCK', 2):
      found = draw(given, model, params, at_a_time=3)
    expected = draw(given, model, params)
    self.assert_same(found, expected)

  def test_maps_over_parameters_and_keys(self):
    model, given = language_model(CONFIG), prompts(9)
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    stacked = jax.vmap(model.init)(keys)
    options = OPTIONS | {'samples': 1}
    few = functools.partial(sample, model, at_a_time=3, **options)
    together = jax.vmap(few, in_axes=(0, None, 0))(stacked, given, keys)
    for seed in range(2):
      here = jax.tree.map(lambda x, s=seed: x[s], (together, stacked))
      expected = draw(given, model, here[1], key=seed, samples=1)
      self.assert_same(here[0], expected)

  def test_devices_share_the_slots(self):
    model, given = language_model(CONFIG), prompts(24)
    params = model.init(jax.random.key(0))
    expected = draw(given, model, params)
    with jax.set_mesh(sharding.make_mesh({'data': 2, 'fsdp': 2, 'tensor': 2})):
      rows = jax.sharding.PartitionSpec(sharding.BATCH)
      placed = jax.device_put(given, rows)
      found = draw(placed, model, params, at_a_time=8)
      whole = draw(placed, model, params)
    self.assert_same(found, expected)
    for one, other in zip(
      jax.tree.leaves(found), jax.tree.leaves(whole), strict=True
    ):
      self.assertTrue(one.sharding.is_equivalent_to(other.sharding, one.ndim))

  @parameterized.named_parameters(
    ('all at once', {}),
    ('two at a time', {'at_a_time': 2}),
  )
  def test_devices_share_responses_where_prompts_are_few(self, options):
    model, given = language_model(CONFIG), prompts(6)
    params = model.init(jax.random.key(0))
    expected = draw(given, model, params, samples=4)
    with jax.set_mesh(sharding.make_mesh({'data': 4, 'fsdp': 2})):
      found = draw(given, model, params, samples=4, **options)
      # Two prompts of four responses are as much as eight of one, as long as
      # each device has one of these.
      few, many = (
        sample.lower(
          model,
          params,
          prompts(count),
          jax.random.key(0),
          **OPTIONS | {'samples': 8 // count},
        )
        .compile()
        .cost_analysis()['flops']
        for count in (2, 8)
      )
    self.assert_same(found, expected)
    self.assertAlmostEqual(few / many, 1, delta=0.02)

  def test_what_is_not_finite_spoils_its_own_responses_alone(self):
    model = language_model(
      dataclasses.replace(CONFIG, tied_embeddings=False, mlp_width=28)
    )
    params = model.init(jax.random.key(4))
    params['embedding'] = params['embedding'].at[7].set(jnp.nan)
    mask = np.ones((21, 1), bool)
    given = Prompts(np.full((21, 1), 3, np.int32), mask, np.arange(21))
    options = {'stop_ids': (), 'samples': 1}
    found = draw(given, model, params, at_a_time=4, **options)
    expected = draw(given, model, params, **options)
    spoilt = np.isnan(expected.logps).any((1, 2))
    self.assertBetween(spoilt.sum(), 3, 18)
    np.testing.assert_array_equal(np.isnan(found.logps).any((1, 2)), spoilt)


class StepsTest(parameterized.TestCase):
  """A model that says n, n − 1, … and stops at 0, for a prompt that ends in n.

  A response has n tokens: one step for each after the first.
  """

  def setUp(self):
    super().setUp()
    self.steps = 0

    def count():
      self.steps += 1

    def decode_step(*args):
      jax.debug.callback(count)
      return toy.POLICY.decode_step(*args)

    self.model = toy.POLICY._replace(decode_step=decode_step)
    below = np.maximum(np.arange(64) - 1, 0)
    self.table = {'embedding': 9.0 * jax.nn.one_hot(below, 64)}

  def run_steps(self, lengths, **options):
    """The lengths of responses to prompts that ask for them, and the steps."""
    tokens = np.asarray(lengths, np.int32)[:, None]
    given = Prompts(tokens, np.ones_like(tokens, bool), np.arange(len(tokens)))
    rollouts = sample_loaded(
      self.model,
      self.table,
      given,
      jax.random.key(0),
      samples=1,
      max_response=64,
      sampling=Sampling(draw=greedy),
      stop_ids=(0,),
      pad_id=0,
      **options,
    )
    jax.effects_barrier()
    return np.asarray(rollouts.responses[1].sum(-1))[:, 0], self.steps

  def test_a_short_response_makes_room_while_a_long_one_goes_on(self):
    lengths = [60, 10, 10, 10, 10, 10, 10]
    found, steps = self.run_steps(lengths, at_a_time=2)
    np.testing.assert_array_equal(found, lengths)
    # 59 of the long one; six of 9 beside it, from one to the next, are fewer.
    self.assertEqual(steps, 59)

  @parameterized.parameters((16, 2), (15, 1))
  def test_as_few_steps_as_slots_that_are_refilled_need(self, slots, replaced):
    draw = np.random.default_rng(0)
    lengths = np.clip(draw.geometric(0.1, 200), 1, 63)
    found, steps = self.run_steps(lengths, at_a_time=slots)
    np.testing.assert_array_equal(found, lengths)
    self.assertEqual(
      steps, simulated(lengths - 1, slots=slots, replaced=replaced)
    )
    in_waves = sum(
      max(lengths[i : i + slots]) - 1 for i in range(0, len(lengths), slots)
    )
    self.assertLess(steps, 0.5 * in_waves)


def simulated(steps, *, slots, replaced):
  """How long it takes until all are done, where so many wait for each other."""
  waiting, time = list(steps[slots:]), 0
  going = np.array(steps[:slots])
  while waiting:
    passed = np.sort(going)[replaced - 1]
    time += passed
    going = np.maximum(going - passed, 0)
    for place in np.flatnonzero(going == 0)[:replaced]:
      if waiting:
        going[place] = waiting.pop(0)
  return time + going.max()


if __name__ == '__main__':
  absltest.main()
