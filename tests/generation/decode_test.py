"""Sampled responses: their shape, their log-probs, what they depend on."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.generation import Sampling, draws, greedy, sample
from rlhf_jax.kernels import logps
from rlhf_jax.models import TransformerConfig, language_model
from rlhf_jax.types import Prompts, flatten_candidates

CONFIG = TransformerConfig(
  vocab_size=12,
  layers=1,
  width=16,
  heads=2,
  kv_heads=1,
  head_width=8,
  mlp_width=24,
)
MODEL = language_model(CONFIG)
STOP, PAD, PROMPT = (1, 2), 0, 5


@functools.cache
def params(seed=0):
  return MODEL.init(jax.random.key(seed))


def prompts(batch=4, extra=0):
  """Prompts of 1 to 5 tokens, `extra` more columns of padding."""
  draw = np.random.default_rng(0)
  width = PROMPT + extra
  tokens = np.zeros((batch, width), np.int32)
  mask = np.zeros((batch, width), bool)
  for b in range(batch):
    length = 1 + b % PROMPT
    tokens[b, width - length :] = draw.integers(3, 12, length)
    mask[b, width - length :] = True
  return Prompts(tokens, mask, np.arange(batch, dtype=np.int32) + 100)


def draw(prompts, *, params=params, key=0, model=MODEL, **options):
  options = {
    'samples': 2,
    'max_response': 6,
    'sampling': Sampling(temperature=1.0),
    'stop_ids': STOP,
    'pad_id': PAD,
  } | options
  return sample(model, params(), prompts, jax.random.key(key), **options)


def whole_logps(rollouts, temperature=1.0):
  """The trainer's log-probs [B, K, R], by full passes."""
  tokens, mask = flatten_candidates((rollouts.tokens, rollouts.attention_mask))
  start = rollouts.tokens.shape[-1] - rollouts.response_length
  found = logps.next_token_logps(
    MODEL, params(), tokens, mask, start=start, temperature=temperature
  )
  return found.reshape(rollouts.logps.shape)


def whole_logits(rollouts):
  """[B, K, R, V] in float64, by full passes."""
  tokens, mask = flatten_candidates((rollouts.tokens, rollouts.attention_mask))
  logits = jax.jit(
    lambda tokens, mask: MODEL.logits(
      params(), MODEL.hidden(params(), tokens, mask)
    )
  )(tokens, mask)
  logits = np.asarray(logits, np.float64)
  start = tokens.shape[-1] - rollouts.response_length
  return logits[:, start - 1 : -1].reshape(*rollouts.logps.shape, -1)


