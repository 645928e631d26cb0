"""Learning a policy from pairs of responses, the preferred one first."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import length_bias, logps, pair_weights
from rlhf_jax.losses import objective as objectives
from rlhf_jax.losses import pairwise
from rlhf_jax.training import state as training
from rlhf_jax.types import Comparisons, Mean, Metrics, Models, Params, Terms
from rlhf_jax.types.calls import offering
from rlhf_jax.types.values import checked

POLICY = ('policy_chosen_logps', 'policy_rejected_logps')
REFERENCE = ('reference_chosen_logps', 'reference_rejected_logps')
LOG_RATIOS = ('chosen_log_ratios', 'rejected_log_ratios')
LENGTHS = ('chosen_lengths', 'rejected_lengths')
SCORES = ('chosen_scores', 'rejected_scores')
TARGET = ('target_logps', 'target_lengths')
# What `arrays_for` gives, where the stage and its data have it.
ARRAYS = (
  *POLICY,
  *REFERENCE,
  *LOG_RATIOS,
  *LENGTHS,
  *SCORES,
  *TARGET,
  'margins',
)
Objective = offering(ARRAYS)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(objectives.Config):
  """Which objective is minimised, of which log-probs, and which pairs count.

  Attributes:
    response_logps: (token log-probs [N, R], mask [N, R], tokens [N] of the
      shorter response of each one's pair) -> log-prob [N] of the response, for
      the policy and the reference alike: `length_bias.whole_logps`, or LD-DPO's
      `discounted_tail_logps`.
    pair_weights: (the policy's token log-probs, log Σ π² of what they were
      drawn from, mask, [B, 2, R] each) -> [B] constants that losses are
      multiplied with: WPO's `pair_weights.on_policy`. None for 1.
  """

  objective: Objective = functools.partial(pairwise.dpo, beta=0.1)
  response_logps: Callable[[chex.Array, chex.Array, chex.Array], chex.Array] = (
    length_bias.whole_logps
  )
  pair_weights: (
    Callable[[chex.Array, chex.Array, chex.Array], chex.Array] | None
  ) = None


init = training.policy_from


def reference_logps(
  frozen: Mapping[str, Params],
  batch: Comparisons,
  *,
  models: Models,
  config: Config,
) -> chex.Array | None:
  """[B, K] log-probs under `frozen['reference']`, to be kept with the data.

  None where the objective reads no reference.
  """
  if not objectives.of_reference(objectives.reads(config.objective)):
    return None
  read = _read(frozen['reference'], batch, models)
  return _summed(read, batch, config.response_logps)


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Comparisons [B, 2, T]. Differentiate in `params`.

  No reference is asked unless the objective reads one. Log-probs are those of
  whole responses, end-of-text included, unless `config.response_logps` has it
  otherwise.
  """
  del key  # Nothing here is random.
  weight = batch.pair_weight
  arrays = arrays_for(
    params,
    frozen,
    batch,
    objectives.reads(config.objective),
    models=models,
    config=config,
  )
  losses = objectives.losses_of(
    config.objective, arrays, shape=weight.shape, each='a pair'
  )
  metrics = metrics_of(config.objective, arrays, weight)
  if config.pair_weights is not None:
    weights = weights_of_pairs(params, batch, models=models, config=config)
    losses *= weights
    metrics['pair_weight'] = Mean.of(weights, weight)
  return {'preference': (1.0, Mean.of(losses, weight))}, metrics


def weights_of_pairs(
  params: Params, batch: Comparisons, *, models: Models, config: Config
) -> chex.Array:
  """[B] of `config.pair_weights`, of the policy as it is; constants.

  Takes a pass of its own through the policy, forward alone.
  """
  policy = jax.lax.stop_gradient(params['policy'])
  token_logps, mask = _read(policy, batch, models)
  log_expected = pair_weights.next_token_log_expected(
    models.policy, policy, *_rows(batch)
  )
  shape = (*batch.candidate_mask.shape, -1)
  pairs = (x.reshape(shape) for x in (token_logps, log_expected, mask))
  return jax.lax.stop_gradient(config.pair_weights(*pairs))


def _rows(batch):
  """Tokens and attention mask [B · K, T]."""
  _, _, T = batch.tokens.shape
  return [x.reshape(-1, T) for x in (batch.tokens, batch.attention_mask)]


def _read(params, batch, models):
  """Log-probs of all tokens but the first, and which are a response's.

  [B · K, T − 1] each, by a policy's parameters.
  """
  _, _, T = batch.tokens.shape
  mask = batch.response_mask.reshape(-1, T)[:, 1:]
  return logps.next_token_logps(models.policy, params, *_rows(batch)), mask


def _summed(read, batch, response_logps):
  """[B, K] log-probs of responses, of what was `_read`."""
  B, K = batch.candidate_mask.shape
  lengths = logps.response_lengths(batch)
  lengths = jnp.where(batch.candidate_mask, lengths, jnp.inf)
  shorter = jnp.broadcast_to(jnp.min(lengths, 1, keepdims=True), (B, K))
  return response_logps(*read, shorter.reshape(-1)).reshape(B, K)


def arrays_for(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  wanted: Collection[str],
  *,
  models: Models,
  config: Config,
) -> dict[str, chex.Array]:
  """The arrays that an objective may name, each [B] float32.

  policy_chosen_logps, policy_rejected_logps: nats.
  reference_chosen_logps, reference_rejected_logps: nats; where wanted, if the
    stage froze a reference or its log-probs are kept with the data.
  chosen_log_ratios, rejected_log_ratios: nats, policy − reference; likewise.
  chosen_lengths, rejected_lengths: tokens.
  chosen_scores, rejected_scores: reward units, where the data has scores.
  margins: reward units.
  target_logps, target_lengths: of what is imitated beside, the chosen response
    where the data has nothing else; whole.

  Args:
    params, frozen, batch, models, config: as in `loss`.
    wanted: names; what takes a model is computed for these alone.
  """

  def columns(name, values):
    chosen, rejected = name
    return {chosen: values[:, 0], rejected: values[:, 1]}

  policy, lengths = params['policy'], logps.response_lengths(batch)
  read = _read(policy, batch, models)
  arrays = columns(POLICY, _summed(read, batch, config.response_logps))
  arrays |= columns(LENGTHS, lengths) | {'margins': batch.margins}
  if batch.scores is not None:
    arrays |= columns(SCORES, batch.scores)
  there = batch.reference_logps is not None or 'reference' in frozen
  if there and objectives.of_reference(wanted):
    known = batch.reference_logps
    if known is None:
      known = _summed(
        _read(frozen['reference'], batch, models), batch, config.response_logps
      )
    arrays |= columns(REFERENCE, jax.lax.stop_gradient(known))
    arrays |= log_ratios(arrays)
  target = batch.targets
  if target is None:
    whole = _summed(read, batch, length_bias.whole_logps)
    arrays |= {'target_logps': whole[:, 0], 'target_lengths': lengths[:, 0]}
  elif 'target_logps' in wanted:
    arrays |= {
      'target_logps': logps.response_logps(models.policy, policy, target),
      'target_lengths': logps.response_lengths(target),
    }
  return arrays


def log_ratios(arrays: Mapping[str, chex.Array]) -> dict[str, chex.Array]:
  """Policy − reference [B] of both responses; none without a reference."""
  return {
    name: arrays[policy] - arrays[reference]
    for name, policy, reference in zip(
      LOG_RATIOS, POLICY, REFERENCE, strict=True
    )
    if reference in arrays
  }


def metrics_of(
  objective: objectives.Objective,
  arrays: Mapping[str, chex.Array],
  weight: chex.Array,
) -> Metrics:
  """Metrics to log, of arrays [B] and weights [B].

  `log_ratio_gap` is the chosen log-ratio less the rejected one in nats, or
  where no reference is read the log-probs' own; TRL's rewards/margins is β
  times as large.
  `chosen_logps` and `rejected_logps` fall together when the policy moves far;
  `active` is the share of pairs whose rejected response is still pushed.
  """
  chosen, rejected = (arrays[name] for name in POLICY)
  gaps = chosen - rejected
  if REFERENCE[0] in arrays:
    gaps -= arrays[REFERENCE[0]] - arrays[REFERENCE[1]]

  def total(rejected):
    moved = arrays | {POLICY[1]: rejected}
    moved |= log_ratios(moved)
    return jnp.sum(objectives.evaluate(objective, moved))

  pushed = jax.grad(total)(jax.lax.stop_gradient(rejected)) != 0.0
  right = (gaps > 0) + 0.5 * (gaps == 0)
  return {
    'accuracy': Mean.of(right, weight),
    'log_ratio_gap': Mean.of(gaps, weight),
    'chosen_logps': Mean.of(chosen, weight),
    'rejected_logps': Mean.of(rejected, weight),
    'active': Mean.of(pushed, weight),
  }


update = training.gradient_step(loss)
