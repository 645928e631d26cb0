"""Verdicts on disk: nothing is asked twice, half lines are no verdicts."""

import io
import json
import math
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest

from rlhf_jax.evaluation import kept_verdicts
from rlhf_jax.types import Message, Prompt

PROMPTS = [Prompt((Message('user', text),)) for text in 'pqrs']
A, B = list('abcd'), list('wxyz')


class KeptVerdictsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(folder, 'new', 'asked.jsonl')
    self.asked = []

  def judge(self, failing=None, identity='one'):
    def judge(prompts, first, second):
      if failing in first:
        raise RuntimeError('gone')
      self.asked += first
      return [None if text == 'b' else 0.75 for text in first]

    return kept_verdicts.kept(
      judge, self.path, identity, out=io.StringIO(), at_a_time=2
    )

  def test_it_goes_on_where_it_was_stopped(self):
    with self.assertRaisesRegex(ValueError, 'gone'):
      self.judge(failing='d')(PROMPTS, A, B)
    self.assertEqual(self.asked, ['a', 'b'])
    credits = self.judge()(PROMPTS, A, B)
    self.assertEqual(self.asked, ['a', 'b', 'c', 'd'])
    np.testing.assert_array_equal(credits, [0.75, math.nan, 0.75, 0.75])
    again = self.judge()(PROMPTS, A, B)
    np.testing.assert_array_equal(again, credits)
    self.assertLen(self.asked, 4)

  def test_a_credit_beyond_one_is_not_kept(self):
    def graded(prompts, first, second):
      return [5.0 if text == 'd' else 1.0 for text in first]

    judge = kept_verdicts.kept(
      graded, self.path, 'graded', out=io.StringIO(), at_a_time=2
    )
    with self.assertRaisesRegex(
      ValueError, "graded gave 5 for a pair of .* 's', 'd' and 'z'; a judge"
    ):
      judge(PROMPTS, A, B)
    self.assertEqual(self.path.read_text().count('\n'), 2)  # Of a and b.

  def test_another_judge_or_order_is_asked(self):
    self.judge()(PROMPTS[:1], ['a'], ['w'])
    self.judge(identity='two')(PROMPTS[:1], ['a'], ['w'])
    self.judge()(PROMPTS[:1], ['w'], ['a'])
    self.judge()(PROMPTS[:2], ['a', 'a'], ['w', 'w'])
    self.assertEqual(self.asked, ['a', 'a', 'w', 'a'])

  def test_half_a_line_is_asked_again(self):
    self.judge()(PROMPTS[:2], A[:2], B[:2])
    self.path.write_bytes(self.path.read_bytes()[:-5])
    self.judge()(PROMPTS, A, B)
    self.assertEqual(self.asked, ['a', 'b', 'b', 'c', 'd'])
    self.judge()(PROMPTS, A, B)
    self.assertLen(self.asked, 5)

  def test_a_line_that_is_no_verdict_is_left_out(self):
    self.judge()(PROMPTS[:1], A[:1], B[:1])
    kept = self.path.read_text()
    others = [{'pair': ['a'], 'credit': 1}, {'pair': 'a', 'credit': 'x'}, 3]
    self.path.write_text(kept + ''.join(f'{json.dumps(x)}\n' for x in others))
    self.judge()(PROMPTS[:1], A[:1], B[:1])
    self.assertEqual(self.asked, ['a'])

  def test_a_file_in_the_way(self):
    self.path.parent.write_text('x')
    with self.assertRaisesRegex(OSError, 'a file lies where a folder'):
      self.judge()(PROMPTS, A, B)


if __name__ == '__main__':
  absltest.main()
