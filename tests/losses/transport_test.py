"""AOT: what sorting does and does not care about.

The equations are in preference_table_test.
"""

import functools

import chex
import numpy as np
from absl.testing import parameterized

from rlhf_jax.losses import objective, pairwise
from rlhf_jax.losses.pairwise import transport


def aot_unpaired(
  chosen, rejected, reference_chosen, reference_rejected, **more
):
  """By the arguments of `aot`."""
  return transport.aot_unpaired(
    chosen - reference_chosen, rejected - reference_rejected, **more
  )


BOTH = ((transport.aot,), (aot_unpaired,))


def draw(shape=(6,)):
  random = np.random.default_rng(0)
  return [
    (-9.0 + random.normal(size=shape)).astype(np.float32) for _ in range(4)
  ]


class AotTest(chex.TestCase):
  @parameterized.parameters(*BOTH)
  def test_one_pair_is_dpo(self, aot):
    pair = [x[:1] for x in draw()]
    np.testing.assert_allclose(
      aot(*pair, beta=0.3, label_smoothing=0.1),
      pairwise.dpo(*pair, beta=0.3, label_smoothing=0.1),
      rtol=1e-6,
    )

  @parameterized.parameters(*BOTH)
  def test_does_not_see_the_order_of_the_batch(self, aot):
    pairs, order = draw(), np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_allclose(
      aot(*pairs, beta=0.3), aot(*[x[order] for x in pairs], beta=0.3)
    )

  def test_unpaired_does_not_see_who_was_compared_with_whom(self):
    chosen, rejected, reference_chosen, reference_rejected = draw()
    order = np.array([3, 0, 5, 1, 4, 2])
    other = chosen, rejected[order], reference_chosen, reference_rejected[order]
    plain = aot_unpaired(*draw(), beta=0.3)
    np.testing.assert_allclose(plain, aot_unpaired(*other, beta=0.3), rtol=1e-6)
    paired = transport.aot(*draw(), beta=0.3)
    self.assertGreater(
      np.abs(paired - transport.aot(*other, beta=0.3)).max(), 1e-3
    )

  @parameterized.parameters(*BOTH)
  def test_sorts_the_last_axis_alone(self, aot):
    batches = draw((2, 6))
    together = aot(*batches, beta=0.3)
    for row in range(2):
      alone = aot(*[x[row] for x in batches], beta=0.3)
      np.testing.assert_allclose(together[row], alone, rtol=1e-6)

  @parameterized.parameters(transport.aot, transport.aot_unpaired)
  def test_refuses_to_be_cut(self, aot):
    bound = functools.partial(aot, beta=0.3)
    objective.refuse_parts(bound, 1)
    with self.assertRaisesRegex(ValueError, 'micro_batches to 1'):
      objective.refuse_parts(bound, 2)
