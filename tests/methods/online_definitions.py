"""What online methods compute, by definition: numpy, float64, no kernels.

Four prompts of one to three tokens, three responses to each, some cut off, two
without a score. `Settings` hold a Config's fields in words of numpy: numbers as
they are, functions as their own definitions below. `terms` is the learner's
loss, `advantages` what each method credits a token with.
"""

import types

import numpy as np

from rlhf_jax.types import Rollouts
from tests import toy

PROMPTS = ((0,), (0, 1), (0, 1, 0), (1,))  # Of toy.prompts(4).
RESPONSES = (
  ((2,), (0, 2), (1, 0, 1)),
  ((0, 1, 2), (1, 1, 2), (0, 0, 0)),
  ((1, 2), (0, 1, 0), (2,)),
  ((0, 2), (1, 0, 2), (0, 0, 1)),
)
UNSCORED = ((1, 2), (2, 0))
SCORES = np.array(
  [[1.0, -6.0, 2.5], [4.0, 0.5, 0.0], [0.0, -0.3, 7.0], [-5.0, 3.0, 0.2]]
)
GREEDY = np.array([0.7, -0.4, 1.1, 0.3])  # Scores of greedy responses.
ROWS, WIDTH = 12, toy.LONGEST


def arrays():
  """(tokens before, tokens, mask) [N, R]; of what is written, and counts."""
  tokens = np.full((ROWS, WIDTH), toy.PAD)
  before, mask = tokens.copy(), np.zeros((ROWS, WIDTH), bool)
  for b, group in enumerate(RESPONSES):
    for k, response in enumerate(group):
      row, length = 3 * b + k, len(response)
      tokens[row, :length] = response
      before[row, :length] = (PROMPTS[b][-1], *response)[:length]
      mask[row, :length] = (b, k) not in UNSCORED
  return before, tokens, mask


BEFORE, TOKENS, MASK = arrays()
SCORED = MASK.any(axis=1)
ENDED = np.array([r[-1] == toy.EOS for group in RESPONSES for r in group])
_RANDOM = np.random.default_rng(0)
# Of another program than the trainer's, over all tokens and after cuts.
SAMPLER = np.where(MASK, -_RANDOM.uniform(0.1, 3.0, MASK.shape), 0.0)
TRUNCATED = np.where(MASK, -_RANDOM.uniform(0.1, 2.0, MASK.shape), 0.0)


def rollouts() -> Rollouts:
  """The responses as they are sampled, [4, 3, T]; the unscored are masked."""
  prompts = toy.prompts(len(PROMPTS))

  def wide(x):
    return np.repeat(x[:, None], 3, axis=1)

  def group(x):
    return x.reshape(len(PROMPTS), 3, *x.shape[1:])

  def join(*x):
    return np.concatenate(x, axis=-1)

  real = wide(prompts.attention_mask)
  return Rollouts(
    tokens=join(wide(prompts.tokens), group(TOKENS)).astype(np.int32),
    attention_mask=join(real, group(TOKENS != toy.PAD)),
    response_mask=join(np.zeros_like(real), group(MASK)),
    logps=group(SAMPLER).astype(np.float32),
    truncated_logps=group(TRUNCATED).astype(np.float32),
    ended=group(ENDED),
    index=prompts.index,
  )


# Masked statistics, and how losses are averaged.


def per_row(x, mask, how):
  """`how` of what counts in each row that has any."""
  return np.array([how(r[m]) for r, m in zip(x, mask, strict=True) if m.any()])


def token_mean(x, mask):
  return x[mask].mean()


def sequence_mean(x, mask):
  return per_row(x, mask, np.mean).mean()


def sequence_sum(x, mask):
  return per_row(x, mask, np.sum).mean()


def fixed_length(x, mask):
  return x[mask].sum() / mask.size


def whiten(x, mask, keep_mean=False):
  counted = x[mask]
  mean = counted.mean()
  white = (x - mean) / np.sqrt(counted.var() + 1e-8) + keep_mean * mean
  return np.where(mask, white, 0.0)


# Objectives, of a namespace of [N, R] arrays `a`.


def policy_gradient(a):
  return -a.advantages * a.logps


def clipped(low, high):
  def objective(a):
    ratios = np.exp(a.logps - a.old_logps)
    held = np.clip(ratios, 1 - low, 1 + high)
    return -np.minimum(ratios * a.advantages, held * a.advantages)

  return objective


