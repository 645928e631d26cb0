"""What the learners from datasets compute, in numpy, by definition.

Everything is a sum over the listed tokens of the toy policy, in float64: no
kernel, loss or mean of the library has a part in it. Each function returns the
terms of a loss as {name: (coefficient, total, weight)} and its metrics as
{name: (total, weight)}.
"""

import numpy as np

from tests import toy


def softmax(row):
  p = np.exp(row - row.max())
  return p / p.sum()


def token_logps(table, head, response):
  """log p of each token of a response, given the token before it."""
  written = [*toy.tokens_of(head), *response]
  first = len(written) - len(response)
  return [
    float(np.log(softmax(table[written[t - 1]])[written[t]]))
    for t in range(first, len(written))
  ]


def logp(table, head, response):
  return float(np.sum(token_logps(table, head, response)))


def scored(table, heads, lists, tail=1.0):
  """[B, K] log-probs; 0 where there is no response.

  Tokens beyond the shortest response of a list count `tail` times.
  """
  found = np.zeros((len(lists), max(map(len, lists))))
  for row, (head, listed) in enumerate(zip(heads, lists, strict=True)):
    shared = min(map(len, listed))
    for k, text in enumerate(listed):
      each = token_logps(table, head, text)
      found[row, k] = sum(each[:shared]) + tail * sum(each[shared:])
  return found


def on_policy(table, heads, lists):
  """[B] WPO's weights: a product over a list's responses.

  Each the geometric mean over tokens of p(token) / Σ p², by the very
  probabilities.
  """
  weights = []
  for head, listed in zip(heads, lists, strict=True):
    weight = 1.0
    for text in listed:
      before, shares = toy.tokens_of(head)[-1], []
      for token in text:
        p = softmax(table[before])
        shares.append(p[token] / np.sum(p**2))
        before = token
      weight *= np.prod(shares) ** (1.0 / len(text))
    weights.append(weight)
  return np.array(weights)


def lengths(lists):
  width = max(map(len, lists))
  return np.array(
    [[len(text) for text in row] + [0] * (width - len(row)) for row in lists],
    float,
  )


def weighed(values, weight):
  """(Σ w x, Σ w), of values of weight 0 nothing."""
  values, weight = np.broadcast_arrays(np.asarray(values, float), weight)
  counted = weight != 0
  return float(np.sum(weight[counted] * values[counted])), float(weight.sum())


def halves(values):
  """1 where above 0, a half where 0."""
  return (values > 0) + 0.5 * (values == 0)


def sigmoid(x):
  return 1.0 / (1.0 + np.exp(-x))


def softplus(x):
  return np.logaddexp(0.0, x)


# Likelihood.


def row_reduced(losses, reduction, length=None):
  """(total, weight) of one row's token losses."""
  if not losses and reduction != 'fixed_length':
    return 0.0, 0.0
  total, count = float(np.sum(losses)), len(losses)
  return {
    'token_mean': (total, count),
    'sequence_mean': (total / max(count, 1), 1.0),
    'sequence_sum': (total, 1.0),
    'fixed_length': (total, length),
  }[reduction]


def likelihood(
  table, heads, texts, *, weight=None, reduction, weighing='', length=None
):
  """−log π of each token, its rows reduced, then weighed."""
  losses = [
    [-x for x in token_logps(table, head, text)]
    for head, text in zip(heads, texts, strict=True)
  ]
  rows = np.array([row_reduced(row, reduction, length) for row in losses])
  w = np.ones(len(rows)) if weight is None else np.asarray(weight, float)
  total, count = w @ rows[:, 0], w @ rows[:, 1]
  if weighing == 'unnormalised':
    count = rows[:, 1].sum()
  counts = np.array([len(row) for row in losses], float)
  metrics = {
    'nll_per_token': (sum(map(sum, losses)), counts.sum()),
    'response_tokens': (counts.sum(), float(np.sum(counts > 0))),
  }
  if weight is not None:
    metrics['effective_share'] = (w.sum() ** 2 / (w**2).sum(), len(w))
  return {'likelihood': (1.0, total, count)}, metrics


# Pairs.