class RolloutsTest(chex.TestCase):
  def test_a_response_ends_with_its_stop_id(self):
    rollouts = draw(prompts(), samples=5)
    tokens, mask = map(np.asarray, rollouts.responses)
    self.assertTrue(0.1 < rollouts.ended.mean() < 1.0)
    for row, keep, ended in zip(
      tokens.reshape(-1, 6),
      mask.reshape(-1, 6),
      np.asarray(rollouts.ended).reshape(-1),
      strict=True,
    ):
      stops = np.flatnonzero(np.isin(row, STOP) & keep)
      self.assertEqual(ended, len(stops) > 0)
      length = stops[0] + 1 if ended else 6
      np.testing.assert_array_equal(keep, np.arange(6) < length)
      np.testing.assert_array_equal(row[length:], PAD)

  def test_prompts_are_kept_as_they_were(self):
    given = prompts()
    rollouts = draw(given, samples=5)
    for k in range(5):
      np.testing.assert_array_equal(
        rollouts.tokens[:, k, :PROMPT], given.tokens
      )
      np.testing.assert_array_equal(
        rollouts.attention_mask[:, k, :PROMPT], given.attention_mask
      )
    self.assertFalse(np.asarray(rollouts.response_mask)[..., :PROMPT].any())
    np.testing.assert_array_equal(
      rollouts.attention_mask[..., PROMPT:], rollouts.responses[1]
    )
    np.testing.assert_array_equal(rollouts.index, given.index)

  @parameterized.parameters(1.0, 0.6)
  def test_logps_are_those_of_whole_passes(self, temperature):
    sampling = Sampling(temperature=temperature)
    rollouts = draw(prompts(), samples=5, sampling=sampling)
    _, mask = rollouts.responses
    expected = np.where(mask, whole_logps(rollouts, temperature), 0.0)
    np.testing.assert_allclose(rollouts.logps, expected, atol=1e-5)
    np.testing.assert_allclose(rollouts.truncated_logps, expected, atol=1e-5)

  def test_truncated_logps_are_renormalised(self):
    sampling = Sampling(temperature=0.9, top_k=3)
    rollouts = draw(prompts(), sampling=sampling)
    tokens, mask = map(np.asarray, rollouts.responses)
    logits = whole_logits(rollouts) / 0.9
    for at in np.ndindex(tokens.shape):
      if not mask[at]:
        self.assertEqual(rollouts.truncated_logps[at], 0.0)
        continue
      best = np.sort(logits[at])[-3:]
      chosen = logits[at][tokens[at]]
      self.assertGreaterEqual(chosen, best[0])
      np.testing.assert_allclose(
        rollouts.truncated_logps[at],
        chosen - np.log(np.exp(best).sum()),
        atol=1e-5,
      )
    expected = np.where(mask, whole_logps(rollouts, 0.9), 0.0)
    np.testing.assert_allclose(rollouts.logps, expected, atol=1e-5)

  def test_greedy_is_the_argmax_of_whole_passes(self):
    rollouts = draw(
      prompts(), samples=1, stop_ids=(), sampling=Sampling(draw=greedy)
    )
    # Causal: a column was made from those before it, which stand here.
    best = np.argmax(whole_logits(rollouts), axis=-1)
    np.testing.assert_array_equal(rollouts.responses[0], best)
    np.testing.assert_array_equal(rollouts.truncated_logps, 0.0)

  def test_refuses_other_shapes(self):
    given = prompts()
    with self.assertRaises(AssertionError):
      draw(given.replace(attention_mask=given.attention_mask[:, 1:]))


class IndependenceTest(parameterized.TestCase):
  def test_a_sample_does_not_see_the_batch(self):
    sampling = Sampling(temperature=1.2)
    everyone = draw(prompts(), sampling=sampling)
    wide = prompts(extra=3)
    order = np.array([3, 1])
    some = jax.tree.map(lambda x: x[order], wide)
    some = draw(some, sampling=sampling)
    for got, expected in zip(some.responses, everyone.responses, strict=True):
      np.testing.assert_array_equal(got, expected[order])
    np.testing.assert_allclose(some.logps, everyone.logps[order], atol=1e-5)

  def test_more_samples_change_none(self):
    few = draw(prompts(), samples=2)
    many = draw(prompts(), samples=5)
    np.testing.assert_array_equal(many.tokens[:, :2], few.tokens)
    different = np.asarray(many.tokens)[:, :, PROMPT:].reshape(4, 5, -1)
    self.assertGreater(len(np.unique(different[3], axis=0)), 1)

  def test_a_longer_limit_only_extends(self):
    short = draw(prompts())
    long = draw(prompts(), max_response=9)
    self.assertFalse(np.asarray(short.ended).all())
    width = PROMPT + 6
    np.testing.assert_array_equal(long.tokens[..., :width], short.tokens)
    np.testing.assert_allclose(long.logps[..., :6], short.logps, atol=1e-6)

  def test_the_key_and_the_index_decide(self):
    given = prompts()
    same = draw(given)
    other = draw(given, key=1)
    moved = draw(given.replace(index=given.index + 1))
    chex.assert_trees_all_equal(draw(given), same)
    self.assertTrue((other.tokens != same.tokens).any())
    self.assertTrue((moved.tokens != same.tokens).any())

  def test_maps_over_parameters_and_keys(self):
    stacked = jax.tree.map(
      lambda *leaves: jnp.stack(leaves), params(0), params(1)
    )
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    given = prompts()

    @functools.partial(jax.vmap)
    def mapped(params, key):
      return sample(
        MODEL,
        params,
        given,
        key,
        samples=2,
        max_response=6,
        sampling=Sampling(temperature=1.0),
        stop_ids=STOP,
        pad_id=PAD,
      )

    together = mapped(stacked, keys)
    for seed in range(2):
      alone = draw(given, params=lambda s=seed: params(s), key=seed)
      here = jax.tree.map(lambda x, s=seed: x[s], together)
      np.testing.assert_array_equal(here.tokens, alone.tokens)
      np.testing.assert_array_equal(here.response_mask, alone.response_mask)
      np.testing.assert_allclose(here.logps, alone.logps, atol=1e-5)


