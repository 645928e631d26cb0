"""Records of other sequences, by place."""

import json
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest

from rlhf_jax.data import record_lines, sequences
from rlhf_jax.storage import files
from rlhf_jax.types import Demonstration, Message, Prompt


class Kept(list):
  fingerprint = 'kept'


class SequencesTest(absltest.TestCase):
  def test_one_after_the_other(self):
    found = sequences.Chained([Kept('ab'), Kept(), Kept('cde')])
    self.assertEqual(''.join(found), 'abcde')
    self.assertEqual([found[i] for i in (0, 1, 2, -1)], list('abce'))
    self.assertEqual(found[1:4], list('bcd'))
    self.assertEqual(found.fingerprint, 'kept+kept+kept')
    self.assertIsNone(sequences.Chained([Kept('a'), ['b']]).fingerprint)
    with self.assertRaises(IndexError):
      _ = found[5]

  def test_numbers_that_are_kept_beside_all_of_them(self):
    class Counted(list):
      def column(self, name):
        return np.array([len(name) + one for one in self])

    found = sequences.Chained([Counted([1, 2]), Counted([5])])
    self.assertEqual(sequences.column(found, 'abc').tolist(), [4, 5, 8])
    mixed = sequences.Chained([Counted([1]), [2]])
    self.assertIsNone(sequences.column(mixed, 'abc'))
    self.assertEmpty(sequences.Chained([]))
    self.assertIsNone(sequences.column(sequences.Chained([]), 'abc'))

  def test_some_of_them(self):
    found = sequences.Selected(Kept('abcd'), np.array([2, 0, 3]))
    self.assertEqual(''.join(found), 'cad')
    self.assertEqual((found[-1], found[:2]), ('d', ['c', 'a']))
    loud = sequences.Selected(Kept('abc'), np.arange(2), str.upper, 'loud')
    self.assertEqual(list(loud), ['A', 'B'])
    others = [
      found,
      loud,
      sequences.Selected(Kept('abcd'), np.array([2, 0, 1])),
      sequences.Selected(Kept('abc'), np.arange(2)),
    ]
    self.assertLen({one.fingerprint for one in others}, 4)
    self.assertIsNone(sequences.Selected('abc', np.arange(2)).fingerprint)


class LinesTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    root = self.enterContext(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(root, 'records.jsonl')

  def test_each_line_by_its_place(self):
    prompt = Prompt((Message('user', 'é\n'),), 'sums')
    rows = [Demonstration(prompt, str(i) * i) for i in range(9)]
    files.write_lines(self.path, map(record_lines.row, rows))
    found = record_lines.Lines(self.path, 'f')
    self.assertLen(found, 9)
    self.assertEqual([r.response for r in found], [r.response for r in rows])
    self.assertEqual(found[-1].prompt.where, f'{self.path}:9')
    self.assertEqual([r.response for r in found[2:4]], ['22', '333'])
    with self.assertRaises(IndexError):
      _ = found[9]

  def test_lines_across_what_is_read_at_a_time(self):
    asked = record_lines.prompt_row(Prompt((Message('user', 'a' * 999),)))
    line = json.dumps({'record': 'Prompt'} | asked) + '\n'
    count = 3 * record_lines.CHUNK // len(line)
    self.path.write_text(line * count)
    found = record_lines.Lines(self.path, 'f')
    self.assertLen(found, count)
    self.assertEqual(found[count - 1].messages, found[0].messages)

  def test_none(self):
    self.path.write_text('')
    self.assertEmpty(record_lines.Lines(self.path, 'f'))


if __name__ == '__main__':
  absltest.main()