def pairwise(
  table,
  heads,
  lists,
  objective,
  *,
  weight,
  arrays,
  reference=None,
  tail=1.0,
  pair_weights=None,
):
  """`objective` of the named columns of pairs, and what is watched.

  Args:
    table: of the policy.
    heads, lists: prompts, and one or two responses to each.
    objective: (columns by name) -> losses [B].
    weight: [B], of rows; those without a second response count nothing.
    arrays: further columns by name.
    reference: log-probs [B, 2] under the reference, where it is read.
    tail: as of `scored`, of the policy.
    pair_weights: [B] constants that losses are multiplied with.
  """
  policy, counts = scored(table, heads, lists, tail), lengths(lists)
  columns = dict(arrays)
  for place, name in enumerate(('chosen', 'rejected')):
    columns[f'policy_{name}_logps'] = policy[:, place]
    columns[f'{name}_lengths'] = counts[:, place]
    if reference is not None:
      columns[f'reference_{name}_logps'] = reference[:, place]
      columns[f'{name}_log_ratios'] = policy[:, place] - reference[:, place]
  if 'targets' in columns:
    targets = columns.pop('targets')
    columns['target_logps'] = np.array(
      [logp(table, *one) for one in zip(heads, targets, strict=True)]
    )
    columns['target_lengths'] = np.array([len(t) for t in targets], float)
  else:
    columns['target_logps'] = scored(table, heads, lists)[:, 0]
    columns['target_lengths'] = counts[:, 0]
  weight = np.asarray(weight) * np.array([len(row) > 1 for row in lists])
  gap = policy[:, 0] - policy[:, 1]
  if reference is not None:
    gap = gap - (reference[:, 0] - reference[:, 1])

  def pushed(step=1e-6):
    # All that moves with the policy's log-prob of the rejected response.
    of_policy = ('policy_rejected_logps', 'rejected_log_ratios')
    moved = [
      objective(
        columns | {n: columns[n] + d for n in of_policy if n in columns}
      )
      for d in (-step, step)
    ]
    return np.abs(moved[1] - moved[0]) > 1e-3 * step

  losses, told = objective(columns), {}
  if pair_weights is not None:
    losses = losses * pair_weights
    told['pair_weight'] = weighed(pair_weights, weight)
  return (
    {'preference': (1.0, *weighed(losses, weight))},
    told
    | {
      'accuracy': weighed(halves(gap), weight),
      'log_ratio_gap': weighed(gap, weight),
      'chosen_logps': weighed(policy[:, 0], weight),
      'rejected_logps': weighed(policy[:, 1], weight),
      'active': weighed(pushed(), weight),
    },
  )


# Single responses.


def unpaired(
  table,
  heads,
  lists,
  objective,
  *,
  weight,
  reference,
  desirable,
  seen=(0.0, 0.0),
  constants=None,
):
  """`objective` of named arrays [B, K]; the constants, too.

  Args:
    table: of the policy.
    heads, lists: prompts, and their responses.
    objective: (arrays by name) -> losses [B, K].
    weight: [B].
    reference: its table.
    desirable: [B, K] bool.
    seen: sum and number of the log-ratios of earlier steps.
    constants: (kl, mean_log_ratio) where they are held, as a gradient does.
  """
  policy, before = scored(table, heads, lists), scored(reference, heads, lists)
  there = lengths(lists) > 0
  w = np.asarray(weight, float)[:, None] * there
  ratios = policy - before
  total, count = weighed(ratios, w)
  estimates, used = [], []
  rows = len(heads)
  for row, head in enumerate(heads):
    following = (row + 1) % rows
    for k in range(there.shape[1]):
      if w[row, k] and w[following, k]:
        text = lists[following][k]
        gap = logp(table, head, text) - logp(reference, head, text)
        estimates.append(gap)
        used.append(w[row, k])
  kl = max(0.0, float(np.average(estimates, weights=used)))
  mean = (total + seen[0]) / (count + seen[1])
  if constants is not None:
    kl, mean = constants
  arrays = {
    'policy_logps': policy,
    'reference_logps': before,
    'lengths': lengths(lists),
    'desirable': desirable,
    'kl': kl,
    'mean_log_ratio': mean,
  }
  return (
    {'preference': (1.0, *weighed(objective(arrays), w))},
    {
      'log_ratio': (total, count),
      'desirable_log_ratio': weighed(ratios, w * desirable),
      'undesirable_log_ratio': weighed(ratios, w * ~desirable),
      'kl_estimate': (kl, 1.0),
    },
    (kl, mean),
  )


# Lists.


