"""Cases of the transformer: each way of attention, decoding, and draws."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.generation import Sampling, greedy, gumbel, inverse_cdf, sample
from rlhf_jax.models import TransformerConfig, cores, language_model
from rlhf_jax.models.config import Attention, Local
from rlhf_jax.types import Prompts
from tests.benchmarks.on_device.parity import BOTH, Case, graded

Draw = Callable[..., np.ndarray]


def ways(platform: str) -> dict[str, cores.Core]:
  """Those of attention that a platform has."""
  found = {'plain': cores.plain, 'blocks': cores.in_blocks}
  if platform == 'tpu':
    found['splash'] = cores.splash
  if platform == 'gpu':
    found['cudnn'] = cores.cudnn
  return found


def one_layer(heads: int, kv_heads: int, **options) -> TransformerConfig:
  """What attention reads of a model: heads of 64."""
  return TransformerConfig(
    vocab_size=8,
    layers=1,
    width=8,
    heads=heads,
    kv_heads=kv_heads,
    head_width=64,
    mlp_width=8,
    **options,
  )


def cases(draw: Draw, scale: int, platform: str) -> dict[str, Case]:
  """All of a platform; `scale` multiplies sizes."""
  return (
    dict(attention(draw, scale, platform))
    | draws(draw, scale)
    | {'decoding': decoding()}
  )


def attention(
  draw: Draw, scale: int, platform: str
) -> Iterator[tuple[str, Case]]:
  """Each way, held to `cores.plain`, on rows that are packed and padded."""
  length = 72 * scale
  arrays = tuple(draw(2, length, heads, 64) for heads in (4, 2, 2))
  mask = np.arange(length)[None] >= [[0], [length // 5]]
  segments = (np.arange(length)[None] >= [[length // 2], [length // 3]]) + 1
  window = {'local': Local(window=20 * scale, layers=(True,))}
  capped = window | {'attention': Attention(softcap=5.0)}

  def mixing(core, options):
    config = one_layer(4, 2, **options)

    def mix(*arrays):
      mixed = core(config, mask, segments)(*arrays, 0)
      return jnp.where(mask[..., None, None], mixed, 0.0)

    return graded(mix)

  for way, core in ways(platform).items():
    # cuDNN has no caps, and computes in bfloat16 alone.
    last = (', window', window) if way == 'cudnn' else (', window, cap', capped)
    for kind, options in (('', {}), last):
      yield (
        f'attention, {way}{kind}',
        Case(
          mixing(core, options),
          arrays,
          mixing(cores.plain, options),
          ('bfloat16',) if way == 'cudnn' else BOTH,
        ),
      )


def draws(draw: Draw, scale: int) -> dict[str, Case]:
  """Tokens by the same keys, and their log-probs, by each rule."""
  rows = 8 * scale

  def drawn(logits):
    keys = jax.random.split(jax.random.key(0), rows)
    return {
      rule.__name__: rule(keys, logits)
      for rule in (greedy, gumbel, inverse_cdf)
    }

  return {'draws': Case(drawn, (draw(rows, 512 * scale),))}


def decoding() -> Case:
  """Sampled responses and their log-probs."""
  config = TransformerConfig(
    vocab_size=64,
    layers=2,
    width=32,
    heads=4,
    kv_heads=2,
    head_width=8,
    mlp_width=64,
  )
  model = language_model(config)
  cpu = jax.local_devices(backend='cpu')[0]
  with jax.default_device(cpu):
    params = model.init(jax.random.key(0))
  leaves, structure = jax.tree.flatten(jax.device_get(params))
  tokens = np.random.default_rng(3).integers(0, 64, (4, 6))
  prompts = Prompts(tokens, np.ones_like(tokens, bool), np.arange(4))

  def sampled(*leaves):
    rollouts = sample(
      model,
      jax.tree.unflatten(structure, leaves),
      prompts,
      jax.random.key(1),
      samples=2,
      max_response=8,
      sampling=Sampling(temperature=0.7),
      stop_ids=(),
      pad_id=0,
    )
    return {'tokens': rollouts.tokens, 'logps': rollouts.logps}

  return Case(sampled, tuple(leaves))
