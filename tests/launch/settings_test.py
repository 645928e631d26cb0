"""What can be set is listed whole, with defaults and sentences."""

import contextlib
import dataclasses
import functools
import io
import pathlib
from collections.abc import Callable

from absl.testing import absltest

from launch import settings, train

ROOT = pathlib.Path(__file__).parents[2]


def scaled(x, *, factor, shift=0.0):
  """Scales.

  Args:
    x: what is scaled.
    factor: by how much,
      every time.
    shift: what is added.
  """
  return factor * x + shift


@dataclasses.dataclass(frozen=True)
class Base:
  """A base.

  Attributes:
    first, second: two that
      share a sentence.
  """

  first: int = 1
  second: int = 2


@dataclasses.dataclass(frozen=True)
class Config(Base):
  """A config.

  Attributes:
    scale: a function: of x.
    inner: more of it.

  Source: nobody: it is made up.
  """

  scale: functools.partial = functools.partial(scaled, factor=2.0)
  inner: Base = Base(second=5)


@dataclasses.dataclass(frozen=True)
class Judge:
  """A judge.

  Attributes:
    temperature: of its verdicts.
  """

  temperature: float = 0.5

  def better(self, prompts):
    return prompts


@dataclasses.dataclass(frozen=True)
class Judged:
  """What has parts.

  Attributes:
    sizes: of both.
    judge: who decides.
  """

  sizes: tuple = (1, 2)
  judge: Callable = Judge().better


class ListedTest(absltest.TestCase):
  def test_a_part_has_its_own_sentence_or_that_of_the_whole(self):
    found = settings.listed(Judged(), Judged())
    said = {s.name: s.sentence for s in found}
    self.assertEqual(said['sizes.1'], 'of sizes: of both.')
    self.assertEqual(said['judge.of.temperature'], 'of its verdicts.')
    self.assertEqual(said['judge.method'], 'of judge: who decides.')

  def test_names_values_defaults_and_sentences(self):
    found = settings.listed(Config(inner=Base(second=7)), Config())
    lines = {s.name: s.line for s in found if not s.name.endswith('type')}
    module = scaled.__module__
    self.assertEqual(
      lines,
      {
        'first': 'first = 1  # two that share a sentence.',
        'second': 'second = 2  # two that share a sentence.',
        'scale.function': f'scale.function = "{module}.scaled"'
        '  # a function: of x.',
        'scale.factor': 'scale.factor = 2.0  # by how much, every time.',
        'inner.first': 'inner.first = 1  # two that share a sentence.',
        'inner.second': 'inner.second = 7'
        '  # default: 5; two that share a sentence.',
      },
    )

  def test_help_of_a_file_lists_its_settings(self):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), self.assertRaises(SystemExit) as e:
      train.parse([str(ROOT / 'experiments/rlhf/sandbox.py'), '--help'])
    self.assertEqual(e.exception.code, 0)
    text = ' '.join(out.getvalue().split())
    self.assertIn('--set kl_coef=0.05 penalty per nat of KL to SFT.', text)
    self.assertIn('--print-config', text)

  def test_help_of_a_file_that_is_not_there_says_so(self):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), self.assertRaises(SystemExit):
      train.parse(['--help', 'experiments/rlhf/sandbx.py'])
    self.assertIn('there is no experiment experiments', out.getvalue())


if __name__ == '__main__':
  absltest.main()