def listwise(table, heads, lists, objective, *, weight, arrays, scores=None):
  """`objective` of named arrays [B, K], and what is watched."""
  policy, counts = scored(table, heads, lists), lengths(lists)
  there = counts > 0
  order = np.broadcast_to(-np.arange(there.shape[1], dtype=float), there.shape)
  if scores is not None:
    order = np.asarray(scores, float)
  columns = {
    'policy_logps': policy,
    'lengths': counts,
    'candidate_mask': there,
    'order': order,
  } | arrays
  if scores is not None:
    columns['scores'] = order
  means = policy / np.maximum(counts, 1.0)
  right, ranked = np.zeros(len(heads)), np.zeros(len(heads), bool)
  for row in range(len(heads)):
    gaps = [
      means[row, i] - means[row, j]
      for i in range(len(lists[row]))
      for j in range(len(lists[row]))
      if order[row, i] > order[row, j]
    ]
    if gaps and weight[row] > 0:
      right[row], ranked[row] = np.mean(halves(np.array(gaps))), True
  return (
    {'ranking': (1.0, *weighed(objective(columns), weight))},
    {
      'accuracy': weighed(right, ranked),
      'best_logps': weighed(policy[:, 0], weight),
    },
  )


# Scalar models.


def counted(heads, lists):
  """[B, K, V] how often each token stands in a prompt and its response."""
  width = max(map(len, lists))
  found = np.zeros((len(heads), width, toy.VOCABULARY))
  for row, (head, listed) in enumerate(zip(heads, lists, strict=True)):
    for k, text in enumerate(listed):
      for token in (*toy.tokens_of(head), *text):
        found[row, k, token] += 1.0
  return found


def compared(kernel, heads, lists, objective, *, weight, margins, centering):
  """A reward model's loss; `objective` of what it names, each [B]."""
  scores = counted(heads, lists) @ kernel
  weight = np.asarray(weight) * np.array([len(row) > 1 for row in lists])
  chosen, rejected = scores[:, 0], scores[:, 1]
  return (
    {
      'preference': (
        1.0,
        *weighed(
          objective(
            chosen_scores=chosen, rejected_scores=rejected, margins=margins
          ),
          weight,
        ),
      ),
      'centering': (centering, *weighed((chosen + rejected) ** 2, weight)),
    },
    {
      'accuracy': weighed(halves(chosen - rejected), weight),
      'margin': weighed(chosen - rejected, weight),
      'score': weighed(0.5 * (chosen + rejected), weight),
    },
  )


def rated(kernel, heads, texts, ratings, *, names, levels):
  """Squared errors of the ratings that there are; None is none."""
  scores = counted(heads, [[text] for text in texts])[:, 0] @ kernel
  there = np.array([[x is not None for x in row] for row in ratings])
  given = np.array([[x or 0.0 for x in row] for row in ratings])
  nearest = np.rint(np.clip(scores, 0, levels - 1))
  right = nearest == np.rint(given)
  metrics = {
    f'accuracy_{name}': weighed(right[:, m], there[:, m])
    for m, name in enumerate(names)
  }
  return (
    {'squared_error': (1.0, *weighed((scores - given) ** 2, there))},
    metrics | {'accuracy': weighed(right, there)},
  )


def ranked_by_reader(answer, heads, lists, *, weight):
  """A ranker that answers (prompt, first, second) with log-odds."""
  weight = np.asarray(weight) * np.array([len(row) > 1 for row in lists])
  orders = np.zeros((len(heads), 2))
  for row, (head, listed) in enumerate(zip(heads, lists, strict=True)):
    if len(listed) > 1:
      a, b = listed
      orders[row] = answer(head, a, b), -answer(head, b, a)
  odds = orders.mean(axis=1)
  return (
    {'preference': (1.0, *weighed(softplus(-orders).mean(axis=1), weight))},
    {
      'accuracy': weighed(halves(odds), weight),
      'log_odds': weighed(odds, weight),
    },
  )


def objective_of(terms):
  """What is minimised: Σ coefficient · mean."""
  return sum(c * total / weight for c, total, weight in terms.values())


def slope(function, point, where, step=1e-5):
  """∂function/∂point at the entries `where`, by central differences."""
  found = np.zeros_like(point)
  for place in zip(*np.nonzero(where), strict=True):
    for sign in (1.0, -1.0):
      moved = point.copy()
      moved[place] += sign * step
      found[place] += sign * function(moved) / (2.0 * step)
  return found
