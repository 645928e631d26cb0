"""Candidates put in order by scores; a text is worth the number it says."""

import dataclasses

from absl.testing import absltest, parameterized

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import candidates
from rlhf_jax.types import Comparison, Demonstration
from tests.methods.fake_queries import FakeQueries, numbers, prompt

WHO = prompt()


def build(records, fake, **options):
  config = candidates.Config(**options)
  return candidates.build(records, fake.queries, config=config)


class CandidatesTest(parameterized.TestCase):
  def test_best_first_with_their_scores(self):
    fake = FakeQueries([numbers(1, 3, -2, 2)])
    self.assertEqual(
      build([WHO], fake),
      [Comparison(WHO, ('3', '2', '1', '-2'), scores=(3.0, 2.0, 1.0, -2.0))],
    )

  @parameterized.parameters(
    (Demonstration(WHO, '5'), ('5', '3', '1')),
    (Comparison(WHO, ('2', '5', '0')), ('5', '3', '2', '1', '0')),
    (WHO, ('3', '1')),
  )
  def test_what_a_record_has_joins_the_samples(self, record, expected):
    (found,) = build([record], FakeQueries([numbers(1, 3)]))
    self.assertEqual(found.prompt, WHO)
    self.assertEqual(found.responses, expected)
    self.assertEqual(found.scores, tuple(map(float, expected)))
    self.assertIsNone(found.target)

  def test_equal_texts_count_once(self):
    fake = FakeQueries([numbers(1, 3, 1, 3, 3)])
    (found,) = build([Demonstration(WHO, '1')], fake)
    self.assertEqual(found.responses, ('3', '1'))
    ((scored,),) = fake.scored
    self.assertEqual(scored.responses, ('1', '3'))

  def test_equal_scores_keep_their_order(self):
    fake = FakeQueries([['b', 'a', 'c']], worth=lambda text: float(text != 'a'))
    (found,) = build([Demonstration(WHO, 'd')], fake)
    self.assertEqual(found.responses, ('d', 'b', 'c', 'a'))
    self.assertEqual(found.scores, (1.0, 1.0, 1.0, 0.0))

  def test_prompts_with_a_single_text_have_none(self):
    records = [prompt('a'), prompt('b'), prompt('c')]
    fake = FakeQueries([numbers(1, 2), numbers(4, 4), numbers(6, 5)])
    found = build(records, fake)
    self.assertEqual([c.prompt for c in found], [records[0], records[2]])
    self.assertEqual([c.responses for c in found], [('2', '1'), ('6', '5')])
    self.assertEqual(build(records[:1], FakeQueries([numbers(4, 4)])), [])

  def test_without_samples_nobody_is_asked_for_any(self):
    fake = FakeQueries()
    records = [
      Comparison(WHO, ('1', '2', '3'), margin=0.5, scores=(9.0, 8.0, 7.0)),
      Comparison(WHO, ('5', '4')),
    ]
    found = build(records, fake, samples=0)
    self.assertEqual(fake.sampled, [])
    self.assertEqual(
      found,
      [
        Comparison(WHO, ('3', '2', '1'), scores=(3.0, 2.0, 1.0)),
        Comparison(WHO, ('5', '4'), scores=(5.0, 4.0)),
      ],
    )

  def test_samples_are_asked_for_as_the_config_says(self):
    fake = FakeQueries([numbers(1, 2)])
    build([WHO], fake, samples=7, sampling=Sampling(temperature=0.5))
    self.assertEqual(fake.sampled, [(7, Sampling(temperature=0.5))])

  @parameterized.parameters(
    (False, ('4', '2', '1')), (True, ('4', '3', '2', '1'))
  )
  def test_those_that_were_cut_are_candidates_where_that_is_said(
    self, cut, expected
  ):
    fake = FakeQueries([['1', '…3', '4', '2']])
    (found,) = build([WHO], fake, cut=cut)
    self.assertEqual(found.responses, expected)

  def test_the_stage_names_its_judge(self):
    (stage,) = candidates.stages(
      candidates.Config(), reward=max, policy=None
    ).values()
    self.assertEqual(stage.frozen, {'reward': max})
    self.assertIsNone(stage.policy)
    self.assertTrue(dataclasses.is_dataclass(stage.config))


if __name__ == '__main__':
  absltest.main()
