"""Progress as a terminal, a notebook, a pipe and a log file see it."""

import contextlib
import fcntl
import io
import os
import pty
import struct
import termios
import time
from unittest import mock

import nbclient
import nbformat
from absl.testing import absltest, parameterized

from rlhf_jax import progress


class Terminal(io.StringIO):
  def isatty(self):
    return True


class LinesTest(absltest.TestCase):
  def test_says_what_how_far_and_how_long(self):
    out = io.StringIO()
    shown = progress.Progress('sft', 10, out=out)
    shown.show(5, {'loss': 0.123456})  # Too soon to say anything.
    self.assertEqual(out.getvalue(), '')
    shown.show(10, {'loss': 0.123456})
    self.assertRegex(
      out.getvalue(), r'^ +sft +10/10 .* steps/s +0:00 left +loss 0\.123\n$'
    )

  def test_the_time_left_is_of_what_comes_after_the_compilation(self):
    out = io.StringIO()
    self.enter_context(mock.patch.object(progress, 'EVERY', 0.0))
    shown = progress.Progress('sft', 5, out=out)
    time.sleep(0.5)  # What is compiled first.
    shown.begin(1)
    time.sleep(0.02)
    shown.show(2, {})
    # Three steps of 0.02 s are left, of which nobody takes half a second.
    self.assertIn(' 0:00 left', out.getvalue())
    _, pace = out.getvalue().split('2/5')
    self.assertGreater(float(pace.split()[0]), 5.0)

  def test_of_what_is_not_known_yet_nothing_is_said(self):
    out = io.StringIO()
    self.enter_context(mock.patch.object(progress, 'EVERY', 0.0))
    shown = progress.Progress('ppo', 4, out=out)
    shown.begin(1)
    shown.show(1, {'score': 0.5})
    self.assertEqual(out.getvalue(), '          ppo     1/4  score 0.5\n')

  def test_what_is_counted_is_said(self):
    out = io.StringIO()
    progress.Progress('answers', 3, out=out, unit='prompt').show(3, {})
    self.assertIn(' prompts/s', out.getvalue())

  def test_short_work_is_not_shown_and_long_work_is(self):
    for after, lines in ((60.0, 0), (-1.0, 1)):
      out = io.StringIO()
      items = progress.track('abc', 'reading', 3, out=out, unit='record')
      with mock.patch.object(progress, 'AFTER', after):
        self.assertEqual(list(items), ['a', 'b', 'c'])
      self.assertLen(out.getvalue().splitlines(), lines)

  def test_an_item_of_several_units_counts_as_these(self):
    out = io.StringIO()
    self.enter_context(mock.patch.object(progress, 'AFTER', -1.0))
    items = progress.track('abc', 'scoring', 20, out=out, unit='pair', each=8)
    self.assertEqual(list(items), ['a', 'b', 'c'])
    self.assertRegex(out.getvalue(), r'scoring +20/20 .* pairs/s +0:00 left')

  def test_a_wait_is_told_while_it_lasts(self):
    out = io.StringIO()
    self.enter_context(mock.patch.object(progress, 'EVERY', 0.05))
    with progress.waiting('compiling ppo', out=out):
      time.sleep(0.3)
    told = out.getvalue().splitlines()
    # After 0.05, 0.15 and 0.35 s, and so on, ever less often.
    self.assertBetween(len(told), 1, 3)
    self.assertEqual(set(told), {'compiling ppo, 0 s so far'})
    time.sleep(0.1)
    self.assertLen(out.getvalue().splitlines(), len(told))


