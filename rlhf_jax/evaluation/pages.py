"""The report as a person reads it: sentences, tables, plots, responses."""

from collections.abc import Mapping, Sequence

from rlhf_jax.evaluation import length_control, reward_curve, tables
from rlhf_jax.evaluation.preference_accuracy import PairMetrics
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups
from rlhf_jax.evaluation.summary import Summary

LONGEST_SHOWN = 1_500  # Characters of a response.
FEWEST_ROWS = 40  # Of a curve that a turn-over is looked for in.


def page(
  title: str,
  *,
  policies: Mapping[str, Summary],
  samples: Mapping[str, PolicySamples],
  reward_curves: Mapping[str, RewardCurve],
  reward_models: Mapping[str, PairMetrics],
  drawn: Mapping[str, Sequence[str]] | None,
  notes: Sequence[str],
  shown: int,
) -> str:
  """report.md; its arguments are those of `report.write`.

  Args:
    title: first line.
    policies: numbers by policy.
    samples: responses by policy.
    reward_curves: checkpoints by policy.
    reward_models: metrics by the pairs they were measured on.
    drawn: {section: its plots' files}, None where plots could not be drawn.
    notes: further sentences.
    shown: how many prompts to show.
  """
  plots = drawn or {}
  parts = [
    f'# {title}',
    headline(policies),
    tables.markdown(tables.policy_rows(policies)),
    legend(policies),
    *notes,
  ]
  if drawn is None:
    parts.append(
      'Plots are left out, since matplotlib is not installed: '
      '`pip install matplotlib`.'
    )
  kinds = tables.kind_rows(policies)
  if len(kinds) > 2 or plots.get('win_rates'):
    parts.append('## Win rates')
    parts += _images(plots, 'win_rates', 'Win rates with their intervals')
    parts += [tables.markdown(kinds)] if len(kinds) > 2 else []
  parts += ['## Length', tables.markdown(tables.length_rows(policies))]
  if reward_curves:
    parts.append('## Reward against KL')
    parts += _images(plots, 'reward_curves', 'Reward against KL')
    parts += turn_overs(reward_curves)
  if reward_models:
    rows = tables.reward_model_rows(reward_models)
    parts += ['## Reward model', tables.markdown(rows)]
  if plots.get('learning_curves'):
    parts.append('## Training')
    parts += _images(plots, 'learning_curves', 'Learning curves')
  parts.append(responses(samples, shown))
  return '\n\n'.join(part for part in parts if part) + '\n'


def headline(policies: Mapping[str, Summary]) -> str:
  """A sentence for every policy compared, saying what its interval allows."""
  sentences = []
  for name, summary in policies.items():
    rate = summary.win_rate
    if rate is None:
      continue
    verdict = 'cannot be told from'
    if rate.low > 0.5:
      verdict = 'beats'
    elif rate.high < 0.5:
      verdict = 'loses to'
    sentences.append(
      f'**{name}** {verdict} {summary.against}: it wins '
      f'{rate.value:.0%} of the time, 95 % interval {rate.low:.0%} to '
      f'{rate.high:.0%}.'
    )
  return ' '.join(sentences)


def legend(policies: Mapping[str, Summary]) -> str:
  """What the table's numbers are, and what to beware of in them."""
  first = next(iter(policies.values()))
  judged = (
    f'judged by {first.judge}. Win rates are fractions with 95 % intervals, '
    'a tie counting half;'
  )
  if first.judge is None:
    judged = (
      'judged by nobody, since no gold reward, reward model or judge scored '
      'all policies;'
    )
  lines = [
    f'{first.prompts} prompts, {judged} ± is a standard error. KL is per '
    'response.'
  ]
  for name, summary in policies.items():
    lines += _missing(name, summary)
    rate, controlled = summary.win_rate, summary.length_controlled
    if rate is None:
      continue
    if rate.missing:
      lines.append(
        f'{name}: {rate.missing} of {rate.missing + rate.count} pairs had '
        'no verdict and are left out.'
      )
    if length_control.far_apart(rate.value, controlled.value):
      lines.append(
        f'{name}: length matters, at equal length it would win '
        f'{controlled.value:.0%} instead of {rate.value:.0%}.'
      )
  return '\n'.join(lines)


