"""Examples of records that are elsewhere, and numbers of many."""

from absl.testing import absltest

from rlhf_jax.data import examples
from rlhf_jax.data.examples import Example, StoredRecord
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt

ASKED = Prompt((Message('user', 'a'),), kind='sums')
TOLD = Demonstration(ASKED, 'b', 0.5)
PAIR = Comparison(ASKED, ('b', 'c'))
EXAMPLES = [
  Example(TOLD, [1], ([2, 3],), 0),
  Example(PAIR, [1, 1], ([2], [3]), 1, [4, 5, 6]),
  Example(ASKED, [1], (), 2),
]


class ExampleTest(absltest.TestCase):
  def test_the_record_is_read_where_it_is(self):
    held = StoredRecord([TOLD, PAIR], 1, Comparison, margin=2.0)
    example = Example(held, [1], ([2], [3]), 7)
    self.assertIs(example.record, PAIR)
    self.assertIs(example.prompt, ASKED)
    self.assertEqual((example.kind, example.held.margin), (Comparison, 2.0))
    kinds = [example.kind for example in EXAMPLES]
    self.assertEqual(kinds, [Demonstration, Comparison, Prompt])

  def test_numbers_of_many(self):
    for given in (EXAMPLES, examples.With(EXAMPLES, 'index', [5, 6, 7])):
      self.assertEqual([*examples.records(given)], [TOLD, PAIR, ASKED])
      self.assertEqual(examples.lengths(given).tolist(), [3, 5, 1])
      self.assertEqual(examples.candidates(given).tolist(), [1, 2, 0])
      self.assertEqual(examples.weights(given).tolist(), [0.5, 1.0, 1.0])

  def test_another_value_of_a_field(self):
    found = examples.With(EXAMPLES, 'index', [5, 6, 7])
    self.assertEqual(
      list(found),
      [e._replace(index=i) for e, i in zip(EXAMPLES, (5, 6, 7), strict=True)],
    )
    self.assertEqual(found[1:], list(found)[1:])
    self.assertEqual(found[-1].index, 7)


if __name__ == '__main__':
  absltest.main()
