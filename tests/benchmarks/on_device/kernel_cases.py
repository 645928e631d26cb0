"""A case for each module of `rlhf_jax.kernels`, by its name."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax import kernels
from tests.benchmarks.on_device.parity import BOTH, Case, graded

Draw = Callable[..., np.ndarray]


def cases(draw: Draw, scale: int) -> dict[str, Case]:
  """{module, or module and form: its case}; `scale` multiplies sizes."""
  rows = 8 * scale
  rng = np.random.default_rng(1)
  mask = np.arange(32)[None] < rng.integers(1, 33, (rows, 1))
  tokens = [draw(rows, 32) for _ in range(3)]
  return (
    log_probs(draw, scale)
    | of_tokens(tokens, mask)
    | of_groups(draw, rows)
    | of_bottleneck(draw, rows)
    | of_choices(draw)
  )


def log_probs(draw: Draw, scale: int) -> dict[str, Case]:
  """Log-probs and entropies, at once and in chunks, with their gradients."""
  rows, vocabulary = 8 * scale, 512 * scale
  targets = np.random.default_rng(2).integers(0, vocabulary, rows)
  hidden, table = draw(rows, 64), draw(64, vocabulary) / 8

  def logits_of(hidden, table):
    return jnp.einsum(
      'nd,dv->nv', hidden, table, preferred_element_type=jnp.float32
    )

  def plain(hidden, table):
    logits = logits_of(hidden, table)
    return (
      kernels.distributions.token_logps(logits, targets),
      kernels.distributions.entropies(logits),
    )

  def fused(hidden, table, chunk=None):
    return kernels.distributions.fused_token_logps_and_entropies(
      hidden, table, targets, chunk=chunk
    )

  def chunked(hidden, table):
    return fused(hidden, table, vocabulary // 4)

  def expected_probabilities(hidden, table):
    logits = logits_of(hidden, table)
    return kernels.pair_weights.log_expected_probabilities(logits)

  def full_kl(hidden, table):
    logits = logits_of(hidden, table)
    return kernels.divergences.categorical_kl(logits, logits[::-1])

  arrays, plain = (hidden, table), graded(plain)
  return {
    'distributions': Case(plain, arrays, types=BOTH),
    'distributions, fused': Case(graded(fused), arrays, plain, BOTH),
    'distributions, chunks': Case(graded(chunked), arrays, plain, BOTH),
    'divergences, categorical': Case(graded(full_kl), arrays),
    'pair_weights': Case(expected_probabilities, arrays, types=BOTH),
  }


def of_tokens(tokens: list[np.ndarray], mask: np.ndarray) -> dict[str, Case]:
  """Of log-probs, rewards and values [N, R]."""
  lengths = np.sum(mask, axis=-1).astype(np.float32)

  def advantages(rewards, values):
    return jax.vmap(kernels.advantages.gae)(rewards, values, mask)

  def divergences(logps, reference):
    each = (kernels.divergences.k1, kernels.divergences.k3)
    return [estimator(logps, reference) for estimator in each]

  def importance(logps, old, reference):
    return {
      'ratios': kernels.importance.ratios(logps, old),
      'sequence': kernels.importance.sequence_ratios(logps, old, mask),
      'k3': kernels.importance.reweighted_k3(logps, old, reference),
    }

  def length_bias(logps):
    whole = kernels.length_bias.whole_logps(logps, mask, lengths)
    return kernels.length_bias.mean_logps(whole, lengths)

  def masking(x):
    return [
      kernels.masking.whiten(x, mask),
      kernels.masking.token_mean(x, mask).value,
      kernels.masking.sequence_mean(x, mask).value,
    ]

  def rewards(scores, logps, reference):
    return kernels.rewards.token_rewards(
      scores[:, 0], logps, reference, mask, kl_coef=0.1
    )

  def token_masks(entropies):
    return kernels.token_masks.high_entropy(entropies, mask, share=0.2)

  one, two, three = tokens[:1], tokens[:2], tokens
  return {
    'advantages': Case(advantages, two),
    'divergences': Case(graded(divergences), two),
    'importance': Case(graded(importance), three),
    'length_bias': Case(length_bias, one),
    'logps': Case(lambda x: kernels.logps.before_tokens(x, start=16), one),
    'masking': Case(masking, one),
    'pair_gaps': Case(kernels.pair_gaps.gaps, two),
    'rewards': Case(rewards, three),
    'token_masks': Case(token_masks, one),
  }


def of_groups(draw: Draw, rows: int) -> dict[str, Case]:
  """Of scores [B, K]."""
  mask = np.ones((rows, 4), bool)

  def baselines(scores):
    each = (
      kernels.baselines.group_standardised,
      kernels.baselines.leave_one_out,
    )
    return [baseline(scores, mask) for baseline in each]

  def ensembles(scores):
    return [kernels.ensembles.mean(scores), kernels.ensembles.worst(scores)]

  scores = (draw(rows, 4),)
  return {
    'baselines': Case(baselines, scores),
    'ensembles': Case(ensembles, scores),
  }


def of_bottleneck(draw: Draw, rows: int) -> dict[str, Case]:
  """Of latents [N, d] and scores of all pairs [N, N]."""
  positives = np.eye(rows, dtype=bool)

  def bottleneck(means, deviations, scores):
    return {
      'kl': kernels.bottleneck.standard_normal_kl(means, deviations),
      'bound': kernels.bottleneck.info_nce(scores, positives, ~positives),
    }

  arrays = (draw(rows, 16), draw(rows, 16), draw(rows, rows))
  return {'bottleneck': Case(graded(bottleneck), arrays)}


def of_choices(draw: Draw) -> dict[str, Case]:
  """What is chosen, grouped or put together: equal, or not."""
  kept = draw(4, 8) > 0

  def clustering(similarity):
    similarity = (similarity + similarity.T > 2) | jnp.eye(16, dtype=bool)
    return kernels.clustering.union_find(similarity)

  def selection(scores, uniforms):
    mask = jnp.ones(scores.shape, bool)
    return kernels.selection.rejection_sample_by(
      jax.nn.sigmoid(uniforms), scores, mask, beta=1.0, count=3
    )

  def splicing(head):
    tokens = jnp.round(8 * head).astype(jnp.int32)
    return kernels.splicing.splice(tokens, kept, tokens, ~kept, 12)

  def views(scores):
    tokens = jnp.round(scores).astype(jnp.int32)
    return kernels.views.prompt_ids(tokens, jnp.abs(scores) > 0.5)

  return {
    'clustering': Case(clustering, (draw(16, 16),)),
    'selection': Case(selection, (draw(8), draw(64))),
    'splicing': Case(splicing, (draw(4, 8),)),
    'views': Case(views, (draw(16, 2),)),
  }
