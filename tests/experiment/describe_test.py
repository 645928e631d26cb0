"""Descriptions, digests, and the version of the code behind them."""

import dataclasses
import functools
import importlib.util
import pathlib
import sys
import tempfile
import textwrap

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.experiment import describe
from rlhf_jax.kernels import divergences, masking


@dataclasses.dataclass(frozen=True)
class Config:
  coef: float = 0.5
  reduction: object = masking.token_mean
  sizes: tuple[int, ...] = (1, 2)


class DescribeTest(parameterized.TestCase):
  def test_says_what_a_config_says(self):
    self.assertEqual(
      describe.describe(Config()),
      {
        'type': f'{__name__}.Config',
        'coef': 0.5,
        'reduction': 'rlhf_jax.kernels.masking.token_mean',
        'sizes': [1, 2],
      },
    )

  def test_bound_arguments_count(self):
    one = functools.partial(masking.fixed_length, length=3)
    two = functools.partial(masking.fixed_length, length=4)
    self.assertNotEqual(
      describe.digest(describe.describe(one)),
      describe.digest(describe.describe(two)),
    )

  def test_an_array_is_refused(self):
    with self.assertRaisesRegex(TypeError, 'a config cannot hold'):
      describe.describe({'x': np.zeros(3)})

  def test_flat_names_are_those_of_overrides(self):
    flat = describe.flatten(describe.describe({'a': Config(), 'b': []}))
    self.assertEqual(flat['a.coef'], 0.5)
    self.assertEqual(flat['a.sizes.1'], 2)
    self.assertEqual(flat['b'], [])


class CodeVersionTest(absltest.TestCase):
  def version(self, helper, main='import inner_helper\n'):
    """Of a module that imports another, both written to a folder."""
    with tempfile.TemporaryDirectory() as folder:
      for name, text in (('inner_helper', helper), ('outer_main', main)):
        path = pathlib.Path(folder, f'{name}.py')
        path.write_text(textwrap.dedent(text))
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
      return describe.code_version({'f': 'outer_main.f'})

  def tearDown(self):
    super().tearDown()
    for name in ('inner_helper', 'outer_main'):
      sys.modules.pop(name, None)

  def test_changes_with_what_is_imported(self):
    self.assertNotEqual(self.version('X = 1\n'), self.version('X = 2\n'))

  def test_words_and_layout_do_not_count(self):
    plain = self.version('def f(x):\n  return x + 1\n')
    told = self.version(
      '"""About."""\n\n\ndef f(x):\n  """Adds."""\n'
      '  # Why.\n  return (x\n          + 1)\n'
    )
    self.assertEqual(plain, told)

  def test_covers_what_a_named_function_rests_on(self):
    seen = []
    original = describe._imported

    def spy(tree):
      found = list(original(tree))
      seen.extend(found)
      return found

    describe._imported = spy
    try:
      describe.code_version(
        describe.describe({'f': divergences.k1, 'g': masking.token_mean})
      )
    finally:
      describe._imported = original
    self.assertIn('rlhf_jax.types', seen)


if __name__ == '__main__':
  absltest.main()
