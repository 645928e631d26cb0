"""Preparing a dataset from the command line, and all that it says."""

import contextlib
import errno
import io
import json
import os
import pathlib
import signal
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from launch import prepare
from rlhf_jax.data import prepared, tfds_examples
from rlhf_jax.types import Comparison, Message, Prompt, Rated

HH = '\n\nHuman: {}\n\nAssistant: {}'


def run_command(*arguments):
  """The exit status, what was printed, and what was said of errors."""
  said, wrong = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
    status = prepare.main([str(argument) for argument in arguments])
  return status, said.getvalue(), wrong.getvalue()


class PrepareTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.files, self.to = self.root / 'files', self.root / 'to'
    for number in prepare.signals.SIGNALS:
      self.addCleanup(signal.signal, number, signal.getsignal(number))
    for split, numbers in (('train', range(5)), ('test', range(4, 6))):
      rows = [
        {
          'chosen': HH.format(f'question {i}', 'good'),
          'rejected': HH.format(f'question {i}', 'bad' if i else 'good'),
        }
        for i in numbers
      ]
      path = self.files / f'helpful-base/{split}.jsonl'
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(''.join(json.dumps(row) + '\n' for row in rows))

  def prepare(self, *arguments):
    return run_command('hh_rlhf', '--to', self.to, *arguments)

  def refused(self, words, *arguments):
    status, _, wrong = run_command(*arguments)
    self.assertEqual(status, 1)
    self.assertRegex(wrong.splitlines()[-1], words)
    self.assertFalse(self.to.exists() and [*self.to.iterdir()])

  def test_it_says_what_was_read_left_out_and_where_it_is(self):
    status, said, wrong = self.prepare('--from', self.files)
    self.assertEqual((status, wrong), (0, ''))
    folder = self.to / 'hh_rlhf' / '1.0.0'
    self.assertEqual(
      said.splitlines()[:12],
      [
        "hh_rlhf 1.0.0: Dialogues with people's preferences, helpful and "
        'harmless',
        'licence: MIT',
        '  helpful-base/train.jsonl: read as HH-RLHF, 4 comparisons',
        '  helpful-base/train.jsonl: 1 of 5 left out: the responses are the '
        'same text (first at helpful-base/train.jsonl:1)',
        '  helpful-base/test.jsonl: read as HH-RLHF, 2 comparisons',
        *[line for line in said.splitlines() if 'not there: ' in line],
        'train: 4 comparisons (4 helpful-base)',
        'test: 2 comparisons (2 helpful-base)',
        'openings on both sides: 1',  # question 4
        '',
        'helpful-base/train.jsonl:2 helpful-base',
        'question 1',
      ],
    )
    self.assertEqual(said.count('  → good'), prepare.EXAMPLES)
    self.assertIn(f'\n{folder}: ', said)
    self.assertEqual(
      said.splitlines()[-1],
      'next: python -m launch.train experiments/finetune/dpo.py --set '
      f'data={self.to}/hh_rlhf',
    )
    self.assertLen(prepared.Split(folder / 'train'), 4)
    self.assertEqual([*self.to.iterdir()], [folder.parent])

  def test_what_is_prepared_is_told_at_once(self):
    self.prepare('--from', self.files)
    with mock.patch.object(
      tfds_examples, 'example', side_effect=AssertionError
    ):
      status, said, _ = self.prepare()
    self.assertEqual(status, 0)
    self.assertEqual(
      said.splitlines()[0],
      f'prepared already: {self.to}/hh_rlhf/1.0.0; to do it again, delete it',
    )
    self.assertIn('train: 4 comparisons', said)

  def test_what_cannot_be_asked(self):
    self.refused(
      "there is no dataset 'hh_rhlf'; did you mean 'hh_rlhf'", 'hh_rhlf'
    )
    self.refused(
      r'--from says where the files are; .* anthropics/hh-rlhf \(licence: MIT',
      *('hh_rlhf', '--to', self.to),
    )
    self.refused(
      'files holds helpful-base; the folder must hold alpaca_data.json of '
      r'tatsu-lab/stanford_alpaca \(licence: CC BY-NC 4.0\)',
      *('alpaca', '--from', self.files, '--to', self.to),
    )
    self.refused(
      f'there is no folder {self.root}/none; the folder must hold',
      *('alpaca', '--from', self.root / 'none', '--to', self.to),
    )
    file = self.root / 'file'
    file.write_text('')
    self.refused('--to must be a folder', 'alpaca', '--to', file)

  def test_a_bad_row_is_told_by_file_and_line(self):
    with (self.files / 'helpful-base/test.jsonl').open('a') as file:
      file.write('{"chosen": 1}\n')
    self.refused(
      "helpful-base/test.jsonl:3: field 'chosen' must be a text",
      *('hh_rlhf', '--from', self.files, '--to', self.to),
    )

  @parameterized.parameters(
    (RuntimeError(f'write() failed: {os.strerror(errno.ENOSPC)}; writing x'),),
    (OSError(errno.ENOSPC, 'refused'),),
  )
  def test_a_full_disk_is_a_sentence_and_leaves_nothing(self, error):
    with mock.patch.object(tfds_examples, 'example', side_effect=error):
      self.refused(
        'hh_rlhf/1.0.0: the disk is full; make room',
        *('hh_rlhf', '--from', self.files, '--to', self.to),
      )

  def test_a_signal_leaves_nothing(self):
    def killed(record):
      os.kill(os.getpid(), signal.SIGTERM)
      return {}

    with mock.patch.object(tfds_examples, 'example', killed):
      status, _, wrong = self.prepare('--from', self.files)
    self.assertEqual(status, 128 + signal.SIGTERM)
    self.assertIn(f'nothing is left at {self.to}/hh_rlhf/1.0.0', wrong)
    self.assertEqual([*self.to.iterdir()], [])

  def test_a_folder_that_is_no_dataset_is_not_taken_for_one(self):
    (self.to / 'hh_rlhf' / '1.0.0').mkdir(parents=True)
    status, _, wrong = self.prepare('--from', self.files)
    self.assertEqual(status, 1)
    self.assertIn('1.0.0 is there and holds no prepared dataset', wrong)

  def test_without_a_name_the_datasets_are_listed(self):
    status, said, _ = run_command()
    self.assertEqual(status, 0)
    for name in ('hh_rlhf', 'alpaca', 'ultrafeedback', 'mt_bench', 'prompts'):
      self.assertRegex(said, f'(?m)^{name}: ')
    self.assertIn('alpaca_data.json of tatsu-lab/stanford_alpaca', said)

  def test_a_set_to_measure_on_says_what_measures(self):
    row = {'question_id': 1, 'category': 'writing', 'turns': ['q']}
    (self.files / 'question.jsonl').write_text(json.dumps(row))
    _, said, _ = run_command(*('vicuna', '--from', self.files, '--to', self.to))
    self.assertEqual(
      said.splitlines()[-1],
      f'next: TFDS_DATA_DIR={self.to} python -m launch.evaluate --judge JUDGE '
      '--benchmark vicuna80 --policy A --against B',
    )
    row = {'instruction': 'q', 'output_1': 'a', 'output_2': 'b', 'label': 1}
    (self.files / 'llmbar.jsonl').write_text(json.dumps(row | {'subset': 'k'}))
    _, said, _ = run_command(*('llmbar', '--from', self.files, '--to', self.to))
    command = f'TFDS_DATA_DIR={self.to} python -m launch.evaluate --judge JUDGE'
    self.assertEqual(
      said.splitlines()[-2:],
      [
        f'next: {command} --pairs llmbar',
        f'or: {command} --benchmark llmbar --policy A --against B',
      ],
    )

  def test_records_as_a_person_reads_them(self):
    prompt = Prompt((Message('user', 'a  b\nc' + 'x' * 300),), 'k', 'f:1')
    self.assertEqual(
      prepare.shown(Comparison(prompt, ('x', 'y'), 2.5, (8.5, 6.0))),
      f'f:1 k\na b c{"x" * 154}…\n  → 8.5: x\n  → 6: y',
    )
    short = Prompt((Message('user', 'q'),))
    self.assertEqual(
      prepare.shown(Rated(short, 'x', (1.0, None))), '\nq\n  → 1 –: x'
    )


if __name__ == '__main__':
  absltest.main()
