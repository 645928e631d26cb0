"""Functions that a config takes: whether they can be called as it asks."""

import functools
import math
import os

from absl.testing import absltest, parameterized

from rlhf_jax.losses import pairwise
from rlhf_jax.types import calls


def two(a, b):
  return a, b


def counted(a, b, *, count, more=0):
  return a, b, count, more


def anything(*args, **kwargs):
  return args, kwargs


class CalledTest(parameterized.TestCase):
  @parameterized.parameters(
    (two, calls.Called(2)),
    (anything, calls.Called(7, ('count',))),
    (counted, calls.Called(2, ('count',))),
    (functools.partial(counted, count=1), calls.Called(2)),
    (functools.partial(two, 1), calls.Called(1)),
    (math.sqrt, calls.Called(1)),
  )
  def test_what_can_be_called_so(self, function, rule):
    given = dict.fromkeys(rule.keywords, 1)
    function(*[1] * rule.positional, **given)  # It can.
    self.assertIsNone(rule.complaint(function))

  @parameterized.parameters(
    (two, calls.Called(1), r'two, which takes \(a, b\); it is called with 1 a'),
    (two, calls.Called(2, ('count',)), 'with 2 arguments and count by name'),
    (os.getcwd, calls.Called(2), 'getcwd, which takes .*; it is called with 2'),
    (counted, calls.Called(2), r'needs count: bind it, .*\(counted, count=…\)'),
  )
  def test_what_cannot(self, function, rule, message):
    given = dict.fromkeys(rule.keywords, 1)
    with self.assertRaises(TypeError):
      function(*[1] * rule.positional, **given)
    self.assertRegex(rule.complaint(function), message)

  def test_what_does_not_say(self):
    self.assertIn('does not say how', calls.Called(2).complaint(max))


class ReadsTest(absltest.TestCase):
  def test_names_are_among_those_offered(self):
    dpo = functools.partial(pairwise.dpo, beta=0.1)
    names = (
      'policy_chosen_logps',
      'policy_rejected_logps',
      'reference_chosen_logps',
      'reference_rejected_logps',
    )
    self.assertIsNone(calls.Reads(names).complaint(dpo))
    self.assertRegex(
      calls.Reads(names[:3]).complaint(dpo),
      'dpo, which reads reference_rejected_logps by name; there are policy_ch',
    )
    self.assertRegex(
      calls.Reads(names).complaint(pairwise.dpo), 'dpo, which needs beta: bind'
    )
    self.assertRegex(calls.Reads(names).complaint(os.getcwd), 'reads nothing')


if __name__ == '__main__':
  absltest.main()