def _missing(name, summary):
  """What a policy's means leave out, and why it may have no win rate."""
  words = {'gold': 'gold reward', 'proxy': 'learnt reward', 'kl': 'KL'}
  for field, count in summary.missing.items():
    if field == 'verdict':
      yield f'{name}: {count} pairs had no verdict, too many for a win rate.'
    else:
      yield (
        f'{name}: {count} responses had no {words[field]} and are left out of '
        'its mean.'
      )


def turn_overs(curves: Mapping[str, RewardCurve]) -> list[str]:
  """A sentence for each policy whose gold reward can be followed closely."""
  sentences = []
  for name, curve in curves.items():
    if curve.gold is None:
      continue
    curve = curve.where_finite('kl', 'proxy', 'gold')
    if len(curve.steps) < FEWEST_ROWS:
      continue
    measured = reward_curve.turn_over(curve)
    verdict = 'no over-optimisation beyond chance'
    if measured.found:
      verdict = 'over-optimised'
    course = 'Its gold reward was highest at the end.'
    if measured.gold_lost.standard_error > 0:
      course = (
        f'From its best, around step {measured.step:.0f} at '
        f'{measured.kl:.1f} nats, to the end its gold reward fell by '
        f'{tables.interval(measured.gold_lost)} and the learnt reward rose by '
        f'{tables.interval(measured.proxy_gained)}.'
      )
    sentences.append(f'{name}: {verdict}. {course}')
  return sentences


def responses(samples: Mapping[str, PolicySamples], shown: int) -> str:
  """Prompts with what each policy answered, taken in order from each kind."""
  first = next(iter(samples.values()))
  parts = [
    '## Responses',
    'The first prompts of each kind, in the order of the data; the first '
    'sample of each.',
  ]
  for row in rows_shown(first, shown):
    prompt = first.prompts[row]
    quoted = '\n'.join(
      f'> {tables.cell(line)}' for line in prompt.text.splitlines()
    )
    parts.append(f'**{prompt.kind}**\n\n{quoted}' if prompt.kind else quoted)
    parts.append(tables.markdown(_answers(samples, row), left=2))
  return '\n\n'.join(parts)


def rows_shown(samples: PolicySamples, shown: int) -> list[int]:
  """Up to `shown` rows of distinct prompts, the kinds taking turns."""
  seen, by_kind = set(), {}
  for row, group in enumerate(prompt_groups(samples.prompts).tolist()):
    if group not in seen:
      seen.add(group)
      by_kind.setdefault(samples.prompts[row].kind, []).append(row)
  depth = max(map(len, by_kind.values()))
  turns = [
    rows[turn]
    for turn in range(depth)
    for rows in by_kind.values()
    if turn < len(rows)
  ]
  return turns[:shown]


def _answers(samples, row):
  """The table of one prompt: a row a policy, a column a score there is."""
  scores = [
    (label, field)
    for label, field in (('gold', 'gold'), ('learnt reward', 'proxy'))
    if any(getattr(s, field) is not None for s in samples.values())
  ]
  rows = [['policy', 'response', *(label for label, _ in scores), 'tokens']]
  for name, policy in samples.items():
    text = policy.responses[row]
    if len(text) > LONGEST_SHOWN:
      text = text[:LONGEST_SHOWN] + ' […]'
    values = [getattr(policy, field) for _, field in scores]
    rows.append(
      [
        name,
        text,
        *(tables.number(None if v is None else v[row]) for v in values),
        str(int(policy.lengths[row])),
      ]
    )
  return rows


def _images(plots, section, description):
  return [f'![{description}]({name})' for name in plots.get(section, ())]
