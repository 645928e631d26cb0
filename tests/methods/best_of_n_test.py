"""Best of n as data; a text is worth the number it says."""

from absl.testing import absltest

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import best_of_n
from rlhf_jax.types import Comparison, Demonstration
from tests.methods.fake_queries import FakeQueries, numbers, prompt

WHO = prompt()


def build(records, fake, **options):
  config = best_of_n.Config(**options)
  return best_of_n.build(records, fake.queries, config=config)


class BestOfNTest(absltest.TestCase):
  def test_the_best_of_each_prompt(self):
    records = [prompt('a'), prompt('b')]
    found = build(
      records, FakeQueries([numbers(1, 3, -2), numbers(-5, -7, -6)])
    )
    self.assertEqual(
      found, [Demonstration(records[0], '3'), Demonstration(records[1], '-5')]
    )

  def test_what_a_record_already_has_is_no_candidate(self):
    records = [Demonstration(WHO, '9'), Comparison(WHO, ('9', '8'))]
    found = build(records, FakeQueries([numbers(1, 2), numbers(4, 3)]))
    self.assertEqual(found, [Demonstration(WHO, '2'), Demonstration(WHO, '4')])

  def test_one_that_did_not_end_is_never_the_best(self):
    fake = FakeQueries([['1', '…5', '2'], ['…3'], ['4']])
    records = [prompt('a'), prompt('b'), prompt('c')]
    self.assertEqual(
      build(records, fake),
      [Demonstration(records[0], '2'), Demonstration(records[2], '4')],
    )

  def test_equal_texts_are_scored_once(self):
    fake = FakeQueries([numbers(1, 3, 1, 3)])
    build([WHO], fake)
    ((scored,),) = fake.scored
    self.assertEqual(scored.responses, ('1', '3'))

  def test_of_equal_scores_the_first_drawn(self):
    fake = FakeQueries([['b', 'a', 'c']], worth=lambda text: float(text != 'b'))
    self.assertEqual(build([WHO], fake), [Demonstration(WHO, 'a')])

  def test_samples_are_asked_for_as_the_config_says(self):
    fake = FakeQueries([numbers(1)])
    build([WHO], fake, samples=7, sampling=Sampling(temperature=0.5))
    self.assertEqual(fake.sampled, [(7, Sampling(temperature=0.5))])

  def test_the_stage_names_its_judge(self):
    (stage,) = best_of_n.stages(best_of_n.Config(), reward=max).values()
    self.assertEqual(stage.frozen, {'reward': max})
    self.assertEqual(stage.policy, 'sft')


if __name__ == '__main__':
  absltest.main()
