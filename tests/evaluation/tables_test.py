"""Tables cut to the columns that a console has room for."""

from absl.testing import absltest

from rlhf_jax.evaluation import tables


class NarrowedTest(absltest.TestCase):
  def test_keeps_the_named_columns_in_the_tables_order(self):
    rows = [['on', 'right', 'loss', 'pairs'], ['a', '0.5', '0.7', '12']]
    self.assertEqual(
      tables.narrowed(rows, ('pairs', 'on', 'absent')),
      [['on', 'pairs'], ['a', '12']],
    )


if __name__ == '__main__':
  absltest.main()