class AbsentIdsTest(chex.TestCase):
  """A model with more rows than there are tokens: gaps and a tail."""

  ABSENT = (4, 8, 10, 11)

  def setUp(self):
    super().setUp()
    config = dataclasses.replace(CONFIG, tied_embeddings=False)
    self.model = language_model(config, self.ABSENT)
    self.params = self.model.init(jax.random.key(0))
    # Their rows are the likeliest by far, were they tokens.
    table = self.params['unembedding']
    self.params['unembedding'] = table.at[:, list(self.ABSENT)].mul(20.0)

  @parameterized.parameters(
    ({'temperature': 5.0},),
    ({'temperature': 5.0, 'draw': draws.gumbel},),
    ({'draw': draws.greedy},),
    ({'temperature': 3.0, 'top_k': 11},),
    ({'top_p': 1.0, 'repetition_penalty': 1.5},),
    ({'typical_p': 0.99, 'epsilon': 0.0, 'min_p': 0.0},),
    ({'top_p': 0.9, 'min_tokens_to_keep': 12},),
  )
  def test_none_is_drawn_and_sampler_and_trainer_agree(self, rules):
    sampling = Sampling(**rules)
    rollouts = draw(
      prompts(),
      params=lambda: self.params,
      model=self.model,
      samples=64,
      sampling=sampling,
    )
    tokens, mask = map(np.asarray, rollouts.responses)
    self.assertGreater(mask.sum(), 64)
    self.assertFalse((np.isin(tokens, self.ABSENT) & mask).any())
    rows = flatten_candidates((rollouts.tokens, rollouts.attention_mask))
    scored = logps.next_token_logps(
      self.model,
      self.params,
      *rows,
      start=PROMPT,
      temperature=sampling.temperature or 1.0,
    ).reshape(mask.shape)
    np.testing.assert_allclose(
      np.where(mask, scored, 0.0), rollouts.logps, atol=1e-4
    )
    chex.assert_tree_all_finite(rollouts.truncated_logps)

  def test_the_real_ids_share_a_probability_of_1(self):
    given = prompts()
    x = self.model.hidden(self.params, given.tokens, given.attention_mask)
    every = jnp.broadcast_to(jnp.arange(12), (*x.shape[:2], 12))
    scored = self.model.token_logps(
      self.params, jnp.repeat(x[:, :, None], 12, 2), every
    )
    law = np.exp(np.asarray(scored, np.float64))
    np.testing.assert_array_equal(law[..., self.ABSENT], 0.0)
    np.testing.assert_allclose(law.sum(-1), 1.0, rtol=1e-5)
    logits = self.model.logits(self.params, x)
    np.testing.assert_allclose(jax.nn.softmax(logits), law, atol=1e-6)

  def test_their_rows_learn_nothing(self):
    given = prompts()

    def loss(params):
      hidden = self.model.hidden(params, given.tokens, given.attention_mask)
      before = jnp.where(given.attention_mask[:, :-1, None], hidden[:, :-1], 0)
      scored, spread = self.model.token_logps_and_entropies(
        params, before, given.tokens[:, 1:], 1.0
      )
      kept = given.attention_mask[:, :-1] & given.attention_mask[:, 1:]
      kept &= ~jnp.isin(given.tokens[:, 1:], jnp.array(self.ABSENT))
      return jnp.sum(jnp.where(kept, scored + spread, 0.0))

    grads = jax.grad(loss)(self.params)
    chex.assert_tree_all_finite(grads)
    table = np.asarray(grads['unembedding'])
    np.testing.assert_array_equal(table[:, self.ABSENT], 0.0)
    self.assertTrue((np.abs(np.delete(table, self.ABSENT, 1)) > 0.0).all())

  def test_none_absent_is_the_same_model(self):
    self.assertIs(language_model(CONFIG, ()), language_model(CONFIG))

  @parameterized.parameters(((12,), '12 is none'), (tuple(range(12)), 'all of'))
  def test_refuses_absent_ids_that_cannot_be(self, absent, what):
    with self.assertRaisesRegex(ValueError, what):
      language_model(CONFIG, absent)


if __name__ == '__main__':
  absltest.main()
