"""Rotary embeddings, by the angles that they are to turn by."""

import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from rlhf_jax.models import rotary
from rlhf_jax.models.rotary import Rotary


class RotaryTest(absltest.TestCase):
  def turn(self, x, position):
    turns = rotary.turns(jnp.array([position]), Rotary(base=100.0), x.shape[-1])
    return np.asarray(rotary.rotate(x[None, None], turns))[0, 0]

  def test_pairs_turn_by_their_angles(self):
    x = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    for position in (0, 1, 7):
      expected = np.zeros(4)
      for i, rate in enumerate((1.0, 100.0**-0.5)):  # base^(-2i / d)
        turned = (x[i] + 1j * x[i + 2]) * np.exp(1j * position * rate)
        expected[i], expected[i + 2] = turned.real, turned.imag
      np.testing.assert_allclose(self.turn(x, position), expected, atol=1e-5)

  def test_what_is_beyond_the_width_stays(self):
    x = np.arange(1.0, 7.0, dtype=np.float32)
    whole = self.turn(x[:4], 3)
    part = Rotary(base=100.0, width=4)
    turns = rotary.turns(jnp.array([3]), part, 6)
    actual = np.asarray(rotary.rotate(x[None, None], turns))[0, 0]
    np.testing.assert_allclose(actual, [*whole, 5.0, 6.0], rtol=1e-6)

  def test_products_depend_on_the_distance_alone(self):
    draw = np.random.default_rng(1)
    query, key = draw.normal(size=(2, 8)).astype(np.float32)
    near = self.turn(query, 5) @ self.turn(key, 3)
    far = self.turn(query, 105) @ self.turn(key, 103)
    other = self.turn(query, 5) @ self.turn(key, 2)
    np.testing.assert_allclose(near, far, atol=1e-4)
    self.assertGreater(abs(near - other), 1e-2)


if __name__ == '__main__':
  absltest.main()
