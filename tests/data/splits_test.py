"""Held-out prompts: by the opening alone, and about as many as asked."""

import hashlib

from absl.testing import parameterized

from rlhf_jax.data import splits
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt


def prompt(*contents, system=''):
  roles = ('user', 'assistant') * len(contents)
  spoken = tuple(map(Message, roles, contents))
  return Prompt((Message('system', system), *spoken) if system else spoken)


class SplitsTest(parameterized.TestCase):
  def test_is_the_hash_below_the_share(self):
    # 'Hello, World!' without case and punctuation is 'helloworld'.
    digest = hashlib.sha256(b'helloworld').hexdigest()
    place = int(digest[:16], 16) / 2**64
    said = prompt('Hello, World!')
    self.assertTrue(splits.is_held_out(said, place + 1e-6))
    self.assertFalse(splits.is_held_out(said, place - 1e-6))

  @parameterized.parameters(
    (prompt('hello world'),),
    (prompt('Hello, World!', 'yes?', 'another'),),
    (prompt('«HELLO» world…', system='be brief'),),
  )
  def test_nothing_but_the_opening_counts(self, said):
    for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
      self.assertEqual(
        splits.is_held_out(said, share),
        splits.is_held_out(prompt('Hello, World!'), share),
      )

  def test_openings_without_letters_are_told_apart(self):
    sides = {splits.is_held_out(prompt('?' * n), 0.5) for n in range(1, 30)}
    self.assertEqual(sides, {True, False})

  def test_the_share_is_about_right(self):
    held_out = [
      splits.is_held_out(prompt(f'say {i}'), 0.2) for i in range(5000)
    ]
    # 1000 expected, standard deviation 28.
    self.assertAlmostEqual(sum(held_out), 1000, delta=5 * 28)

  def test_every_record_is_on_one_side_in_order(self):
    prompts = [prompt(f'say {i // 2}', 'so', f'{i}') for i in range(100)]
    records = [Demonstration(p, 'a') for p in prompts[:50]]
    records += [Comparison(p, ('a', 'b')) for p in prompts[50:]]
    train, test = splits.split(records, 0.3)
    self.assertNotEmpty(test)
    self.assertEqual(sorted(train + test, key=records.index), records)
    self.assertEqual(train, [r for r in records if r in train])
    openings = [
      {r.prompt.messages[0].content for r in s} for s in (train, test)
    ]
    self.assertEmpty(openings[0] & openings[1])

  def test_distinct_prompts_keep_the_first(self):
    first = prompt('a')._replace(where='f:1')
    records = [
      Comparison(first, ('x', 'y')),
      Demonstration(prompt('a')._replace(where='f:2'), 'z'),
      prompt('a', 'b', 'c'),
    ]
    self.assertEqual(
      splits.distinct_prompts(records), [first, prompt('a', 'b', 'c')]
    )