def clipped_sequence(low, high):
  def objective(a):
    moved = (a.logps - a.old_logps) * a.mask
    mean = moved.sum(axis=1) / np.maximum(a.mask.sum(axis=1), 1)
    whole = types.SimpleNamespace(
      logps=np.broadcast_to(mean[:, None], MASK.shape),
      old_logps=0.0,
      advantages=a.advantages,
    )
    return clipped(low, high)(whole)

  return objective


def k1(logps, reference_logps):
  return logps - reference_logps


def k2(logps, reference_logps):
  return (logps - reference_logps) ** 2 / 2


def k3(logps, reference_logps):
  d = logps - reference_logps
  return np.exp(-d) - 1 + d


def truncated_weights(high):
  """Of the policy before the update to the law that was drawn from."""
  return lambda a: np.minimum(np.exp(a.old_logps - a.sampler_logps), high)


def squared_error(values, old_values, returns):
  del old_values
  return (values - returns) ** 2 / 2


def clipped_squared_error(epsilon):
  def objective(values, old_values, returns):
    held = old_values + np.clip(values - old_values, -epsilon, epsilon)
    errors = (values - returns) ** 2, (held - returns) ** 2
    return np.maximum(*errors) / 2

  return objective


# Models.


def log_softmax(table, temperature):
  x = table / temperature
  x = x - x.max(axis=1, keepdims=True)
  return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def logps_of(table, temperature):
  """[N, R] of the responses' tokens, 0 where nothing counts."""
  return np.where(MASK, log_softmax(table, temperature)[BEFORE, TOKENS], 0.0)


def entropies_of(table, temperature):
  """[N, R] of the policy before each token, 0 where nothing counts."""
  rows = log_softmax(table, temperature)
  surprise = np.where(np.exp(rows) > 0.0, np.exp(rows) * -rows, 0.0)
  return np.where(MASK, surprise.sum(axis=1)[BEFORE], 0.0)


def separate(table, critic):
  del table
  return np.where(MASK, critic[BEFORE], 0.0)


def shared(table, critic):
  return np.where(MASK, (table @ critic)[BEFORE], 0.0)


def no_critic(table, critic):
  del table, critic
  return np.zeros(MASK.shape)


# The learner.


def terms(table, critic, batch, s):
  """{name: coefficient × mean} of the loss, of all that a config may name.

  Args:
    table: [V, V] the policy's, that is trained.
    critic: [V] the critic's.
    batch: old_logps, reference_logps, old_values, advantages, returns [N, R].
    s: settings, all fields of policy_gradient.Config in words of numpy.
  """
  a = types.SimpleNamespace(
    **vars(batch),
    logps=logps_of(table, s.temperature),
    entropies=entropies_of(table, s.temperature),
    sampler_logps=TRUNCATED,
    mask=MASK,
  )
  losses = s.objective(a)
  if s.correction is not None:
    losses = losses * s.correction(a)
  if s.token_mask is not None:
    losses = np.where(s.token_mask(a), losses, 0.0)
  found = {
    'policy': s.reduction(losses, MASK),
    'entropy': -s.entropy_coef * s.reduction(a.entropies, MASK),
  }
  if s.reference_objective is not None:
    kl = s.reference_objective(a.logps, a.reference_logps)
    found['reference'] = s.reference_coef * s.reduction(kl, MASK)
  if s.critic is not no_critic:
    values = s.critic(table, critic)
    errors = s.value_objective(values, a.old_values, a.returns)
    found['value'] = s.value_coef * s.reduction(errors, MASK)
  return found


def slope(function, x, step=1e-5):
  """The gradient of a number, entry by entry, by central differences."""
  found = np.zeros_like(x)
  for place in np.ndindex(x.shape):
    ends = []
    for sign in (1.0, -1.0):
      moved = x.copy()
      moved[place] += sign * step
      ends.append(function(moved))
    found[place] = (ends[0] - ends[1]) / (2 * step)
  return found


def gradient(table, critic, batch, s):
  """(d loss / d table, d loss / d critic)."""

  def total(table, critic):
    return sum(terms(table, critic, batch, s).values())

  return (
    slope(lambda x: total(x, critic), table),
    slope(lambda x: total(table, x), critic),
  )


# The methods.


def penalised(scores, ended, lengths, s):
  """Scores clipped, and less what is taken off them."""
  if s.score_clip is not None:
    scores = np.clip(scores, -s.score_clip, s.score_clip)
  scores = scores - s.unended_penalty * ~ended
  if s.length_penalty is not None:
    scores = scores - s.length_penalty(lengths)
  return scores


def discounted(rewards, discount):
  """Σₖ γᵏ rₜ₊ₖ within each response, by its double sum."""
  found = np.zeros(MASK.shape)
  for n, t in np.ndindex(MASK.shape):
    later = rewards[n, t:]
    found[n, t] = (discount ** np.arange(len(later))) @ later
  return np.where(MASK, found, 0.0)


