"""Every way to compute attention within rows gives what the definition says."""

import dataclasses
import functools
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax import sharding
from rlhf_jax.models import blocks, cores, language_model, presets
from rlhf_jax.models.config import Attention, Local, TransformerConfig

T = 24
CHUNK = 8  # Queries of a chunk, so that T is three.


def config_of(window=None, softcap=None, scale=None, kinds=1):
  """4 query heads over 2 of keys; of two kinds, the second has the window."""
  local = Local(window=window, layers=(kinds == 1, True)) if window else None
  return TransformerConfig(
    vocab_size=8,
    layers=2,
    width=24,
    heads=4,
    kv_heads=2,
    head_width=6,
    mlp_width=8,
    local=local,
    attention=Attention(softcap=softcap, scale=scale),
  )


def visible_by_definition(mask, segments, window):
  """[B, T, T] bool, key by key."""
  visible = np.zeros((*mask.shape, mask.shape[1]), bool)
  for b, t, s in np.ndindex(visible.shape):
    visible[b, t, s] = (
      s <= t
      and mask[b, s]
      and segments[b, s] == segments[b, t]
      and (window is None or t - s < window)
    )
  return visible


def mixed_by_definition(arrays, visible, softcap, scale):
  """[B, T, H, d] in float64; zeros where nothing is visible."""
  queries, keys, values = (np.asarray(x, np.float64) for x in arrays)
  shared = queries.shape[2] // keys.shape[2]
  scores = np.einsum(
    'bthd,bshd->bhts', queries, np.repeat(keys, shared, axis=2)
  ) * (queries.shape[-1] ** -0.5 if scale is None else scale)
  if softcap is not None:
    scores = softcap * np.tanh(scores / softcap)
  weights = np.where(visible[:, None], np.exp(scores), 0.0)
  weights /= np.maximum(weights.sum(axis=-1, keepdims=True), 1e-300)
  return np.einsum('bhts,bshd->bthd', weights, np.repeat(values, shared, 2))


def gradients_by_differences(function, arrays, directions, step=1e-5):
  """How `function` changes along each array's direction."""
  return [
    (
      function([x + step * d if i == j else x for j, x in enumerate(arrays)])
      - function([x - step * d if i == j else x for j, x in enumerate(arrays)])
    )
    / (2 * step)
    for i, d in enumerate(directions)
  ]


