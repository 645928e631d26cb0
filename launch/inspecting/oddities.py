"""What is out of the ordinary in a dataset, a sentence each."""

import math
from typing import Any

import numpy as np

from launch.inspecting.contents import Seen
from launch.inspecting.encoded import TokenizedRecords
from launch.inspecting.words import of, percent
from rlhf_jax.data.token_inspection import Padding

# From where on, as a share.
SHARED_PROMPTS = 0.1
LONGER = 0.6  # Of the better responses.
RARE_LABEL = 0.2
CUT = 0.05
PADDING = 0.2  # More in random batches than in better ones.


def of_records(seen: Seen) -> list[str]:
  """What is out of the ordinary, a sentence each."""
  total, again = len(seen.records), seen.repeats
  found = []
  if again.sharing > SHARED_PROMPTS * total:
    found.append(
      f'{percent(again.sharing, total)} of the records share their prompt with '
      'another: such prompts count more than others'
    )
  if again.doubles:
    found.append(
      f'{of(again.doubles, total)} of the records are there again, prompt and '
      'responses: leave them out, unless they are to count more'
    )
  if not 0 < seen.held_out < total:
    found.append(
      f'{seen.held_out:,} of {total:,} records are held out: set another '
      'held_out, or give more'
    )
  return found + _of_responses(seen)


def _of_responses(seen):
  said, compared, found = seen.responses, seen.preferences, []
  if said.empty or said.identical:
    found.append(
      f'{said.empty:,} responses are empty and {said.identical:,} records have '
      'one text for all of theirs: a training leaves such records out'
    )
  if compared is not None and compared.tied:
    found.append(
      f'{of(compared.tied, compared.scored)} of the comparisons with scores '
      'are tied: a training on pairs leaves them out'
    )
  if compared is not None and compared.decided:
    right = compared.always_longer
    if max(right, 1 - right) > LONGER:
      which = 'longer' if right > 0.5 else 'shorter'
      found.append(
        f'who always prefers the {which} response is right to '
        f'{max(right, 1 - right):.2f}: a reward model may learn little else; '
        'measure it against that'
      )
  if seen.labels is not None and compared is None:
    rare = min(seen.labels)
    if rare < RARE_LABEL * sum(seen.labels):
      found.append(
        f'labels are uneven, {seen.labels.desirable:,} desirable to '
        f'{seen.labels.undesirable:,} not: KTO has weights for both '
        '(config.objective.desirable_weight, undesirable_weight)'
      )
  if any(r is None or r.least == r.most for r in seen.ratings):
    found.append('an attribute has one rating everywhere, or none')
  if seen.contents.first_roles and {*seen.contents.last_roles} - {'user'}:
    found.append('there are prompts that do not end with the user')
  return found


def of_tokens(encoded: TokenizedRecords, given: Any) -> list[str]:
  """Of records as tokens, under the limits that are set."""
  if encoded.refusal:
    return [f'at these limits a training does not begin: {encoded.refusal}']
  found = []
  limits = {
    'prompts': given.max_prompt_tokens,
    'responses': given.max_response_tokens,
  }
  lost = {
    'prompts': 'lose their beginning',
    'responses': 'are cut, and learnt without an end,',
  }
  for name, limit in limits.items():
    numbers = getattr(encoded.lengths, name)
    longer = int((numbers > limit).sum())
    if longer > CUT * len(numbers):
      most = math.ceil(np.quantile(numbers, 0.99))
      found.append(
        f'{percent(longer, len(numbers))} of the {name} {lost[name]} '
        f'at max_{name[:-1]}_tokens={limit}; at {most:,} it would be 1 %'
      )
  return found + _of_padding(encoded.padding)


def _of_padding(padding: Padding) -> list[str]:
  """What other batches would spare."""
  ways = {
    'batches of like length (orders.of_like_length)': padding.of_like_length,
    'packed rows (row_length)': padding.packed,
  }
  shares = {way: share for way, share in ways.items() if share is not None}
  if not shares or padding.at_random - min(shares.values()) < PADDING:
    return []
  said = [f'{100 * share:.0f} % of {way}' for way, share in shares.items()]
  return [
    f'{100 * padding.at_random:.0f} % of random batches is padding, and '
    + ', '.join(said)
  ]
