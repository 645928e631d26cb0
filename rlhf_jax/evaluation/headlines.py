"""What a page says first: a sentence for each thing that was found."""

from collections.abc import Mapping

from rlhf_jax.evaluation import claims, reward_curve, tables
from rlhf_jax.evaluation.findings import Findings
from rlhf_jax.evaluation.preference_accuracy import PairMetrics
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.evaluation.statistics import Estimate
from rlhf_jax.evaluation.summary import Summary

FEWEST_ROWS = 40  # Of a curve that a turn-over is looked for in.


def of(found: Findings) -> list[str]:
  """Which policies are better; where nobody judged, what else was learnt.

  That is how often held-out pairs are told apart, by reward models and by
  policies that learnt from pairs, and how likely demonstrations have become.
  """
  if compared(found.policies):
    return _beats(found.policies)
  pairs = {
    model: metrics
    for (model, pairs), metrics in found.reward_models.items()
    if pairs not in found.policies
  }
  pairs |= {name: held.pairs for name, held in found.held_out.items()}
  said = [_right(name, metrics) for name, metrics in pairs.items()]
  losses = {n: m.loss for n, m in found.likelihoods.items()}
  return said + [
    f'**{name}** has a loss of {tables.interval(loss)} nats a token on '
    f'held-out demonstrations, {found.against} of '
    f'{tables.interval(losses[found.against])}.'
    for name, loss in losses.items()
    if name != found.against
  ]


def compared(policies: Mapping[str, Summary]) -> dict[str, Estimate]:
  """{policy: its win rate}, of those that have one."""
  return {
    name: summary.win_rate
    for name, summary in policies.items()
    if summary.win_rate is not None
  }


def _beats(policies: Mapping[str, Summary]) -> list[str]:
  """A sentence for every policy compared, saying what its interval allows."""
  sentences = []
  for name, rate in compared(policies).items():
    against = policies[name].against
    verdict = f'cannot be told from {against}: it wins'
    if rate.low > 0.5:
      verdict = f'beats {against} and wins'
    elif rate.high < 0.5:
      verdict = f'loses to {against} and wins'
    sentences.append(f'**{name}** {verdict} {claims.percent(rate)}.')
  return sentences


def _right(name, metrics: PairMetrics):
  """How often a model is right on held-out pairs, beside the longer one."""
  said = f'**{name}** is right on {claims.percent(metrics.accuracy)} of'
  if metrics.lengths is None:
    return f'{said} held-out pairs.'
  longer = claims.percent(metrics.lengths.always_longer)
  return f'{said} held-out pairs; always taking the longer one is on {longer}.'


def turn_overs(
  curves: Mapping[str, RewardCurve],
) -> tuple[list[str], str]:
  """What became of the policies whose gold reward can be followed closely.

  A sentence for each that was over-optimised, and one of the others together.
  """
  sentences, others = [], []
  for name, curve in curves.items():
    if curve.gold is None:
      continue
    curve = curve.where_finite('kl', 'score', 'gold')
    if len(curve.steps) < FEWEST_ROWS:
      continue
    measured = reward_curve.turn_over(curve)
    if not measured.found:
      others.append(name)
      continue
    score = measured.score_gained
    meanwhile = 'did not change beyond chance'
    if score.low > 0:
      meanwhile = f'rose by {tables.interval(score)}'
    sentences.append(
      f'{name}: over-optimised. From its best, around step '
      f'{measured.step:.0f} at {measured.kl:.1f} nats, to the end its gold '
      f'reward fell by {tables.interval(measured.gold_lost)}, and its score '
      f'{meanwhile}.'
    )
  if not others:
    return sentences, ''
  return sentences, f'No over-optimisation beyond chance: {", ".join(others)}.'
