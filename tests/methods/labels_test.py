"""Responses with their rewards, one by one; a text is worth its number."""

from absl.testing import absltest, parameterized

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import labels
from rlhf_jax.types import Comparison, Demonstration, Rated
from tests.methods.fake_queries import FakeQueries, numbers, prompt

WHO = prompt()


def build(records, fake, **options):
  return labels.build(records, fake.queries, config=labels.Config(**options))


class LabelsTest(parameterized.TestCase):
  def test_each_response_has_its_own_score_in_the_records_order(self):
    fake = FakeQueries()
    records = [
      Demonstration(prompt('a'), '5'),
      Comparison(prompt('b'), ('1', '2', '1'), scores=(9.0, 8.0, 7.0)),
      Rated(prompt('c'), '-3', (4.0, None)),
    ]
    self.assertEqual(
      build(records, fake),
      [
        Rated(prompt('a'), '5', (5.0,)),
        Rated(prompt('b'), '1', (1.0,)),
        Rated(prompt('b'), '2', (2.0,)),
        Rated(prompt('b'), '1', (1.0,)),
        Rated(prompt('c'), '-3', (-3.0,)),
      ],
    )
    self.assertEqual(fake.sampled, [])

  def test_the_prompt_is_kept_whole(self):
    asked = WHO._replace(condition='told', answer='4')
    (found,) = build([Demonstration(asked, '5')], FakeQueries())
    self.assertEqual(found.prompt, asked)
    self.assertEqual(found.prompt.kind, 'sums')

  def test_samples_that_ended_join_what_the_record_has(self):
    fake = FakeQueries([numbers(1, 3), ['…4', '6']])
    records = [Demonstration(WHO, '5'), prompt('b')]
    found = build(records, fake, samples=2, sampling=Sampling(temperature=0.5))
    self.assertEqual(
      [(r.prompt, r.response, *r.ratings) for r in found],
      [
        (WHO, '5', 5.0),
        (WHO, '1', 1.0),
        (WHO, '3', 3.0),
        (prompt('b'), '6', 6.0),
      ],
    )
    self.assertEqual(fake.sampled, [(2, Sampling(temperature=0.5))])

  def test_prompts_alone_give_nothing(self):
    self.assertEqual(build([WHO], FakeQueries()), [])

  def test_the_stage_names_its_judge_and_nobody_who_samples(self):
    (stage,) = labels.stages(
      labels.Config(), data=('demonstrations', 'preferences')
    ).values()
    self.assertEqual(stage.frozen, {'reward': 'reward_model'})
    self.assertIsNone(stage.policy)
    self.assertEqual(stage.data, ('demonstrations', 'preferences'))


if __name__ == '__main__':
  absltest.main()
