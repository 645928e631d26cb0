"""The settings of references together, which golden cases have one by one.

What is expected is written out here in numpy, in float64, from the published
formulas; gradients are its central differences. Combinations are drawn from the
product of all settings, with those that were once missing named besides.
"""

import itertools

import chex
import jax
import numpy as np
from absl.testing import absltest, parameterized
from scipy import special

from tests.golden_adapters import (
  adv,
  dpo,
  grpo,
  ppo_openrlhf,
  reference_free,
  rloo,
  sampling,
  unpaired,
)

ROWS, WIDTH = 5, 6


def drawn(settings, count, seed=0):
  """`count` of all combinations of {name: values}."""
  every = list(itertools.product(*settings.values()))
  picks = np.random.default_rng(seed).permutation(len(every))[:count]
  return [dict(zip(settings, every[i], strict=True)) for i in picks]


def f32(tree):
  return jax.tree.map(
    lambda x: x.astype(np.float32) if x.dtype == np.float64 else x, tree
  )


def value_and_slope(adapter, inputs, name, **params):
  """Outputs, and the loss's slope along a fixed direction of one input."""
  inputs = f32(inputs)

  def loss(x):
    outputs = adapter(inputs | {name: x}, **params)
    return outputs['loss'], outputs

  (_, outputs), grad = jax.value_and_grad(loss, has_aux=True)(inputs[name])
  return outputs, np.sum(grad * direction(inputs[name].shape))


def direction(shape):
  return np.random.default_rng(7).normal(size=shape)


def slope(loss, x, step=1e-6):
  """The same of a definition loss(x, constant), constants held."""
  move = step * direction(x.shape)
  return (loss(x + move, x) - loss(x - move, x)) / (2 * step)


def mean_of(x, mask):
  return np.sum(x * mask) / max(mask.sum(), 1)


def ratio_of(new, old, mask, is_whole):
  moved = new - old
  if is_whole:
    lengths = np.maximum(mask.sum(-1, keepdims=True), 1)
    moved = np.sum(moved * mask, -1, keepdims=True) / lengths
  return np.exp(moved)


# GRPO and its relatives ------------------------------------------------------

GRPO = {
  'loss_type': ('grpo', 'bnpo', 'dr_grpo', 'dapo', 'luspo', 'cispo', 'sapo',
                'vespo'),
  'importance_sampling_level': ('token', 'sequence'),
  'beta': (0.0, 0.04),
  'use_bias_correction_kl': (False, True),
  'delta': (None, 1.5),
  'top_entropy_quantile': (1.0, 0.4),
  'off_policy_mask_threshold': (None, 0.02),
  'entropy_coef': (0.0, 0.01),
  'has_old': (True, False),
}  # fmt: skip
GRPO_VALUES = {
  'epsilon_low': 0.1,
  'epsilon_high': 0.15,
  'max_completion_length': 16,
  'sapo_temperature_pos': 1.0,
  'sapo_temperature_neg': 1.05,
  'vespo_k_pos': 2.0,
  'vespo_lambda_pos': 3.0,
  'vespo_k_neg': 3.0,
  'vespo_lambda_neg': 2.0,
  'num_items_in_batch': 23,
}
GRPO_NAMED = [
  {name: values[0] for name, values in GRPO.items()} | chosen
  for chosen in (
    {'importance_sampling_level': 'sequence', 'beta': 0.04},
    {'has_old': False, 'beta': 0.04},
    {'delta': 1.5, 'beta': 0.04},
    {'importance_sampling_level': 'sequence', 'entropy_coef': 0.01},
    {'importance_sampling_level': 'sequence', 'delta': 1.5},
    {'loss_type': 'luspo', 'importance_sampling_level': 'sequence',
     'beta': 0.04, 'use_bias_correction_kl': True},
    {'loss_type': 'dapo', 'top_entropy_quantile': 0.4, 'entropy_coef': 0.01},
  )
]  # fmt: skip