def gae(rewards, values, discount, gae_lambda):
  """Σₖ (γλ)ᵏ δₜ₊ₖ, and the same with the values added: the critic's targets."""
  after = np.concatenate([values[:, 1:], np.zeros((ROWS, 1))], axis=1)
  errors = np.where(MASK, rewards + discount * after - values, 0.0)
  found = discounted(errors, discount * gae_lambda)
  return found, found + values


def in_groups(baseline, scores):
  """[N] of a baseline that is told the scores that count of each prompt."""
  found = np.zeros(ROWS)
  for b in range(len(PROMPTS)):
    rows = np.arange(3 * b, 3 * b + 3)
    rows = rows[SCORED[rows]]
    found[rows] = baseline(scores[rows])
  return found


def as_scored(scores):
  return scores


def group_mean(scores):
  return scores - scores.mean()


def leave_one_out(scores):
  others = max(len(scores) - 1, 1)
  return scores - (scores.sum() - scores) / others


def group_standardised(scores):
  spread = scores.std(ddof=1) if len(scores) > 1 else 0.0
  return group_mean(scores) / (spread + 1e-4)


def experience(method, tables, s):
  """What `shape` returns of a method, and the metrics that are a method's own.

  Args:
    method: its module's name.
    tables: policy, reference [V, V] and critic [V].
    s: settings, of the method's Config.

  Returns:
    Namespaces of [N, R] and {name: mean}.
  """
  logps = logps_of(tables.policy, s.temperature)
  reference_logps = logps_of(tables.reference, s.temperature)
  values = s.critic(tables.policy, tables.critic)
  given = np.where(SCORED, SCORES.reshape(-1), 0.0)
  scores = penalised(given, ENDED, MASK.sum(axis=1), s)
  penalties = np.where(
    MASK, s.kl_coef * s.kl_estimator(logps, reference_logps), 0.0
  )
  last = MASK & (np.cumsum(MASK, axis=1) == MASK.sum(axis=1, keepdims=True))

  def at_last(x):
    return np.where(last, x[:, None], 0.0)

  def at_all(x):
    return np.where(MASK, x[:, None], 0.0)

  rewards = at_last(scores) - penalties
  own, returns = {}, None
  if method == 'ppo':
    if s.whiten_rewards:
      rewards = whiten(rewards, MASK, keep_mean=True)
    gains, returns = gae(rewards, values, s.discount, s.gae_lambda)
    if s.whiten_advantages:
      gains = whiten(gains, MASK)
  elif method in ('grpo', 'rloo'):
    gains = at_all(in_groups(s.baseline, rewards.sum(axis=1)))
  elif method == 'dapo':
    rewards = at_last(scores)
    gains = at_all(in_groups(group_standardised, scores))
  elif method == 'reinforce':
    centred = in_groups(s.baseline, scores)
    gains = discounted(at_last(centred) - penalties, s.discount)
    gains = s.normalise(gains, MASK)
  elif method == 'remax':
    gaps = scores - np.repeat(GREEDY, 3)
    if s.gap_clip is not None:
      gaps = np.clip(gaps, -s.gap_clip, s.gap_clip)
    left = np.cumsum(MASK[:, ::-1], axis=1)[:, ::-1]
    seen = np.where(MASK, s.discount**left * gaps[:, None], 0.0)
    gains = seen - s.returns(penalties, s.discount)
    own = {'gap': gaps[SCORED].mean(), 'greedy_score': GREEDY.mean()}
  returns = gains if returns is None else returns
  kl = (logps - reference_logps).sum(axis=1)
  metrics = own | {
    'score': given[SCORED].mean(),
    'kl': kl[SCORED].mean(),
    'kl_per_token': kl.sum() / MASK.sum(),
    'response_length': MASK.sum(axis=1)[SCORED].mean(),
    'ended': ENDED[SCORED].mean(),
    'sampler_gap': np.abs(SAMPLER - logps)[MASK].max(),
    'unscored': np.mean(~SCORED),
    'reward': rewards.sum(axis=1)[SCORED].mean(),
    'kl_coef': s.kl_coef,
  }
  if s.critic is not no_critic:
    left = (returns - values)[MASK].var()
    metrics['explained_variance'] = 1 - left / returns[MASK].var()
  batch = types.SimpleNamespace(
    old_logps=logps,
    reference_logps=reference_logps,
    old_values=values,
    advantages=gains,
    returns=returns,
  )
  return batch, metrics
