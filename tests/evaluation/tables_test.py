"""Tables cut to the columns that a console or a page has room for."""

import types

import numpy as np
from absl.testing import absltest

from rlhf_jax.evaluation import statistics, tables, win_rate
from rlhf_jax.types import Message, Prompt

ROWS = [['on', 'right', 'loss', 'pairs'], ['ab', '0.5', '0.75', '12']]


class PartedTest(absltest.TestCase):
  def test_named_columns_and_the_others_in_the_tables_order(self):
    self.assertEqual(
      tables.parted(ROWS, ('pairs', 'right', 'absent')),
      (
        [['on', 'right', 'pairs'], ['ab', '0.5', '12']],
        [['on', 'loss'], ['ab', '0.75']],
      ),
    )


class KindRowsTest(absltest.TestCase):
  def test_prompts_are_counted_and_not_their_responses(self):
    asked = [Prompt((Message('user', f'{i}'),)) for i in range(3)] * 2
    rate = win_rate.estimate(np.full(6, 0.5), asked)
    policies = {'ppo': types.SimpleNamespace(by_kind={'a': rate, 'b': rate})}
    heads, *rows = tables.kind_rows(policies)
    self.assertEqual(heads[:2], ['kind', 'prompts'])
    self.assertEqual([row[:2] for row in rows], [['a', '3'], ['b', '3']])


class NumberTest(absltest.TestCase):
  def test_what_rounds_to_0_has_no_sign(self):
    estimate = statistics.Estimate(-0.001, 0.002, -0.004, 0.006)
    self.assertEqual(tables.number(-0.004), '0.00')
    self.assertEqual(tables.with_error(estimate), '0.00 ± 0.00')
    self.assertEqual(tables.interval(estimate), '0.00 [0.00, 0.01]')
    self.assertEqual(tables.number(-0.006), '-0.01')


class FittedTest(absltest.TestCase):
  def test_what_has_no_room_comes_below(self):
    self.assertEqual(
      tables.fitted(ROWS, 15).splitlines(),
      [
        'on  right  loss',
        '───────────────',
        'ab    0.5  0.75',
        '',
        'on  pairs',
        '─────────',
        'ab     12',
      ],
    )

  def test_what_has_room_is_plain(self):
    self.assertEqual(tables.fitted(ROWS, 22), tables.plain(ROWS))
    self.assertNotEqual(tables.fitted(ROWS, 21), tables.plain(ROWS))

  def test_where_two_columns_have_no_room_a_line_is_a_cell(self):
    rows = [
      ['model on pairs', 'right', 'beyond the longer'],
      ['rm on ppo', '0.58 [0.52, 0.64]', '0.02 [-0.05, 0.09]'],
      ['rm on sft', '0.71 [0.66, 0.76]', '–'],
    ]
    self.assertEqual(
      tables.fitted(rows, 30).splitlines(),
      [
        'model on pairs',
        '──────────────',
        'rm on ppo',
        '  right              0.58',
        '    [0.52, 0.64]',
        '  beyond the longer  0.02',
        '    [-0.05, 0.09]',
        'rm on sft',
        '  right              0.71',
        '    [0.66, 0.76]',
      ],
    )
    self.assertIn('0.02 [-0.05, 0.09]', tables.listed(rows, 40))
    # 14 letters, two between, and 18 have room: columns, one below the other.
    self.assertEqual(tables.fitted(rows, 34).count('model on pairs'), 2)
    self.assertEqual(tables.fitted(rows, 33).count('model on pairs'), 1)


if __name__ == '__main__':
  absltest.main()