def draw(length=T, dtype=np.float32, seed=0):
  """Queries, keys, values and a weight of each output."""
  rng = np.random.default_rng(seed)
  shapes = [(2, length, heads, 6) for heads in (4, 2, 2, 4)]
  return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def rows_of(length=T):
  """Rows padded on the left and on the right, of two examples each."""
  mask = np.ones((2, length), bool)
  mask[0, : length // 5] = False
  mask[1, -length // 4 :] = False
  segments = (np.arange(length)[None] >= [[length // 2], [length // 3]]) + 1
  return mask, segments.astype(np.int32)


CASES = (
  ('causal', {}, False, 0),
  ('packed', {}, True, 0),
  ('window', {'window': 7}, False, 0),
  ('window of one of two kinds', {'window': 7, 'kinds': 2}, True, 1),
  ('no window of two kinds', {'window': 7, 'kinds': 2}, False, 0),
  ('cap and scale', {'softcap': 1.5, 'scale': 0.7}, True, 0),
)


def in_small_blocks(config, mask, segments):
  """`cores.in_blocks`, of chunks that make T many."""

  def mix(queries, keys, values, kind):
    rows = blocks.Rows(mask, segments, kind)
    return blocks.attend(
      queries,
      keys,
      values,
      rows,
      config.windows,
      config.attention,
      chunk=CHUNK,
    )

  return mix


class DefinitionTest(chex.TestCase):
  @parameterized.named_parameters(
    (f'{name}, {core.__name__}', core, *case)
    for name, *case in CASES
    for core in (cores.plain, in_small_blocks)
  )
  def test_values_and_gradients(self, core, options, packed, kind):
    config = config_of(**options)
    mask, segments = rows_of()
    *arrays, weights = draw()
    same = np.zeros_like(segments)
    visible = visible_by_definition(
      mask, segments if packed else same, config.windows[kind]
    )
    some = visible.any(axis=-1)[..., None, None]
    cap, scale = config.attention.softcap, config.attention.scale

    def total(arrays):
      found = mixed_by_definition(arrays, visible, cap, scale)
      return np.sum(weights * found * some)

    @functools.partial(jax.jit, static_argnums=1)
    def actual(arrays, static, kind):
      kind = static if static is not None else kind
      mix = core(config, mask, segments if packed else None)
      out = mix(*arrays, kind)
      return jnp.sum(jnp.where(some, weights * out, 0.0)), out

    graded = jax.value_and_grad(actual, has_aux=True)
    (_, out), gradients = graded(arrays, None, jnp.int32(kind))
    expected = mixed_by_definition(arrays, visible, cap, scale)
    np.testing.assert_allclose(
      np.where(some, out, 0.0), np.where(some, expected, 0.0), atol=1e-5
    )
    directions = draw(seed=1)[:3]
    wide = [x.astype(np.float64) for x in arrays]
    slopes = gradients_by_differences(total, wide, directions)
    for gradient, direction, slope in zip(
      gradients, directions, slopes, strict=True
    ):
      along = np.sum(np.asarray(gradient, np.float64) * direction)
      np.testing.assert_allclose(along, slope, rtol=1e-4, atol=1e-4)
    # A kind that is known while tracing is the same.
    _, again = actual(arrays, kind, None)
    np.testing.assert_allclose(again, out, atol=1e-6)


class BlocksTest(chex.TestCase):
  def gradients(self, core, config, rows, dtype, length):
    *arrays, weights = draw(length)
    seen = jnp.asarray(rows[0])[..., None, None]

    def total(arrays):
      out = core(config, *rows)(*arrays, 0)
      return jnp.sum(jnp.where(seen, weights * out.astype(jnp.float32), 0.0))

    arrays = [jnp.asarray(x, dtype) for x in arrays]
    return jax.jit(jax.value_and_grad(total))(arrays)

  # One chunk, several, and several in each band, the last one cut.
  @parameterized.parameters(5, 128, 150, 1100)
  def test_every_length_is_as_the_plain_form(self, length):
    rows = rows_of(length)
    config = config_of(softcap=3.0)
    chex.assert_trees_all_close(
      self.gradients(cores.in_blocks, config, rows, jnp.float32, length),
      self.gradients(cores.plain, config, rows, jnp.float32, length),
      rtol=1e-5,
      atol=1e-5,
    )

  def test_bfloat16_is_as_near_to_float32_as_the_plain_form(self):
    rows, config = rows_of(150), config_of()
    exact = self.gradients(cores.plain, config, rows, jnp.float32, 150)

    def error(core):
      found = self.gradients(core, config, rows, jnp.bfloat16, 150)
      apart = jax.tree.map(
        lambda a, b: jnp.max(jnp.abs(a.astype(jnp.float32) - b)), found, exact
      )
      return max(jax.tree.leaves(apart[1]))

    self.assertLess(error(cores.in_blocks), 1.5 * error(cores.plain) + 1e-3)

  def test_hidden_keys_are_inert_and_get_no_gradient(self):
    mask, _ = rows_of()
    *arrays, _ = draw()
    queries, keys, values = arrays
    junk = np.where(mask[..., None, None], keys, 1e6)

    def total(keys, values):
      rows = blocks.Rows(mask, None, 0)
      out = blocks.attend(queries, keys, values, rows, chunk=CHUNK)
      return jnp.sum(jnp.where(mask[..., None, None], out, 0.0) ** 2)

    graded = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    clean, dirty = graded(keys, values), graded(junk, values)
    chex.assert_trees_all_equal(clean, dirty)
    for gradient in clean[1]:
      np.testing.assert_array_equal(gradient[~mask], 0.0)

  def test_a_row_without_tokens_is_finite_and_gives_no_gradient(self):
    *arrays, _ = draw()
    rows = blocks.Rows(np.zeros((2, T), bool), None, 0)

    def total(arrays):
      return jnp.sum(blocks.attend(*arrays, rows, chunk=CHUNK) ** 2)

    value, gradients = jax.value_and_grad(total)(arrays)
    chex.assert_tree_all_finite(value)
    chex.assert_trees_all_equal(gradients, [np.zeros_like(x) for x in arrays])

  def test_runs_for_several_seeds_at_once(self):
    several = [np.stack([x, 2 * x]) for x in draw()[:3]]
    rows = blocks.Rows(rows_of()[0], None, 0)

    def gradient(arrays):
      return jax.grad(
        lambda some: jnp.sum(blocks.attend(*some, rows, chunk=CHUNK) ** 2)
      )(arrays)

    one = gradient([x[1] for x in several])
    both = jax.vmap(gradient)(several)
    chex.assert_trees_all_close([x[1] for x in both], one, atol=1e-5)

  def test_refuses_keys_and_values_that_differ(self):
    queries, keys, values, _ = draw()
    rows = blocks.Rows(np.ones((2, T), bool), None, 0)
    with self.assertRaises(AssertionError):
      blocks.attend(queries, keys, values[:, 1:], rows)

  @parameterized.parameters((5, 8, 8), (128, 64, 128), (150, 56, 168))
  def test_chunks_are_even(self, length, chunk, filled):
    self.assertEqual(blocks.chunk_and_length(length, 64), (chunk, filled))

  def test_bands_cover_all_keys_that_are_seen(self):
    for length, window in ((64, None), (4096, None), (4096, 100)):
      found = list(blocks.bands(length, 64, window))
      self.assertLessEqual(len(found), blocks.BANDS)
      self.assertEqual(
        [t for band in found for t in range(band.start, band.stop)],
        list(range(length)),
      )
      for start, stop, first in found:
        seen = 0 if window is None else max(0, start - window + 1)
        self.assertEqual(first, seen)
        self.assertLess(start, stop)


class MemoryTest(chex.TestCase):
  def held(self, core, length):
    """Bytes held besides arguments and results, by a value and gradients."""
    config = config_of()
    shapes = [(2, length, heads, 6) for heads in (4, 2, 2)]
    arrays = [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes]
    mask = jax.ShapeDtypeStruct((2, length), bool)

    def total(arrays, mask):
      return jnp.sum(core(config, mask, None)(*arrays, 0) ** 2)

    step = jax.jit(jax.value_and_grad(total)).lower(arrays, mask).compile()
    return step.memory_analysis().temp_size_in_bytes

  def test_grows_with_the_length_and_not_with_its_square(self):
    short, long = (self.held(cores.in_blocks, n) for n in (1024, 4096))
    self.assertLess(long, 4.4 * short)
    # Four arrays of [C, T] for each row and head, and some of the arguments'.
    self.assertLess(long, 4 * (2 * 4) * 4 * blocks.CHUNK * 4096 + 2**22)

  def test_the_plain_form_would_grow_with_the_square(self):
    short, long = (self.held(cores.plain, n) for n in (256, 1024))
    self.assertGreater(long, 14 * short)


class ChoiceTest(chex.TestCase):
  def test_short_rows_are_held_and_long_ones_go_in_blocks(self):
    for platform, least, long in (
      ('cpu', cores.LONG_ON_CPU, cores.in_blocks),
      ('gpu', cores.LONG, cores.in_blocks),
      ('tpu', cores.LONG, cores.splash),
    ):
      with mock.patch.object(sharding, 'platform', lambda p=platform: p):
        self.assertIs(cores.core_for(least - 1), cores.plain)
        self.assertIs(cores.core_for(least), long)

  def test_a_setting_decides(self):
    called = []

    def noted(config, mask, segments):
      called.append(mask.shape)
      return cores.plain(config, mask, segments)

    config = presets.sandbox(16)
    model = language_model(dataclasses.replace(config, attention_core=noted))
    tokens = jax.ShapeDtypeStruct((2, 5), jnp.int32)
    mask = jax.ShapeDtypeStruct((2, 5), bool)
    params = jax.eval_shape(model.init, jax.random.key(0))
    called.clear()
    jax.eval_shape(model.hidden, params, tokens, mask)
    self.assertEqual(called, [(2, 5)])

  def test_what_cudnn_has_not_is_told(self):
    mask, _ = rows_of()
    for config in (config_of(softcap=1.0), config_of(window=3, kinds=2)):
      with self.assertRaisesRegex(ValueError, 'attention_core=cudnn has no'):
        cores.cudnn(config, mask, None)


if __name__ == '__main__':
  from absl.testing import absltest

  absltest.main()
