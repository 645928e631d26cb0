"""Which pairs a judge is measured on."""

from absl.testing import absltest

from rlhf_jax.evaluation import labelled
from rlhf_jax.types import Comparison, Message, Prompt


def prompt(text):
  return Prompt((Message('user', text),))


class LabelledTest(absltest.TestCase):
  def test_every_two_of_a_ranking(self):
    scored = Comparison(prompt('p'), ('a', 'b', 'c'), scores=(2.0, 2.0, 0.5))
    ordered = Comparison(prompt('q'), ('x', 'y'))
    same = Comparison(prompt('r'), ('z', 'z'))
    found = labelled.pairs([scored, ordered, same])
    self.assertCountEqual(
      [(p.first, p.second, p.label) for p in found],
      [('a', 'b', 0.5), ('a', 'c', 1.0), ('b', 'c', 1.0), ('x', 'y', 1.0)],
    )
    apart = labelled.pairs([scored, ordered], least_gap=1.0)
    self.assertLen(apart, 3)

  def test_the_same_few_wherever_they_stand(self):
    records = [
      Comparison(prompt(f'p{i}'), ('a', 'b', 'c'), scores=(3.0, 2.0, 1.0))
      for i in range(40)
    ]
    few = labelled.pairs(records, per_prompt=1, count=10)
    again = labelled.pairs(records[::-1], per_prompt=1, count=10)
    self.assertLen(few, 10)
    self.assertLen({p.prompt for p in few}, 10)
    self.assertEqual(few, again[::-1])
    self.assertGreater(len({(p.first, p.second) for p in few}), 1)

  def test_nothing_to_compare(self):
    single = Comparison(prompt('p'), ('a',), scores=(1.0,))
    with self.assertRaisesRegex(ValueError, 'no two different responses'):
      labelled.pairs([single])
    near = Comparison(prompt('p'), ('a', 'b'), scores=(1.0, 0.9))
    with self.assertRaisesRegex(ValueError, 'differ by 0.5'):
      labelled.pairs([near], least_gap=0.5)


if __name__ == '__main__':
  absltest.main()
