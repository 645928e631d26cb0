"""Learning a policy from pairs of responses, the preferred one first."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from rlhf_jax.kernels import logps
from rlhf_jax.losses import objective as objectives
from rlhf_jax.losses import pairwise
from rlhf_jax.training import state as training
from rlhf_jax.types import Mean
from rlhf_jax.types.calls import offering
from rlhf_jax.types.values import checked

POLICY = ('policy_chosen_logps', 'policy_rejected_logps')
REFERENCE = ('reference_chosen_logps', 'reference_rejected_logps')
LOG_RATIOS = ('chosen_log_ratios', 'rejected_log_ratios')
LENGTHS = ('chosen_lengths', 'rejected_lengths')
SCORES = ('chosen_scores', 'rejected_scores')
TARGET = ('target_logps', 'target_lengths')
# What `offered` gives, where the stage and its data have it.
OFFERED = (
  *POLICY,
  *REFERENCE,
  *LOG_RATIOS,
  *LENGTHS,
  *SCORES,
  *TARGET,
  'margins',
)
Offered = offering(OFFERED)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(objectives.Config):
  """Which objective is minimised, and in how many parts."""

  objective: Offered = functools.partial(pairwise.dpo, beta=0.1)


init = training.policy_from


def reference_logps(frozen, batch, *, models, config):
  """[B, K] log-probs under `frozen['reference']`, to be kept with the data.

  None where the objective reads no reference.
  """
  if not objectives.of_reference(objectives.reads(config.objective)):
    return None
  return logps.response_logps(models.policy, frozen['reference'], batch)


def loss(params, frozen, batch, key, *, models, config):
  """Terms and metrics of Comparisons [B, 2, T]. Differentiate in `params`.

  No reference is asked unless the objective reads one. Log-probs are those of
  whole responses, end-of-text included.
  """
  del key  # Nothing here is random.
  weight = batch.pair_weight
  arrays = offered(
    params, frozen, batch, objectives.reads(config.objective), models=models
  )
  losses = objectives.evaluate(config.objective, arrays)
  terms = {'preference': (1.0, Mean.of(losses, weight))}
  return terms, measured(config.objective, arrays, weight)


def offered(params, frozen, batch, wanted, *, models):
  """The arrays that an objective may name, each [B] float32.

  policy_chosen_logps, policy_rejected_logps: nats.
  reference_chosen_logps, reference_rejected_logps: nats; where wanted, if the
    stage froze a reference or its log-probs are kept with the data.
  chosen_log_ratios, rejected_log_ratios: nats, policy − reference; likewise.
  chosen_lengths, rejected_lengths: tokens.
  chosen_scores, rejected_scores: reward units, where the data has scores.
  margins: reward units.
  target_logps, target_lengths: of what is imitated beside, the chosen response
    where the data has nothing else.

  Args:
    params, frozen, batch, models: as in `loss`.
    wanted: names; what takes a model is computed for these alone.
  """

  def columns(name, values):
    chosen, rejected = name
    return {chosen: values[:, 0], rejected: values[:, 1]}

  policy, lengths = params['policy'], logps.response_lengths(batch)
  arrays = columns(POLICY, logps.response_logps(models.policy, policy, batch))
  arrays |= columns(LENGTHS, lengths) | {'margins': batch.margins}
  if batch.scores is not None:
    arrays |= columns(SCORES, batch.scores)
  known = batch.reference_logps is not None or 'reference' in frozen
  if known and objectives.of_reference(wanted):
    arrays |= columns(
      REFERENCE,
      logps.reference_logps(models.policy, frozen.get('reference'), batch),
    )
    arrays |= log_ratios(arrays)
  target, chosen = batch.targets, arrays['policy_chosen_logps']
  if target is None:
    arrays |= {'target_logps': chosen, 'target_lengths': lengths[:, 0]}
  elif 'target_logps' in wanted:
    arrays |= {
      'target_logps': logps.response_logps(models.policy, policy, target),
      'target_lengths': logps.response_lengths(target),
    }
  return arrays


def log_ratios(arrays):
  """Policy − reference [B] of both responses; none without a reference."""
  return {
    name: arrays[policy] - arrays[reference]
    for name, policy, reference in zip(
      LOG_RATIOS, POLICY, REFERENCE, strict=True
    )
    if reference in arrays
  }


def measured(objective, arrays, weight):
  """What a person watches: how pairs are told apart, and by how much.

  `margin` is the gap between the two log-ratios in nats, or where no reference
  is read the log-probs' own; TRL's rewards/margins is β times as large.
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
    'margin': Mean.of(gaps, weight),
    'chosen_logps': Mean.of(chosen, weight),
    'rejected_logps': Mean.of(rejected, weight),
    'active': Mean.of(pushed, weight),
  }


update = training.gradient_step(loss)
