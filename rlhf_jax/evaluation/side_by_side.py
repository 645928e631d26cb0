"""Responses of several policies to the same prompts, as a page shows them."""

from collections.abc import Mapping, Sequence

from rlhf_jax.evaluation import tables
from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups

LONGEST_SHOWN = 600  # Characters of a prompt's end, or of a response.


def markdown(
  samples: Mapping[str, PolicySamples],
  rows: Sequence[int],
  scores: Sequence[str],
) -> str:
  """Prompts with what each policy answered, its first sample of each.

  Args:
    samples: {policy: what it answered}.
    rows: which of the prompts.
    scores: what is said of a response, 'gold' or 'score'. A telephone has room
      for one beside the response.
  """
  first, parts = next(iter(samples.values())), []
  for row in rows:
    prompt = first.prompts[row]
    asked = prompt.text
    if len(asked) > LONGEST_SHOWN:
      asked = f'[…] {asked[-LONGEST_SHOWN:]}'
    # Two spaces at its end keep a line apart from the next one.
    lines = (f'> {tables.cell(line)}' for line in asked.splitlines())
    quoted = '  \n'.join(lines)
    parts.append(f'**{prompt.kind}**\n\n{quoted}' if prompt.kind else quoted)
    parts.append(tables.markdown(_answers(samples, row, scores), left=2))
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


def scores_of(samples: Mapping[str, PolicySamples]) -> list[str]:
  """The scores that there are, what was meant before what was learnt from."""
  return [
    field
    for field in ('gold', 'score')
    if any(getattr(s, field) is not None for s in samples.values())
  ]


def _answers(samples, row, scores):
  """The table of one prompt: a row a policy, a column a score."""
  rows = [['policy', 'response', *scores]]
  for name, policy in samples.items():
    text = policy.responses[row]
    if len(text) > LONGEST_SHOWN:
      text = text[:LONGEST_SHOWN] + ' […]'
    values = [getattr(policy, field) for field in scores]
    rows.append(
      [
        name,
        text,
        *(tables.number(None if v is None else v[row]) for v in values),
      ]
    )
  return rows
