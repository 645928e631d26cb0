"""What is kept of long prompts, cut by hand."""

from absl.testing import parameterized

from rlhf_jax.data import jsonl, limits
from rlhf_jax.data.templates import PromptParts, Turn

PARTS = PromptParts(
  head=[1, 2],
  turns=(
    Turn([20], [21, 22, 23], []),
    Turn([30], [31, 32], [39]),
    Turn([40], [41, 42, 43, 44], [49]),
  ),
  tail=[5],
)
WHOLE = [1, 2, 20, 21, 22, 23, 30, 31, 32, 39, 40, 41, 42, 43, 44, 49, 5]


class OverlongTest(parameterized.TestCase):
  @parameterized.parameters(
    # One token over: the oldest turn loses its first word, not its marker.
    (16, [1, 2, 20, 22, 23, 30, 31, 32, 39, 40, 41, 42, 43, 44, 49, 5]),
    (15, [1, 2, 20, 23, 30, 31, 32, 39, 40, 41, 42, 43, 44, 49, 5]),
    # Three over would leave its marker alone: the turn goes.
    (14, [1, 2, 30, 31, 32, 39, 40, 41, 42, 43, 44, 49, 5]),
    (13, [1, 2, 30, 31, 32, 39, 40, 41, 42, 43, 44, 49, 5]),
    (12, [1, 2, 30, 32, 39, 40, 41, 42, 43, 44, 49, 5]),
    (11, [1, 2, 40, 41, 42, 43, 44, 49, 5]),
    (9, [1, 2, 40, 41, 42, 43, 44, 49, 5]),
    (8, [1, 2, 40, 42, 43, 44, 49, 5]),
    (6, [1, 2, 40, 44, 49, 5]),
  )
  def test_keep_end_forgets_the_oldest(self, limit, expected):
    self.assertEqual(PARTS.ids, WHOLE)
    self.assertEqual(limits.keep_end(PARTS, limit, 'f:1').ids, expected)

  def test_keep_end_drops_no_turn_once_the_rest_fits(self):
    # Dropping the first turn is enough, though the second has no content.
    turns = (Turn([20], [21], []), Turn([30], [], [39]), Turn([40], [41], []))
    kept = limits.keep_end(PromptParts([], turns, [5]), 5, 'f:1')
    self.assertEqual(kept.ids, [30, 39, 40, 41, 5])

  def test_keep_end_asks_how_the_rest_of_a_conversation_reads(self):
    # Its first turn opens otherwise, as where a template puts the rules there.
    rest = PromptParts(
      [1], (Turn([7, 30], [31, 32], [39]), Turn([40], [41], [])), [5]
    )
    whole = PromptParts(
      [1],
      (
        Turn([7, 20], [21, 22], []),
        Turn([30], [31, 32], [39]),
        *rest.turns[1:],
      ),
      [5],
      later=lambda count: {1: rest}[count],
    )
    for expected in (
      [1, 7, 20, 22, 30, 31, 32, 39, 40, 41, 5],
      [1, 7, 30, 31, 32, 39, 40, 41, 5],
      [1, 7, 30, 32, 39, 40, 41, 5],
    ):
      kept = limits.keep_end(whole, len(expected), 'f:1')
      self.assertEqual(kept.ids, expected)

  def test_keep_end_cuts_nothing_that_is_in_no_one_place(self):
    parts = PromptParts(
      [], (Turn([1, 2, 3], [], []), Turn([4], [5, 6], [])), [7]
    )
    self.assertEqual(limits.keep_end(parts, 6, 'f:1').ids, [4, 5, 6, 7])

  @parameterized.parameters(
    (16, [*WHOLE[:14], 49, 5]),
    (14, [*WHOLE[:12], 49, 5]),
  )
  def test_keep_start_cuts_the_last_turn(self, limit, expected):
    self.assertEqual(limits.keep_start(PARTS, limit, 'f:1').ids, expected)

  @parameterized.parameters((limits.keep_end, 5), (limits.keep_start, 13))
  def test_says_where_no_word_would_be_left(self, overlong, limit):
    with self.assertRaisesRegex(
      jsonl.DataError, f'f:1: the limit of {limit} tokens leaves no room.*of 17'
    ):
      overlong(PARTS, limit, 'f:1')

  def test_refuse_says_where_how_long_and_what_to_do(self):
    with self.assertRaisesRegex(
      jsonl.DataError,
      'f:1: the prompt has 17 tokens and the limit is 16; raise '
      'max_prompt_tokens.*keep_end.*keep_start.*drop',
    ):
      limits.refuse(PARTS, 16, 'f:1')

  def test_drop_keeps_nothing(self):
    self.assertIsNone(limits.drop(PARTS, 16, 'f:1'))


class LimitsTest(parameterized.TestCase):
  @parameterized.parameters(
    ((), 1, 10, 14),
    ((), 10, 10, 14),
    ((4, 12), 4, 4, 4),
    ((12, 4), 5, 10, 12),
    ((4, 12), 10, 10, 12),
    ((4, 12, 99), 10, 10, 12),
  )
  def test_columns_are_the_smallest_bucket_that_fits(
    self, buckets, longest, prompt_columns, columns
  ):
    subject = limits.Limits(
      max_prompt_tokens=10, max_response_tokens=4, buckets=buckets
    )
    self.assertEqual(subject.prompt_columns(longest), prompt_columns)
    self.assertEqual(subject.columns(longest), columns)

  def test_says_when_nothing_fits(self):
    subject = limits.Limits(max_prompt_tokens=10, max_response_tokens=4)
    with self.assertRaisesRegex(
      jsonl.DataError, 'an example has 15 tokens and the limits allow 14'
    ):
      subject.columns(15)

  def test_texts_of_any_length_have_few_sizes(self):
    expected = {1: 32, 33: 64, 256: 256, 257: 320, 512: 512, 513: 640}
    expected |= {1000: 1024, 1025: 1280, 5000: 5120}
    found = {longest: limits.columns_of(longest) for longest in expected}
    self.assertEqual(found, expected)
    every = {longest: limits.columns_of(longest) for longest in range(1, 8193)}
    self.assertLen(set(every.values()), 28)  # 8 up to 256, 20 for 5 doublings.
    for longest, columns in every.items():
      self.assertGreaterEqual(columns, longest)
      self.assertLess(columns, max(longest + 32, 1.25 * longest))

  def test_refuses_limits_that_allow_nothing(self):
    with self.assertRaisesRegex(ValueError, 'max_response_tokens is 0'):
      limits.Limits(max_prompt_tokens=1, max_response_tokens=0)
