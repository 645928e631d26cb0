"""What counts as the code of a function, and what does not."""

import functools
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import types

import jax
from absl.testing import absltest, parameterized

from rlhf_jax.addressing import Code, NoSourceError
from rlhf_jax.kernels import masking

MAIN = """
import functools
import json

import inner_part
from inner_part import deep, halve as half

BASE = 2
TABLE = {}
TABLE['a'] = 1


def f(x):
  return helper(x) + half(x)


def helper(x):
  return x * BASE + inner_part.double(x)


def by_table(x):
  return TABLE[x]


def imports_inside(x):
  from inner_part import late

  return late(x)


def handed(x):
  return apply(x, inner_part)


def apply(x, module):
  return getattr(module, 'double')(x)


class Thing(inner_part.Base):
  def value(self):
    return helper(1)


def alone(x):
  return json.dumps(x)


def unused(x):
  return 3
"""
INNER = """
SCALE = 3
LATE = 4


class Base:
  def other(self):
    return SCALE


def double(x):
  return 2 * x


def halve(x):
  return deep(x) / 2


def deep(x):
  return x - SCALE


def late(x):
  return LATE
"""
NAMES = ('f', 'by_table', 'imports_inside', 'handed', 'Thing', 'alone')


def scaled(factor):
  def inner(x):
    return factor * x

  return inner


def applying(function):
  return lambda x: function(x)


def of_module(module):
  def inner(x):
    return module.token_mean(x, x)

  return inner


def counting(n):
  return counting(n - 1) if n else 0


def with_default(value):
  def inner(x=value):
    return x

  return inner


class CodeTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def tearDown(self):
    super().tearDown()
    for name in ('inner_part', 'outer_part'):
      sys.modules.pop(name, None)

  def names(self, main=MAIN, inner=INNER, as_name='outer_part'):
    """{name: what is said of it} in a module that imports another."""
    found = {}
    for name, file, text in (
      ('inner_part', 'inner_part', inner),
      (as_name, 'outer_part', main),
    ):
      path = self.folder / f'{file}.py'
      path.write_text(textwrap.dedent(text))
      spec = importlib.util.spec_from_file_location(name, path)
      module = importlib.util.module_from_spec(spec)
      sys.modules[name] = module
      self.addCleanup(sys.modules.pop, name, None)
      spec.loader.exec_module(module)
    code = Code()
    for name in NAMES:
      found[name] = code.name(getattr(module, name))
    return found

  @parameterized.parameters(
    ('main', 'BASE = 2', 'BASE = 3', {'f', 'Thing'}),
    ('main', "['a'] = 1", "['a'] = 2", {'by_table'}),
    ('main', 'return 3', 'return 4', set()),
    ('main', 'import json', 'import json\nimport math', set()),
    ('inner', 'return 2 * x', 'return x + x', {'f', 'Thing', 'handed'}),
    ('inner', 'SCALE = 3', 'SCALE = 5', {'f', 'Thing', 'handed'}),
    ('inner', 'LATE = 4', 'LATE = 5', {'imports_inside', 'handed'}),
    ('inner', 'return deep', '"""Half of it."""\n  # Why.\n  return deep',
     set()),
    ('inner', 'deep(x) / 2', '(\n    deep(x) / 2\n  )', set()),
  )  # fmt: skip
  def test_an_edit_counts_where_it_is_reached(self, where, old, new, expected):
    before = self.names()
    texts = {'main': MAIN, 'inner': INNER}
    self.assertEqual(texts[where].count(old), 1)
    texts[where] = texts[where].replace(old, new)
    after = self.names(**texts)
    changed = {name for name in NAMES if before[name] != after[name]}
    self.assertEqual(changed, expected)

  def test_the_modules_name_does_not_count(self):
    self.assertEqual(self.names(), self.names(as_name='another_name'))

  @parameterized.parameters(
    (scaled(0.1), scaled(0.7)),
    (lambda x: x, lambda x: 2 * x),
    (with_default(1), with_default(2)),
    (applying(scaled(1.0)), applying(scaled(2.0))),
    (jax.jit(scaled(0.1)), jax.jit(scaled(0.7))),
    (functools.partial(scaled(1.0), 2), functools.partial(scaled(1.0), 3)),
    (max, min),
    ({'a': scaled(1.0)}.get, {'a': scaled(2.0)}.get),
    (of_module(masking), of_module(types)),
    (counting, scaled),
  )
  def test_two_that_differ_are_told_apart(self, one, other):
    code = Code()
    self.assertNotEqual(code.describe(one), code.describe(other))

  @parameterized.parameters(
    lambda: scaled(0.1),
    lambda: applying(scaled(1.0)),
    lambda: jax.jit(scaled(0.1)),
    lambda: with_default(3),
  )
  def test_two_that_are_made_alike_are_the_same(self, make):
    self.assertEqual(Code().describe(make()), Code().describe(make()))

  def test_an_installed_package_is_a_name(self):
    self.assertEqual(Code().name(jax.nn.relu), 'jax._src.nn.functions.relu')

  def test_code_without_source_is_refused(self):
    space = {'__name__': 'nowhere'}
    exec('def typed(x):\n  return x', space)
    with self.assertRaisesRegex(
      NoSourceError, 'typed has no source, so that nothing tells it from'
    ):
      Code().name(space['typed'])

  def test_a_program_read_from_standard_input_is_refused(self):
    program = (
      'from rlhf_jax.addressing import Code\n'
      'def mine(x):\n  return x\n'
      'Code().name(mine)\n'
    )
    ended = subprocess.run(
      [sys.executable, '-'], input=program, capture_output=True, text=True
    )
    self.assertIn('__main__.mine has no source', ended.stderr)

  def test_a_script_and_a_module_are_the_same(self):
    path = self.folder / 'shared_part.py'
    path.write_text(
      'FACTOR = 2\n\n\ndef mine(x):\n  return FACTOR * x\n\n\n'
      'if __name__ == "__main__":\n'
      '  from rlhf_jax.addressing import Code\n'
      '  print(Code().name(mine))\n'
    )
    run = subprocess.run(
      [sys.executable, str(path)], capture_output=True, text=True, check=True
    )
    spec = importlib.util.spec_from_file_location('another_name', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules['another_name'] = module
    self.addCleanup(sys.modules.pop, 'another_name')
    spec.loader.exec_module(module)
    self.assertEqual(Code().name(module.mine), run.stdout.strip())

  def test_a_value_that_nothing_tells_apart_is_refused(self):
    space = {'__name__': '__main__', 'opened': object()}
    path = self.folder / 'cell.py'
    path.write_text('def reads(x):\n  return opened, x\n')
    exec(compile(path.read_text(), str(path), 'exec'), space)
    space['reads'].__module__ = 'no_such_module'
    with self.assertRaisesRegex(
      NoSourceError, 'reads reads opened, a object, whose content nothing tells'
    ):
      Code().name(space['reads'])


if __name__ == '__main__':
  absltest.main()