def grpo_inputs():
  draw = np.random.default_rng(3)
  mask = np.arange(WIDTH) < np.array([6, 1, 4, 0, 5])[:, None]
  new = -np.abs(draw.normal(size=(ROWS, WIDTH)))
  return {
    'per_token_logps': new,
    'old_per_token_logps': new + 0.2 * draw.normal(size=new.shape),
    'ref_per_token_logps': new + 0.3 * draw.normal(size=new.shape),
    'advantages': np.array([1.2, -0.7, -1.1, 0.4, 0.9]),
    'entropies': np.abs(draw.normal(size=new.shape)),
    'mask': mask.astype(np.int64),
  }


def grpo_by_definition(inputs, p, new, constant):
  """The loss; `constant` is the policy's log-prob where it has no gradient."""
  mask, gain = inputs['mask'], inputs['advantages'][:, None]
  old = inputs['old_per_token_logps'] if p['has_old'] else constant
  is_whole = p['importance_sampling_level'] == 'sequence'
  s = ratio_of(new, old, mask, is_whole)
  low, high = 1 - p['epsilon_low'], 1 + p['epsilon_high']
  if p['loss_type'] == 'cispo':
    fixed = ratio_of(constant, old, mask, is_whole)
    losses = -np.minimum(fixed, p['epsilon_high']) * gain * new
  elif p['loss_type'] == 'sapo':
    tau = np.where(
      gain > 0, p['sapo_temperature_pos'], p['sapo_temperature_neg']
    )
    losses = -4 / tau * special.expit(tau * (s - 1)) * gain
  elif p['loss_type'] == 'vespo':
    k = np.where(gain >= 0, p['vespo_k_pos'], p['vespo_k_neg'])
    decay = np.where(gain >= 0, p['vespo_lambda_pos'], p['vespo_lambda_neg'])
    w = np.exp(np.sum((constant - old) * mask, -1, keepdims=True))
    losses = -(w**k) * np.exp(decay * (1 - w)) * gain * new
  else:
    held = s if p['delta'] is None else np.minimum(s, p['delta'])
    losses = -np.minimum(held * gain, np.clip(s, low, high) * gain)
  lengths = mask.sum(-1, keepdims=True)
  if p['off_policy_mask_threshold'] is not None:
    moved = np.sum((old - constant) * mask, -1, keepdims=True)
    stale = moved / np.maximum(lengths, 1) > p['off_policy_mask_threshold']
    losses = losses * ~(stale & (gain < 0))
  active = mask.astype(bool)
  if p['top_entropy_quantile'] < 1:
    counted = inputs['entropies'][active]
    least = np.quantile(counted, 1 - p['top_entropy_quantile'])
    active = active & (inputs['entropies'] >= least)
    losses = losses * active
  if p['beta']:
    d = inputs['ref_per_token_logps'] - new
    kl = np.exp(d) - d - 1
    if p['use_bias_correction_kl']:
      kl = kl * s
    losses = losses + p['beta'] * kl
  per_row = np.sum(losses * mask, -1) / np.maximum(lengths[:, 0], 1)
  total, items = np.sum(losses * mask), p['num_items_in_batch']
  loss = {
    'grpo': np.mean(per_row),
    'sapo': np.mean(per_row),
    'bnpo': total / mask.sum(),
    'dr_grpo': total / (ROWS * p['max_completion_length']),
    'dapo': total / items,
    'cispo': total / items,
    'vespo': total / items,
    'luspo': np.mean(losses * lengths),
  }[p['loss_type']]
  by_items = p['loss_type'] in ('dapo', 'cispo', 'vespo')
  bonus = np.sum(inputs['entropies'] * active)
  bonus /= items if by_items else active.sum()
  return loss - p['entropy_coef'] * bonus, losses


