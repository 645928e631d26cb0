"""Steps of SFT, DPO and GRPO with random weights, and what they need."""

import dataclasses
import statistics
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from rlhf_jax.generation.decode import policy_sampler
from rlhf_jax.methods import dpo, grpo, sft
from rlhf_jax.models import TransformerConfig, language_model
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.training.optimizers import Adam
from rlhf_jax.types import Comparisons, Demonstrations, Models, Prompts
from tests.benchmarks.on_device import machine
from tests.benchmarks.sides.work import Shape

ADAM = Adam(learning_rate=1e-6)


@dataclasses.dataclass(frozen=True)
class Sizes:
  """What is measured.

  Attributes:
    config: of all models.
    rows: of SFT, and tokens of each; likewise pairs of DPO.
    prompts, samples, prompt, response: of GRPO.
    steps: that are timed, after the first.
  """

  config: TransformerConfig
  rows: int
  pairs: int
  length: int
  prompts: int
  samples: int
  prompt: int
  response: int
  steps: int

  @property
  def shape(self) -> Shape:
    """The config's, which counts FLOPs."""
    c = self.config
    return Shape(
      c.vocab_size,
      c.layers,
      c.width,
      c.heads,
      c.kv_heads,
      c.mlp_width,
      c.tied_embeddings,
    )


def draw(*shape: int, vocabulary: int, seed: int = 0) -> jax.Array:
  """Random ids."""
  return jax.random.randint(jax.random.key(seed), shape, 0, vocabulary)


def run_sft(sizes: Sizes) -> dict[str, Any]:
  """Seconds of a step, and the FLOP/s of what a step must compute."""
  tokens = draw(sizes.rows, sizes.length, vocabulary=sizes.config.vocab_size)
  every = jnp.ones(tokens.shape, bool)
  batch = Demonstrations(tokens, every, every)
  config = sft.Config(steps=1000, batch_size=sizes.rows, optimizer=ADAM)
  flops = 3 * sizes.rows * sizes.shape.reading(sizes.length)
  return _timed(sizes, sft, config, batch, flops)


def run_dpo(sizes: Sizes) -> dict[str, Any]:
  """Likewise, of pairs that a live reference reads too."""
  shape = (sizes.pairs, 2, sizes.length)
  tokens = draw(*shape, vocabulary=sizes.config.vocab_size)
  said = jnp.broadcast_to(jnp.arange(sizes.length) >= sizes.length // 2, shape)
  batch = Comparisons(
    tokens=tokens,
    attention_mask=jnp.ones(shape, bool),
    response_mask=said,
    candidate_mask=jnp.ones(shape[:2], bool),
    margins=jnp.zeros(shape[0]),
    weight=jnp.ones(shape[0]),
  )
  config = dpo.Config(steps=1000, batch_size=sizes.pairs, optimizer=ADAM)
  flops = (3 + 1) * 2 * sizes.pairs * sizes.shape.reading(sizes.length)
  return _timed(sizes, dpo, config, batch, flops)


def run_grpo(sizes: Sizes) -> dict[str, Any]:
  """Seconds of a round by its parts: sample, score, update."""
  config = grpo.Config(
    steps=1000, batch_size=sizes.prompts, samples=sizes.samples, optimizer=ADAM
  )
  model = language_model(sizes.config)
  sampler = policy_sampler(
    model, max_response=sizes.response, stop_ids=(), pad_id=0
  )

  def scorer(frozen, rollouts):
    return jnp.asarray(rollouts.tokens.sum(axis=-1) % 7, jnp.float32)

  models = Models(policy=model, sampler=sampler, scorer=scorer)
  state, frozen, optimizer = _start(models, config)
  shape = (sizes.prompts, sizes.prompt)
  prompts = Prompts(
    draw(*shape, vocabulary=sizes.config.vocab_size),
    jnp.ones(shape, bool),
    jnp.arange(sizes.prompts),
  )
  update = jitted(grpo.update, donate=(0,))

  def rounds(state) -> Iterator[dict[str, float]]:
    for step in range(sizes.steps + 1):
      key = jax.random.fold_in(jax.random.key(1), step)
      began = time.perf_counter()
      batch, collected = grpo.collect(
        state, frozen, prompts, key, models=models, config=config
      )
      middle = time.perf_counter()
      state, metrics = update(
        state,
        frozen,
        batch,
        key,
        models=models,
        optimizer=optimizer,
        config=config,
      )
      jax.block_until_ready((state, metrics))
      ended = time.perf_counter()
      parts = {
        name.removeprefix('seconds/'): float(mean.value)
        for name, mean in collected.items()
        if name.startswith('seconds/')
      }
      yield parts | {'update': ended - middle, 'seconds': ended - began}

  first, *others = rounds(state)
  return {
    name: statistics.median(other[name] for other in others) for name in first
  } | {'first': first['seconds'], 'peak_bytes': machine.peak_bytes()}


def _start(models, config):
  """A state of random weights, its reference, and the optimizer."""
  optimizer = config.make_optimizer()
  params = models.policy.init(jax.random.key(0))
  reference = jax.tree.map(jnp.copy, params)
  state = jax.jit(
    lambda params: training.create({'policy': params}, optimizer),
    donate_argnums=0,
  )(params)
  return state, {'reference': reference}, optimizer


def _timed(sizes, method, config, batch, flops):
  """Seconds of a method's update on one batch, over and over."""
  models = Models(policy=language_model(sizes.config))
  state, frozen, optimizer = _start(models, config)
  if method is sft:
    frozen = {}
  update = jitted(method.update, donate=(0,))
  spent = []
  for step in range(sizes.steps + 1):
    began = time.perf_counter()
    state, metrics = update(
      state,
      frozen,
      batch,
      jax.random.key(step),
      models=models,
      optimizer=optimizer,
      config=config,
    )
    jax.block_until_ready((state, metrics))
    spent.append(time.perf_counter() - began)
  seconds = statistics.median(spent[1:])
  return {
    'seconds': seconds,
    'first': spent[0],
    'flops_per_second': flops / seconds,
    'peak_bytes': machine.peak_bytes(),
  }
