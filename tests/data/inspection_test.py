"""What is in a dataset, counted by hand."""

import numpy as np
from absl.testing import absltest

from rlhf_jax.data import inspection
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt, Rated


def asked(*texts, kind='', answer=''):
  """A conversation of these messages, the user's first."""
  roles = ('user', 'assistant')
  turns = [Message(roles[i % 2], text) for i, text in enumerate(texts)]
  return Prompt(tuple(turns), kind, answer=answer)


HI = asked('hi')


def compared(*responses, prompt=HI, **numbers):
  return Comparison(prompt, responses, **numbers)


class ContentsTest(absltest.TestCase):
  def test_of_each_kind_how_many(self):
    records = [
      compared('a', 'b'),
      compared('a', 'b', 'c'),
      compared('a'),
      Demonstration(asked('x', 'y', 'z', kind='maths', answer='7'), 'a'),
      Rated(Prompt((Message('system', 's'), Message('user', 'u'))), 'a', ()),
      Prompt(()),
    ]
    found = inspection.contents(records)
    self.assertEqual(
      found.kinds,
      {
        'pairs': 1,
        'ranked lists': 1,
        'labelled responses': 1,
        'demonstrations': 1,
        'rated responses': 1,
        'prompts': 1,
      },
    )
    self.assertEqual(found.prompt_kinds, {'': 5, 'maths': 1})
    self.assertEqual(found.messages, {1: 3, 3: 1, 2: 1, 0: 1})
    self.assertEqual(found.responses, {2: 1, 3: 1, 1: 3, 0: 1})
    self.assertEqual(found.first_roles, {'user': 4, 'system': 1})
    self.assertEqual(found.last_roles, {'user': 5})
    self.assertEqual(found.answers, 1)


class RepeatsTest(absltest.TestCase):
  def test_prompts_and_whole_records(self):
    records = [
      compared('a', 'b'),
      compared('a', 'b'),
      compared('b', 'a'),
      compared('a', 'b', prompt=asked('other', kind='x')),
      compared('a', 'b', prompt=asked('Hi')),
    ]
    self.assertEqual(
      inspection.repeats(records),
      inspection.Repeats(prompts=3, sharing=3, doubles=1),
    )

  def test_who_asks_nothing_shares_nothing(self):
    records = [Demonstration(Prompt(()), text) for text in ('a', 'b', 'a')]
    self.assertEqual(
      inspection.repeats(records),
      inspection.Repeats(prompts=0, sharing=0, doubles=1),
    )


class ResponsesTest(absltest.TestCase):
  def test_empty_and_equal_ones(self):
    records = [
      compared('a', 'a'),
      compared('a', 'b', 'a'),
      compared('a', ' \n'),
      compared('a', 'b'),
      Demonstration(asked('x'), ''),
      Demonstration(asked('x'), 'a'),
    ]
    self.assertEqual(
      inspection.responses(records),
      inspection.ResponseCounts(count=11, empty=2, identical=1, repeated=1),
    )


class PreferencesTest(absltest.TestCase):
  def test_who_takes_the_longer(self):
    records = [
      compared('long', 'b'),
      compared('long', 'b', margin=2.0, scores=(9.0, 8.0)),
      compared('long', 'b', 'much longer', scores=(3.0, 2.5, 1.0)),
      compared('a', 'long'),
      compared('a', 'b'),
      compared('long', 'b', scores=(4.0, 4.0)),
      compared('alone', scores=(1.0,)),
    ]
    found = inspection.preferences(records)
    self.assertEqual((found.count, found.scored, found.tied), (6, 3, 1))
    self.assertEqual((found.longer, found.shorter, found.decided), (3, 1, 5))
    self.assertAlmostEqual(found.always_longer, 3.5 / 5)
    np.testing.assert_array_equal(found.margins, [2.0, 0.5])

  def test_of_no_pairs_there_are_none(self):
    self.assertIsNone(inspection.preferences([compared('a'), asked('x')]))

  def test_where_all_are_tied_nothing_is_decided(self):
    found = inspection.preferences([compared('a', 'b', scores=(1.0, 1.0))])
    self.assertEqual((found.tied, found.decided), (1, 0))
    self.assertEqual(found.margins.size, 0)


class LabelsTest(absltest.TestCase):
  def test_above_zero_or_without_a_score_is_desirable(self):
    records = [
      compared('a', scores=(1.0,)),
      compared('a', scores=(0.0,)),
      compared('a', scores=(-1.0,)),
      compared('a'),
      compared('a', 'b', scores=(1.0, -1.0)),
    ]
    self.assertEqual(inspection.labels(records), (2, 2))
    self.assertIsNone(inspection.labels(records[-1:]))


class RatingsTest(absltest.TestCase):
  def test_the_range_of_each_attribute(self):
    records = [
      Rated(asked('x'), 'a', (4.0, None, None)),
      Rated(asked('x'), 'b', (1.0, 3.0, None)),
    ]
    self.assertEqual(
      inspection.ratings(records),
      [(2, 1.0, 2.5, 4.0), (1, 3.0, 3.0, 3.0), None],
    )
    self.assertEqual(inspection.ratings([asked('x')]), [])


if __name__ == '__main__':
  absltest.main()
