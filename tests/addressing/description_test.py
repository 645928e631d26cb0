"""Descriptions of configs, and their digests."""

import dataclasses
import functools
import tempfile

import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import addressing
from rlhf_jax.kernels import masking


@dataclasses.dataclass(frozen=True)
class Config:
  coef: float = 0.5
  reduction: object = masking.token_mean
  sizes: tuple[int, ...] = (1, 2)


class Scorer:
  def __init__(self, scale):
    self.scale = scale

  def __call__(self, prompts, responses):
    return [self.scale for _ in responses]


class Index:
  def __init__(self, path):
    self.path, self.opened = path, object()

  def fingerprint(self):
    return self.path


class DescribeTest(parameterized.TestCase):
  def test_says_what_a_config_says(self):
    self.assertEqual(
      addressing.describe(Config()),
      {
        'type': f'{__name__}.Config',
        'coef': 0.5,
        'reduction': 'rlhf_jax.kernels.masking.token_mean',
        'sizes': [1, 2],
      },
    )

  def test_functions_are_said_as_asked(self):
    said = addressing.describe(Config(), lambda thing: thing.__name__.upper())
    self.assertEqual(said['type'], 'CONFIG')
    self.assertEqual(said['reduction'], 'TOKEN_MEAN')

  @parameterized.parameters(
    (functools.partial(masking.fixed_length, length=3),
     functools.partial(masking.fixed_length, length=4)),
    (Scorer(1.0), Scorer(2.0)),
    (Scorer(1.0).__call__, Scorer(2.0).__call__),
    (np.zeros(3), np.array([0.0, 0.0, 1.0])),
    (np.zeros(3), np.zeros(3, np.float32)),
    (jnp.zeros(4), jnp.zeros((2, 2))),
    (jnp.maximum, jnp.minimum),
    (np.add, np.subtract),
    ({1, 2}, {1, 3}),
    ({'a': 1}.get, {'a': 2}.get),
    ('a'.join, 'b'.join),
    (Index('a'), Index('b')),
  )  # fmt: skip
  def test_what_differs_has_another_digest(self, one, other):
    digests = [addressing.digest(addressing.describe(x)) for x in (one, other)]
    self.assertNotEqual(*digests)

  def test_an_open_file_is_refused(self):
    with (
      tempfile.TemporaryFile() as file,
      self.assertRaisesRegex(TypeError, 'a config cannot hold'),
    ):
      addressing.describe({'x': file})

  def test_flat_names_are_those_of_overrides(self):
    flat = addressing.flatten(addressing.describe({'a': Config(), 'b': []}))
    self.assertEqual(flat['a.coef'], 0.5)
    self.assertEqual(flat['a.sizes.1'], 2)
    self.assertEqual(flat['b'], [])


if __name__ == '__main__':
  absltest.main()
