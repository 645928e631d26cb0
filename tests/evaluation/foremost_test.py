"""Which of many policies come first, and which win rates are drawn."""

from absl.testing import absltest

from rlhf_jax.evaluation import claims, foremost
from rlhf_jax.evaluation.statistics import Estimate

NAMES = ['sft', 'ppo', 'dpo', 'kto', 'best']
RATE = Estimate(0.6, 0.1, 0.4, 0.8)


def contrasts(*pairs):
  return {
    f'{better} beats {worse}': claims.Contrast(
      better, worse, 'gold', RATE, (0.6,), None, 'undecided'
    )
    for better, worse in pairs
  }


class PoliciesTest(absltest.TestCase):
  def test_the_one_compared_with_then_the_claims_then_the_others(self):
    claimed = contrasts(('kto', 'best'))
    for most, expected in (
      (1, ['sft']),
      (2, ['sft', 'kto']),
      (3, ['sft', 'kto', 'best']),
      (4, ['sft', 'ppo', 'kto', 'best']),
      (9, NAMES),
    ):
      self.assertEqual(foremost.of(NAMES, claimed, 'sft', most), expected)

  def test_what_is_not_among_them_takes_no_place(self):
    claimed = contrasts(('kto', 'unheard'))
    self.assertEqual(foremost.of(NAMES[1:], claimed, 'sft', 2), ['ppo', 'kto'])


class WinRatesTest(absltest.TestCase):
  def test_claims_come_first_and_none_is_drawn_twice(self):
    claimed = contrasts(('dpo', 'ppo'), ('ppo', 'sft'))
    groups = foremost.win_rates({'ppo': RATE, 'dpo': RATE}, claimed, 'sft')
    self.assertEqual(
      groups,
      [
        {('dpo', 'ppo'): RATE},
        {('ppo', 'sft'): RATE, ('dpo', 'sft'): RATE},
      ],
    )

  def test_of_too_many_the_claims_are_drawn_alone(self):
    rates = {f'p{i}': RATE for i in range(foremost.MOST_DRAWN)}
    claimed = contrasts(('dpo', 'ppo'), ('p1', 'sft'))
    (alone,) = foremost.win_rates(rates, claimed, 'sft')
    self.assertEqual([*alone], [('dpo', 'ppo'), ('p1', 'sft')])

  def test_of_nothing_there_is_no_group(self):
    one, claimed = {'ppo': RATE}, contrasts(('ppo', 'sft'))
    self.assertEqual(
      foremost.win_rates(one, claimed, 'sft'), [{('ppo', 'sft'): RATE}]
    )
    self.assertEmpty(foremost.win_rates({}, {}, 'sft'))


class CountedTest(absltest.TestCase):
  def test_verdicts_are_counted(self):
    found = [
      c._replace(verdict=verdict)
      for c, verdict in zip(
        contrasts(*(('a', str(i)) for i in range(6))).values(),
        ['holds', 'does not', 'holds', 'undecided', 'undecided', 'not judged'],
        strict=True,
      )
    ]
    self.assertEqual(
      claims.counted(dict(enumerate(found))),
      'Of 6 claims 2 hold, 1 does not, 2 are undecided, 1 is not judged.',
    )


if __name__ == '__main__':
  absltest.main()
