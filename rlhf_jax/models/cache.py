"""The state of decoding: whose tokens lie where in the cache of each layer."""

import chex
import flax.struct
import jax.numpy as jnp

from rlhf_jax.models import attention
from rlhf_jax.models.layer_cache import LayerCache
from rlhf_jax.sharding import constrain

NEVER = -(2**30)  # Before any step.


@flax.struct.dataclass
class Cache:
  """The state of decoding that a transformer needs.

  All responses store their next token in the same column: the first of which
  none needs what it holds. So few are in use where responses are short, and no
  more than R however many follow each other.

  Attributes:
    layers: keys and values, layer by layer.
    prompt_mask: [B, P] bool, True on real tokens.
    step: [] int32, how many tokens were stored.
    began: [B] int32, `step` when the responses to each prompt began.
    stored_at: [R] int32, `step` when each column was stored.
  """

  layers: tuple[LayerCache, ...]
  prompt_mask: chex.Array
  step: chex.Array
  began: chex.Array
  stored_at: chex.Array

  @classmethod
  def of_prompts(
    cls,
    layers: tuple[LayerCache, ...],
    prompt_mask: chex.Array,
    max_response: int,
  ) -> 'Cache':
    """Of prompts that were read, responses empty."""
    return cls(
      layers=layers,
      prompt_mask=prompt_mask,
      step=jnp.zeros((), jnp.int32),
      began=jnp.zeros(prompt_mask.shape[0], jnp.int32),
      stored_at=jnp.full(max_response, NEVER, jnp.int32),
    )

  @property
  def own(self) -> chex.Array:
    """[B] int32, how many tokens are stored of each response to a prompt.

    Finished responses go on counting, to R - 1.
    """
    return jnp.minimum(self.step - self.began, self.stored_at.shape[0] - 1)

  def positions(self, samples: int) -> chex.Array:
    """[B, K] int32 position of the next token."""
    lengths = jnp.sum(self.prompt_mask, axis=-1, dtype=jnp.int32)
    return jnp.repeat((lengths + self.own)[:, None], samples, axis=1)

  def with_column(self) -> tuple['Cache', chex.Array]:
    """The cache with a column for the next token, and which, [] int32."""
    column = jnp.argmax(self.step - self.stored_at > jnp.max(self.own))
    stored_at = self.stored_at.at[column].set(self.step)
    return self.replace(stored_at=stored_at), column

  def in_use(self, window: int | None = None) -> chex.Array:
    """[R] bool, the columns that any of the tokens just stored may see."""
    ages = self.step - self.stored_at
    in_use = ages <= jnp.max(self.own)
    return in_use if window is None else in_use & (ages < window)

  def visible(self, samples: int, window: int | None = None) -> chex.Array:
    """[B · K, P + R] bool, the keys that the token just stored may attend to.

    With a window, only those of so many tokens, its own the last.
    """
    P, own = self.prompt_mask.shape[1], self.own
    ages = (self.step - self.stored_at)[None]
    in_prompt, in_response = self.prompt_mask, ages <= own[:, None]
    if window is not None:
      in_prompt &= attention.near(P + own, jnp.arange(P), window)
      in_response &= ages < window
    visible = jnp.concatenate([in_prompt, in_response], axis=-1)
    return jnp.repeat(visible, samples, axis=0)

  def replaced(self, other: 'Cache', places: chex.Array) -> 'Cache':
    """The cache with other prompts, of no responses yet, at places [F].

    A place of B or above takes none. What responses left there is hidden, and
    its values are 0: what is hidden has weight 0, and 0 times NaN is NaN.
    """

    def put(every, new):
      return every.at[places].set(new, mode='drop')

    def emptied(values):
      samples = values.shape[0] // self.began.shape[0]
      rows = places[:, None] * samples + jnp.arange(samples)[None]
      return values.at[rows.reshape(-1)].set(0, mode='drop')

    layers = tuple(
      layer.replace(
        prompt_keys=put(layer.prompt_keys, new.prompt_keys),
        prompt_values=put(layer.prompt_values, new.prompt_values),
        values=tuple(map(emptied, layer.values)),
      )
      for layer, new in zip(self.layers, other.layers, strict=True)
    )
    return self.replace(
      layers=layers,
      prompt_mask=put(self.prompt_mask, other.prompt_mask),
      began=constrain(put(self.began, self.step), None),
    )
