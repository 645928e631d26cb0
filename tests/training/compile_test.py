"""Numbers of a config are traced; everything else of it is static."""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
from absl.testing import absltest, parameterized

from rlhf_jax.training.compile import jitted, join_config, split_config


@flax.struct.dataclass
class Cuts:
  top_p: float | None = None


@dataclasses.dataclass(frozen=True)
class Inner:
  rate: float = 0.5


@dataclasses.dataclass(frozen=True)
class Config:
  coef: float
  size: int = 2
  shape: object = jnp.tanh
  inner: Inner = Inner()
  cuts: Cuts = Cuts()

  def __post_init__(self):
    if self.coef <= 0:
      raise ValueError('coef must be positive')


class CompileTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.traces = 0

    def function(x, *, config, factor):
      self.traces += 1
      y = config.shape(config.coef * x) * config.inner.rate * factor
      return y if config.cuts.top_p is None else y + config.cuts.top_p

    self.call = jitted(function)

  def test_values_do_not_recompile(self):
    x = jnp.array(0.3)
    for coef in (1.0, 2.0, 3.0):
      for rate in (0.5, 0.25):
        config = Config(coef, inner=Inner(rate))
        self.assertAlmostEqual(
          self.call(x, config=config, factor=2),
          float(jnp.tanh(coef * 0.3)) * rate * 2,
          places=6,
        )
    self.assertEqual(self.traces, 1)

  def test_what_is_not_a_number_does(self):
    x = jnp.array(0.3)
    self.call(x, config=Config(1.0), factor=1)
    self.call(x, config=Config(1.0, size=3), factor=1)
    self.call(x, config=Config(1.0, shape=jnp.sin), factor=1)
    self.call(x, config=Config(1.0, cuts=Cuts(0.9)), factor=1)
    self.assertEqual(self.traces, 4)
    self.call(x, config=Config(1.0, cuts=Cuts(0.8)), factor=1)
    self.assertEqual(self.traces, 4)

  def test_splitting_and_joining_is_the_identity(self):
    config = Config(2.0, inner=Inner(0.125), cuts=Cuts(0.75))
    blank, values = split_config(config)
    self.assertIsNone(blank.coef)
    self.assertEqual(set(values), {('coef',), ('inner', 'rate'), ('cuts',)})
    self.assertEqual(join_config(blank, values), config)

  def test_a_config_can_be_vmapped(self):
    coefs = jnp.array([1.0, 2.0])
    many = jax.vmap(
      lambda coef: self.call(
        jnp.array(0.3),
        config=join_config(Config(1.0), {('coef',): coef}),
        factor=1,
      )
    )(coefs)
    for coef, value in zip(coefs, many, strict=True):
      self.assertAlmostEqual(value, 0.5 * jnp.tanh(coef * 0.3), places=6)

  def test_a_function_is_compiled_once_for_all_callers(self):
    self.assertIs(jitted(_noop), jitted(_noop))
    self.assertIsNot(jitted(_noop), jitted(_noop, donate=(0,)))


def _noop(x, *, config):
  del config
  return x


if __name__ == '__main__':
  absltest.main()
