"""Pairs of authors of known strength: places, scores, lists that are short."""

from absl.testing import absltest

from rlhf_jax.data import encoding, limits, templates, tokens
from rlhf_jax.methods import curriculum
from rlhf_jax.types import Comparison
from tests.methods.fake_queries import FakeQueries, prompt

WHO, OTHER = prompt('a'), prompt('b')
TIERS = Comparison(
  WHO, ('strong', 'medium', 'weak'), 0.5, (2.0, 1.0, 0.0), target='x'
)
SHORT = Comparison(OTHER, ('strong', 'medium'), scores=(2.0, 1.0))


def build(records, *pairs):
  config = curriculum.Config(pairs=pairs)
  return curriculum.build(records, FakeQueries().queries, config=config)


class CurriculumTest(absltest.TestCase):
  def test_takes_the_named_places(self):
    self.assertEqual(
      build([TIERS], (0, 2), (1, 2), (0, 1)),
      [
        Comparison(WHO, ('strong', 'weak'), scores=(2.0, 0.0)),
        Comparison(WHO, ('medium', 'weak'), scores=(1.0, 0.0)),
        Comparison(WHO, ('strong', 'medium'), scores=(2.0, 1.0)),
      ],
    )

  def test_lists_without_a_place_have_no_pair_of_it(self):
    self.assertEqual(
      build([SHORT, TIERS], (0, 2), (0, 1)),
      [
        Comparison(OTHER, ('strong', 'medium'), scores=(2.0, 1.0)),
        Comparison(WHO, ('strong', 'weak'), scores=(2.0, 0.0)),
        Comparison(WHO, ('strong', 'medium'), scores=(2.0, 1.0)),
      ],
    )

  def test_lists_without_scores_give_pairs_without(self):
    (found,) = build([TIERS._replace(scores=None)], (0, 2))
    self.assertEqual(found, Comparison(WHO, ('strong', 'weak')))

  def test_scores_of_zero_are_scores(self):
    (found,) = build([TIERS._replace(scores=(0.0, 0.0, 0.0))], (0, 1))
    self.assertEqual(found.scores, (0.0, 0.0))

  def test_pairs_can_be_encoded(self):
    examples, _ = encoding.encode(
      build([TIERS, SHORT], (0, 2), (0, 1)),
      tokens.word_level(['a', 'b', 'strong', 'medium', 'weak']),
      templates.PLAIN,
      limits.Limits(max_prompt_tokens=2, max_response_tokens=2),
    )
    self.assertEqual(
      [e.response_ids for e in examples],
      [([2, 6], [4, 6]), ([2, 6], [3, 6]), ([2, 6], [3, 6])],
    )

  def test_nobody_has_to_be_trained_first(self):
    config = curriculum.Config(pairs=((0, 1),))
    (stage,) = curriculum.stages(config).values()
    self.assertEqual((stage.data, stage.policy), ('tiers', None))
    self.assertEqual(dict(stage.frozen), {})
    self.assertIsNone(stage.config.count)


if __name__ == '__main__':
  absltest.main()
