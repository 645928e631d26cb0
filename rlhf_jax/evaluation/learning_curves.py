"""Which of a stage's numbers are drawn along its steps, and in which units."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Of the metrics that the library logs.
UNITS = {
  'accuracy': 'share of pairs',
  'active': 'share of pairs',
  'active_latents': 'latents',
  'best_above_median': 'reward units',
  'best_logps': 'nats per response',
  'best_score': 'reward units',
  'chosen_logps': 'nats per response',
  'clip_fraction': 'share of tokens',
  'comparisons_gradient': 'norm',
  'critic_accuracy': 'share of pairs',
  'desirable_log_ratio': 'nats per response',
  'effective_share': 'share of responses',
  'ended': 'share of responses',
  'entropy': 'nats per token',
  'explained_variance': 'share of variance',
  'gap': 'reward units',
  'gold': 'reward units',
  'gradient_norm': 'norm',
  'greedy_score': 'reward units',
  'information': 'nats',
  'informative': 'share of prompts',
  'jensen_shannon': 'nats',
  'kept': 'share of responses',
  'kept_score': 'reward units',
  'kl': 'nats per response',
  'kl_coef': 'reward units per nat',
  'kl_estimate': 'nats per response',
  'kl_per_token': 'nats per token',
  'log_odds': 'nats',
  'log_ratio': 'nats per response',
  'log_ratio_gap': 'nats',
  'margin': 'reward units',
  'nll_per_token': 'nats per token',
  'padding': 'share of the batch',
  'pair_weight': 'weight',
  'prompts_asked': 'prompts',
  'prompts_used': 'share of prompts',
  'ratio': 'new / old probability',
  'rejected_logps': 'nats per response',
  'representation_gradient': 'norm',
  'response_length': 'tokens',
  'response_tokens': 'tokens',
  'reward': 'reward units',
  'sampler_gap': 'nats per token',
  'scale': 'standard deviations',
  'score': 'reward units',
  'shift': 'reward units',
  'sigma': 'latent units',
  'skl': 'nats',
  'skl_coef': 'weight',
  'undesirable_log_ratio': 'nats per response',
  'unscored': 'share of responses',
  'update_kl': 'nats per token',
  'loss/centering': 'reward units squared',
  'loss/entropy': 'nats per token',
  'loss/likelihood': 'nats per token',
  'loss/squared_error': 'levels squared',
  'loss/value': 'reward units squared',
}
# Of those whose name does not say what they are.
MEANINGS = {
  'active': 'whose rejected response is still pushed',
  'active_latents': 'latents whose mean varies over prompts',
  'best_above_median': "the best sample's score less the median one's",
  'clip_fraction': 'tokens whose ratio is clipped',
  'comparisons_gradient': 'what the comparisons send into the features',
  'critic_accuracy': 'pairs of views, of one prompt or of two, told apart',
  'effective_share': 'that their weights amount to',
  'entropy': 'of the next token',
  'explained_variance': 'how much of the returns the critic foresees, 1 all',
  'gap': 'the score of a sample less that of the likeliest response',
  'information': 'what a view tells of the other, at least',
  'informative': 'prompts whose responses have different scores',
  'jensen_shannon': 'an objective: higher, the more a view tells of the other',
  'kept_score': 'of the responses that are imitated',
  'kl': 'from the reference',
  'kl_estimate': 'from the reference, of responses to other prompts',
  'log_odds': 'of the preferred response, by the ranker',
  'log_ratio_gap': "the chosen response's log-ratio less the rejected one's",
  'margin': "the chosen response's score less the rejected one's",
  'nll_per_token': '−log of the probability of a token that is imitated',
  'padding': 'tokens of a batch that stand for nothing',
  'pair_weight': 'how much a pair counts beside others',
  'ratio': 'of a sampled token',
  'representation_gradient': 'what the bottleneck sends into the features',
  'response_tokens': 'of a response that is imitated, its end included',
  'sampler_gap': 'between log-probs when sampled and when scored, the largest',
  'sigma': 'standard deviation of a latent, given the responses',
  'skl': "symmetrised KL of the two views' latents",
  'update_kl': 'from the policy that sampled',
}
# What a reader looks at first, in this order; the rest is a picture of its own.
FIRST = (
  'gold',
  'score',
  'kl',
  'accuracy',
  'nll_per_token',
  'margin',
  'log_ratio_gap',
  'log_odds',
  'response_length',
  'jensen_shannon',
  'entropy',
)
MOST_FIRST = 6


class Chosen(NamedTuple):
  """What is drawn of a stage's numbers.

  Attributes:
    first: names of those that are looked at first, six at most.
    rest: the others that vary and say something of their own.
    constant: {name: its one value} of those that never changed.
  """

  first: list[str]
  rest: list[str]
  constant: dict[str, float]


def chosen(curves: Mapping[str, Sequence[float]]) -> Chosen:
  """Chooses what to draw: no constants, and nothing that stands there already.

  Args:
    curves: {metric: one number a row, NaN where it has none}.
  """
  names = [n for n in curves if n != 'step' and not n.startswith('seconds/')]
  known = [n for n in FIRST if n in names]
  terms = [n for n in names if n.startswith('loss/')]
  order = dict.fromkeys([*known, *terms, *names])
  varying, constant = [], {}
  for name in order:
    values = np.asarray(curves[name], float)
    found = values[np.isfinite(values)]
    if not found.size:
      continue
    if np.ptp(found) == 0.0:
      constant[name] = float(found[0])
    elif not any(_same(values, curves[other]) for other in varying):
      varying.append(name)
  shown = [n for n in varying if n in known or n.startswith('loss/')]
  shown = shown[:MOST_FIRST] or varying[:MOST_FIRST]
  rest = [n for n in varying if n not in shown]
  return Chosen(shown, rest, constant)


def unit(name: str) -> str:
  """In what a metric is measured; '' of one that the library does not log."""
  if name.startswith('accuracy_'):
    return 'share of ratings'
  return UNITS.get(name, 'loss' if name.startswith('loss/') else '')


def explained(curves: Mapping[str, Sequence[float]]) -> str:
  """What the numbers are whose name does not say it: '`sigma`: …; …'."""
  known = [f'`{name}`: {MEANINGS[name]}' for name in MEANINGS if name in curves]
  return f'{"; ".join(known)}.' if known else ''


def _same(first, second):
  return np.allclose(first, np.asarray(second, float), 1e-5, equal_nan=True)