class GrpoTest(parameterized.TestCase):
  @parameterized.parameters(*GRPO_NAMED, *drawn(GRPO, 24))
  def test_loss_is_the_published_one(self, has_old, **settings):
    params, inputs = settings | GRPO_VALUES, grpo_inputs()
    new = inputs['per_token_logps']

    def definition(x, constant):
      p = params | {'has_old': has_old}
      return grpo_by_definition(inputs, p, x, constant)

    given = dict(inputs)
    if not has_old:
      del given['old_per_token_logps']
    outputs, found = value_and_slope(
      grpo.trl_loss, given, 'per_token_logps', **params
    )
    loss, losses = definition(new, new)
    np.testing.assert_allclose(outputs['loss'], loss, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(
      outputs['per_token_loss'], losses, rtol=2e-4, atol=1e-5
    )
    expected = slope(lambda x, constant: definition(x, constant)[0], new)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


# OpenRLHF's policy loss ------------------------------------------------------

POLICY_LOSS = {
  'policy_loss_type': ('ppo', 'gspo'),
  'dual_clip': (None, 1.3),
  'token_level_loss': (True, False),
  'enable_vllm_is_correction': (False, True),
  'vllm_is_correction_type': ('tis', 'icepop', 'seq-mask-tis'),
}


def policy_loss_by_definition(inputs, p, new):
  mask, gain = inputs['mask'], inputs['advantages']
  old, sampler = inputs['old_log_probs'], inputs['rollout_log_probs']
  is_whole = p['policy_loss_type'] == 'gspo'
  is_corrected = p['enable_vllm_is_correction']
  ratio = ratio_of(new, sampler if is_whole and is_corrected else old, mask,
                   is_whole)  # fmt: skip
  surrogate = np.minimum(ratio * gain, np.clip(ratio, 0.8, 1.3) * gain)
  if p['dual_clip']:
    bounded = np.maximum(surrogate, p['dual_clip'] * gain)
    surrogate = np.where(gain < 0, bounded, surrogate)
  losses = -surrogate
  if is_corrected and not is_whole:
    weights, (low, high) = np.exp(old - sampler), (0.9, 1.1)
    kept = (weights >= low) & (weights <= high)
    if p['vllm_is_correction_type'] == 'tis':
      weights, kept = np.clip(weights, low, high), 1.0
    elif p['vllm_is_correction_type'] == 'seq-mask-tis':
      means = ratio_of(old, sampler, mask, True)
      kept = (means >= low) & (means <= high)
    losses = losses * weights * kept
  if p['token_level_loss'] and not is_whole:
    return mean_of(losses, mask)
  lengths = mask.sum(-1)
  rows = np.sum(losses * mask, -1) / np.maximum(lengths, 1)
  return mean_of(rows, lengths > 0)


class PolicyLossTest(parameterized.TestCase):
  @parameterized.parameters(*drawn(POLICY_LOSS, 20))
  def test_loss_is_the_published_one(self, **params):
    old, draw = grpo_inputs(), np.random.default_rng(4)
    new = old['per_token_logps']
    inputs = {
      'log_probs': new,
      'old_log_probs': old['old_per_token_logps'],
      'rollout_log_probs': old['old_per_token_logps']
      + 0.1 * draw.normal(size=new.shape),
      'advantages': draw.normal(size=new.shape),
      'mask': old['mask'],
    }
    outputs, found = value_and_slope(
      ppo_openrlhf.policy_loss,
      inputs,
      'log_probs',
      clip_eps_low=0.2,
      clip_eps_high=0.3,
      vllm_is_truncated_threshold=[0.9, 1.1],
      **params,
    )

    def definition(x, constant):
      del constant
      return policy_loss_by_definition(inputs, params, x)

    np.testing.assert_allclose(
      outputs['loss'], definition(new, new), rtol=2e-5, atol=1e-6
    )
    np.testing.assert_allclose(
      found, slope(definition, new), rtol=1e-3, atol=1e-5
    )


# Advantages with scores that are missing -------------------------------------

NAN = np.nan
SCORES = np.array(
  [[1.0, NAN, 2.5, 0.5], [NAN, NAN, 3.0, NAN], [0.25, -1.0, 4.0, 1.0],
   [NAN] * 4]
)  # fmt: skip


class UnscoredTest(parameterized.TestCase):
  @parameterized.product(normalised=(False, True), clip=(None, [-1.0, 2.0]))
  def test_leave_one_out(self, normalised, clip):
    draw = np.random.default_rng(5)
    shape = (SCORES.size, WIDTH)
    new, reference = draw.normal(size=(2, *shape))
    mask = draw.integers(0, 2, shape)
    mask[2] = 0
    scores = np.clip(SCORES, *clip) if clip else SCORES
    kl = np.sum((new - reference) * mask, -1).reshape(SCORES.shape)
    rewards = scores - 0.1 * kl
    others = np.sum(~np.isnan(rewards), -1, keepdims=True) - 1
    with np.errstate(invalid='ignore', divide='ignore'):
      baselines = (np.nansum(rewards, -1, keepdims=True) - rewards) / others
    gains = rewards - baselines  # NaN for the one that is alone.
    gains[1] = NAN
    if normalised:
      gains = (gains - np.nanmean(gains)) / (np.nanstd(gains, ddof=1) + 1e-4)
    inputs = f32({
      'rewards_per_func': SCORES.reshape(-1, 1),
      'old_per_token_logps': new,
      'ref_per_token_logps': reference,
      'mask': mask,
    })  # fmt: skip
    outputs = rloo.trl_advantages(
      inputs,
      num_generations=4,
      normalize_advantages=normalised,
      beta=0.1,
      reward_clip_range=clip,
    )
    np.testing.assert_allclose(
      outputs['advantages'], np.nan_to_num(gains).reshape(-1), atol=2e-5
    )
    chex.assert_tree_all_finite(outputs)

  @parameterized.product(
    scale=('group', 'batch', 'none'),
    aggregation=('sum_then_normalize', 'normalize_then_sum'),
  )
  def test_of_several_rewards(self, scale, aggregation):
    draw = np.random.default_rng(6)
    second = draw.normal(size=SCORES.shape)
    second[0, 0] = second[3, 1] = second[3, 2:] = second[1, 3] = NAN
    second[3, 0] = NAN
    each = np.stack([SCORES, second])
    weights = np.array([1.0, 0.5])
    missing = np.isnan(each).all(0)
    with np.errstate(invalid='ignore'):
      values = each
      if aggregation == 'normalize_then_sum':
        scored = np.sum(~np.isnan(each), -1, keepdims=True)
        means = np.nansum(each, -1, keepdims=True) / np.maximum(scored, 1)
        squares = np.nansum((each - means) ** 2, -1, keepdims=True)
        deviations = np.sqrt(squares / np.maximum(scored - 1, 1))
        values = (each - means) / (deviations + 1e-4)
      rewards = np.nansum(weights[:, None, None] * values, 0)
      rewards[missing] = NAN
      scored = np.sum(~np.isnan(rewards), -1, keepdims=True)
      means = np.nansum(rewards, -1, keepdims=True) / np.maximum(scored, 1)
      squares = np.nansum((rewards - means) ** 2, -1, keepdims=True)
      spread = np.sqrt(squares / np.maximum(scored - 1, 1))
      whole = np.nanstd(rewards, ddof=1)
      gains = rewards - means
      if aggregation == 'normalize_then_sum':
        gains = (rewards - np.nanmean(rewards)) / (whole + 1e-4)
      elif scale != 'none':
        gains = gains / ({'group': spread, 'batch': whole}[scale] + 1e-4)
    outputs = grpo.trl_advantages(
      f32({
        'rewards_per_func': each.reshape(2, -1).T,
        'reward_weights': weights,
      }),
      num_generations=4,
      scale_rewards=scale,
      aggregation=aggregation,
    )  # fmt: skip
    np.testing.assert_allclose(
      outputs['advantages'], np.nan_to_num(gains).reshape(-1), atol=5e-5
    )
    chex.assert_tree_all_finite(outputs)


class NormalisedTest(parameterized.TestCase):
  @parameterized.product(
    estimator=('reinforce', 'reinforce_baseline', 'gae', 'rloo'),
    no_std_norm=(False, True),
    clip=(None, [-0.5, 0.5]),
  )
  def test_with_and_without_the_division(self, estimator, no_std_norm, clip):
    draw = np.random.default_rng(8)
    scores, gamma = draw.normal(size=8), 0.9
    values, kl = draw.normal(size=(2, 8, WIDTH))
    mask = np.arange(WIDTH) < np.array([6, 1, 4, 0, 5, 2, 3, 6])[:, None]
    groups = scores.reshape(-1, 4)
    if estimator == 'reinforce_baseline':
      gains = groups - groups.mean(-1, keepdims=True)
    elif estimator == 'rloo':
      gains = groups - (groups.sum(-1, keepdims=True) - groups) / 3
    else:
      gains = groups
    gains = gains.reshape(-1)
    gains = np.clip(gains, *clip) if clip else gains
    if estimator in ('reinforce_baseline', 'rloo'):
      gamma = 1.0  # The reference sets it.
    rewards = -0.05 * kl
    lengths = mask.sum(-1)
    for row in np.flatnonzero(lengths):
      rewards[row, lengths[row] - 1] += gains[row]
    decay = gamma * (0.95 if estimator == 'gae' else 1.0)
    baseline = values * mask if estimator == 'gae' else np.zeros_like(values)
    after = np.pad(baseline, [(0, 0), (0, 1)])[:, 1:]
    deltas = rewards * mask + gamma * after - baseline
    expected, carry = np.zeros_like(rewards), np.zeros(8)
    for t in reversed(range(WIDTH)):
      carry = deltas[:, t] + decay * carry
      expected[:, t] = carry
    if estimator != 'rloo':
      mean = mean_of(expected, mask)
      variance = mean_of((expected - mean) ** 2, mask)
      expected = expected - mean
      if not no_std_norm:
        expected = expected / np.sqrt(variance)
    outputs = adv.openrlhf(
      f32({'rewards': scores, 'values': values, 'kl': kl,
           'mask': mask.astype(np.int64)}),
      estimator=estimator, n_samples_per_prompt=4, gamma=0.9, lam=0.95,
      kl_coef=0.05, reward_clip_range=clip, no_std_norm=no_std_norm,
    )  # fmt: skip
    found = getattr(outputs['advantages'], 'value', outputs['advantages'])
    np.testing.assert_allclose(found[mask], expected[mask], atol=2e-5)


# Pairs and single responses --------------------------------------------------


def pair_inputs():
  draw = np.random.default_rng(9)
  policy, reference = -10.0 * draw.random((2, 2, 6))
  inputs = dict(zip(dpo.LOGPS, (*policy, *reference), strict=True))
  for name in ('chosen_lengths', 'rejected_lengths'):
    inputs[name] = draw.integers(1, 9, 6)
  return inputs


class PairsTest(parameterized.TestCase):
  @parameterized.product(
    coefficient=(1.0, 1.0 + 5e-7, 1.0 - 1e-3, 0.9, 0.5, 0.0, 1.5),
    loss_type=('sigmoid', 'hinge', 'ipo', 'bco_pair'),
  )
  def test_alpha_divergence_up_to_its_limit(self, coefficient, loss_type):
    """f′(t) = (t^(a − 1) − 1) / (a − 1), log t at a = 1; TRL drops the −1."""
    inputs = pair_inputs()
    a = coefficient - 1.0

    def scores(side):
      x = inputs[f'policy_{side}_logps'] - inputs[f'reference_{side}_logps']
      return x if abs(a) < 1e-6 else np.exp(a * x) / a

    u, v = scores('chosen'), scores('rejected')
    n, m = inputs['chosen_lengths'], inputs['rejected_lengths']
    expected = {
      'sigmoid': np.logaddexp(0.0, -0.1 * (u - v)),
      'hinge': np.maximum(0.0, 1.0 - 0.1 * (u - v)),
      'ipo': (u / n - v / m - 5.0) ** 2,
      'bco_pair': np.logaddexp(0.0, -0.1 * u) + np.logaddexp(0.0, 0.1 * v),
    }[loss_type]
    outputs = dpo.fdivergence(
      f32(inputs),
      loss_type=loss_type,
      beta=0.1,
      f_divergence_type='alpha_divergence',
      f_alpha_divergence_coef=coefficient,
    )
    np.testing.assert_allclose(outputs['losses'], expected, rtol=2e-3)
    np.testing.assert_allclose(outputs['chosen_scores'], u, rtol=1e-5)

  @parameterized.product(
    loss_type=('simpo', 'sigmoid', 'hinge', 'ipo'),
    alpha=(0.0, 0.25, -0.5),
    label_smoothing=(0.0, 0.1),
  )
  def test_bent_rewards(self, loss_type, alpha, label_smoothing):
    inputs = {k: v for k, v in pair_inputs().items() if 'policy' in k}
    bent = [
      (1 - np.exp(-alpha * x)) / alpha if alpha else x for x in inputs.values()
    ]
    h = 2.0 * (bent[0] - bent[1]) - (0.5 if loss_type == 'simpo' else 0.0)
    if loss_type == 'hinge':
      expected = np.maximum(0.0, 1.0 - h)
    elif loss_type == 'ipo':
      expected = (bent[0] - bent[1] - 0.25) ** 2
    else:
      expected = (1 - label_smoothing) * np.logaddexp(0.0, -h)
      expected += label_smoothing * np.logaddexp(0.0, h)
    outputs = reference_free.cpo(
      f32(inputs),
      loss_type=loss_type,
      beta=2.0,
      simpo_gamma=0.5,
      label_smoothing=label_smoothing,
      alpha=alpha,
    )
    np.testing.assert_allclose(
      outputs['losses'], expected, rtol=2e-4, atol=1e-5
    )
    np.testing.assert_allclose(
      outputs['chosen_rewards'], 2.0 * bent[0], rtol=2e-5, atol=1e-5
    )

  @parameterized.product(
    loss_type=('kto', 'apo_zero_unpaired'),
    weights=((1.0, 1.0), (1.33, 0.5), (0.0, 2.0)),
  )
  def test_weights_of_single_responses(self, loss_type, weights):
    draw = np.random.default_rng(10)
    policy, reference, policy_kl, reference_kl = draw.normal(size=(4, 7))
    label = draw.integers(0, 2, 7)
    z = max(0.0, np.mean(policy_kl - reference_kl))
    z = z if loss_type == 'kto' else 0.0
    sign = np.where(label, 1.0, -1.0)
    losses = np.where(label, *weights) * (
      1.0 - special.expit(0.3 * sign * (policy - reference - z))
    )
    outputs = unpaired.trl(
      f32({
        'policy_logps': policy,
        'reference_logps': reference,
        'policy_kl_logps': policy_kl,
        'reference_kl_logps': reference_kl,
        'label': label,
      }),
      loss_type=loss_type,
      beta=0.3,
      desirable_weight=weights[0],
      undesirable_weight=weights[1],
    )  # fmt: skip
    np.testing.assert_allclose(outputs['loss'], losses.mean(), rtol=1e-5)
    order = np.argsort(1 - label, kind='stable')
    np.testing.assert_allclose(outputs['losses'], losses[order], rtol=1e-5)


# Next-token rules ------------------------------------------------------------


class SamplingTest(parameterized.TestCase):
  @parameterized.product(
    cutoffs=((0.05, None), (None, 0.2), (0.02, 0.3)),
    keep=(1, 3),
    temperature=(None, 2.0),
    top_k=(None, 6),
  )
  def test_epsilon_and_eta(self, cutoffs, keep, temperature, top_k):
    """Below ε, then below min(η, √η exp(−entropy)), all but `keep` are cut."""
    logits = 2.0 * np.random.default_rng(11).normal(size=(4, 16))
    expected = logits / (temperature or 1.0)
    settings = {'min_tokens_to_keep': keep}
    if temperature:
      settings['temperature'] = temperature
    if top_k:
      settings['top_k'] = top_k
      lowest = np.sort(expected)[:, -top_k, None]
      expected = np.where(expected >= lowest, expected, -np.inf)
    for name, cutoff in zip(('epsilon', 'eta'), cutoffs, strict=True):
      if cutoff is None:
        continue
      settings[f'{name}_cutoff'] = cutoff
      p = special.softmax(expected, -1)
      least = cutoff
      if name == 'eta':
        entropy = special.entr(p).sum(-1, keepdims=True)
        least = np.minimum(cutoff, np.sqrt(cutoff) * np.exp(-entropy))
      best = expected >= np.sort(expected)[:, -keep, None]
      expected = np.where((p >= least) | best, expected, -np.inf)
    self.assertTrue(np.isneginf(expected).any())
    outputs = sampling.transform(
      f32({'logits': logits, 'input_ids': np.zeros((4, 5), np.int64)}),
      prompt_len=3,
      **settings,
    )
    np.testing.assert_allclose(outputs['filtered_logits'], expected, rtol=1e-5)


if __name__ == '__main__':
  absltest.main()
