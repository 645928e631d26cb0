"""What batches say of themselves."""

import numpy as np
from absl.testing import absltest

from rlhf_jax.types import Demonstrations, Prompts, WithExtra, padding


def demonstrations(lengths, columns):
  mask = np.arange(columns) < np.array(lengths)[:, None]
  return Demonstrations(
    tokens=np.zeros(mask.shape, np.int32),
    attention_mask=mask,
    response_mask=mask,
  )


class PaddingTest(absltest.TestCase):
  def test_share_of_empty_places(self):
    (share,) = padding(demonstrations([3, 1, 4], 5)).values()
    self.assertAlmostEqual(float(share.value), 7 / 15, places=6)

  def test_all_of_a_batch_and_what_is_beside_it(self):
    mask = np.ones((1, 4), bool)
    prompts = Prompts(tokens=mask, attention_mask=mask, index=np.array([0]))
    both = WithExtra(demonstrations([2], 4), prompts)
    self.assertAlmostEqual(float(padding(both)['padding'].value), 2 / 8)

  def test_a_batch_without_tokens_has_none(self):
    self.assertEqual(padding(np.float32(1.0)), {})


if __name__ == '__main__':
  absltest.main()