class BarsTest(parameterized.TestCase):
  def test_a_terminal_has_one_line_that_moves(self):
    out = Terminal()
    with progress.Progress('sft', 4, out=out, start=1) as shown:
      for step in (2, 3, 4):
        shown.show(step, {'loss': 1 / step})
    text = out.getvalue()
    self.assertLen(text.rstrip('\n').split('\n'), 1)
    last = text.rstrip('\n').split('\r')[-1]
    self.assertRegex(last, r'sft: 100%.* 4/4 .*loss 0\.25')

  @parameterized.parameters((24, 80), (0, 0), (0, 80), (24, 0))
  def test_a_terminal_that_says_no_size_has_its_bar(self, rows, columns):
    out, written = self.terminal(rows, columns)
    with progress.Progress('sft', 4, out=out) as shown:
      shown.show(4, {'loss': 0.125})
    self.assertRegex(written()[-1], r'sft: 100%.* 4/4 .*loss 0\.125$')

  def terminal(self, rows, columns):
    """A terminal of this size, and how to close it and read its lines."""
    ours, theirs = pty.openpty()
    self.addCleanup(os.close, ours)
    size = struct.pack('HHHH', rows, columns, 0, 0)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    out = os.fdopen(theirs, 'w')

    def written():
      out.close()
      read = b''
      with contextlib.suppress(OSError):  # Raised once all of it is read.
        while more := os.read(ours, 9999):
          read += more
      return read.decode().rstrip('\r\n').split('\r')

    return out, written

  @parameterized.parameters(
    ('sft', r'sft 8/40 '),
    ('steerlm_bootstrapped', r'steer\S*…\S*apped 8/40 '),
  )
  def test_a_narrow_terminal_has_what_matters(self, name, how_far):
    out, written = self.terminal(24, 40)
    with progress.Progress(name, 40, out=out) as shown:
      shown.begin(1)
      time.sleep(0.2)
      shown.show(8, {'loss': 0.125})
    last = written()[-1]
    self.assertRegex(last, f'^{how_far}' + r'[\d.]+/s \d\d:\d\d left')
    self.assertLess(len(last), 40)

  @parameterized.parameters(*range(40, 100, 6))
  def test_a_number_is_shown_whole_or_not_at_all(self, columns):
    numbers = ('loss 0.125', 'kl 12.3')
    out, written = self.terminal(24, columns)
    with progress.Progress('rlp_spg', 40, out=out) as shown:
      shown.show(40, {'loss': 0.125, 'kl': 12.3})
    last = written()[-1]
    _, _, behind = last.partition('left')
    whole = [', '.join(['', *numbers[:1]]), f', {"  ".join(numbers)}', '']
    self.assertIn(behind.rstrip(), whole)

  @parameterized.parameters((40, 40), (80, 80), (200, 80), (0, 80))
  def test_text_is_as_wide_as_the_terminal_and_no_wider_than_80(
    self, columns, width
  ):
    out, _ = self.terminal(24, columns)
    self.assertEqual(progress.width(out), width)
    self.assertEqual(progress.width(out, 400), columns or 400)
    for other in (io.StringIO(), Terminal()):  # A pipe; one of no known size.
      self.assertEqual(progress.width(other), 80)
    out.close()

  def test_a_narrow_terminal_says_what_it_waits_for(self):
    out, written = self.terminal(24, 40)
    with (
      progress.Progress('steerlm_bootstrapped', 800, out=out) as shown,
      shown.waiting('compiling'),
    ):
      pass
    lines = written()
    self.assertRegex('\n'.join(lines), r'(?m)^steer\S+ 0/800, compiling *$')
    self.assertNotIn('compiling', lines[-1])

  def test_what_is_said_stands_above_the_bar(self):
    out = Terminal()
    with progress.Progress('sft', 4, out=out) as shown:
      shown.show(1, {})
      progress.say('a warning', out)
      shown.show(4, {})
    self.assertIn('\ra warning\n', out.getvalue())

  def test_a_notebook_has_a_bar_and_not_a_thousand_lines(self):
    cell = nbformat.v4.new_code_cell(
      'import sys\n'
      'from rlhf_jax import progress\n'
      'with progress.Progress("sft", 500, out=sys.stdout) as shown:\n'
      '  for step in range(1, 501):\n'
      '    shown.show(step, {})\n'
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    text = ''.join(o.get('text', '') for o in notebook.cells[0].outputs)
    self.assertLen(text.rstrip('\n').split('\n'), 1)
    self.assertIn('500/500', text.split('\r')[-1])


if __name__ == '__main__':
  absltest.main()
