"""Annotated pairs: who is asked what, and what is left out."""

from absl.testing import absltest

from rlhf_jax import sandbox
from rlhf_jax.addressing import describe
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import preferences
from rlhf_jax.types import Comparison
from tests.methods.fake_queries import FakeQueries, prompt

ASKED = [prompt('a'), prompt('b'), prompt('c')]


def build(fake, annotate, records=ASKED, **options):
  config = preferences.Config(annotate=annotate, count=3, **options)
  return preferences.build(records, fake.queries, config=config)


def longer(prompt, a, b, seed):
  del prompt, seed
  return len(a) > len(b)


class PreferencesTest(absltest.TestCase):
  def test_the_preferred_one_is_first(self):
    fake = FakeQueries([('x', 'xxx'), ('yy', 'y'), ('z', 'zz')])
    self.assertEqual(
      build(fake, longer),
      [
        Comparison(ASKED[0], ('xxx', 'x')),
        Comparison(ASKED[1], ('yy', 'y')),
        Comparison(ASKED[2], ('zz', 'z')),
      ],
    )

  def test_two_are_sampled_as_the_config_says(self):
    fake = FakeQueries([('x', 'xx')] * 3)
    build(fake, longer, sampling=Sampling(temperature=0.5))
    self.assertEqual(fake.sampled, [(2, Sampling(temperature=0.5))])

  def test_equal_texts_are_not_ranked(self):
    asked = []

    def annotate(*of):
      asked.append(of)
      return True

    fake = FakeQueries([('x', 'xx'), ('y', 'y'), ('z', 'zz')], seeds=[5, 6, 7])
    found = build(fake, annotate)
    self.assertEqual([c.prompt for c in found], [ASKED[0], ASKED[2]])
    self.assertEqual(
      asked, [(ASKED[0], 'x', 'xx', 5), (ASKED[2], 'z', 'zz', 7)]
    )

  def test_a_seed_decides_alone(self):
    def coin(prompt, a, b, seed):
      del prompt, a, b
      return seed % 2 == 0

    fake = FakeQueries([('x', 'y')] * 3, seeds=[2, 3, 4])
    firsts = [c.responses[0] for c in build(fake, coin)]
    self.assertEqual(firsts, ['x', 'y', 'x'])

  def test_the_stage_says_who_annotates(self):
    config = preferences.Config(
      annotate=sandbox.Annotator(flip=0.25).annotate, count=3
    )
    (stage,) = preferences.stages(config).values()
    self.assertEqual((stage.data, stage.policy), ('prompts', 'sft'))
    described = describe(stage)['config']['annotate']
    self.assertEqual(described['of']['flip'], 0.25)


if __name__ == '__main__':
  absltest.main()
