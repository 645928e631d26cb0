"""Impossible sizes are refused in one sentence."""

import dataclasses

from absl.testing import absltest, parameterized

from rlhf_jax.models import presets

SANDBOX = presets.sandbox(11)


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    ({'layers': 0}, 'layers is 0; it must be in .1, '),
    ({'vocab_size': -3}, 'vocab_size is -3; it must be in .1, '),
    ({'kv_heads': 3}, 'kv_heads is 3; it must divide heads, 4'),
    ({'head_width': 3}, 'head_width must be even'),
    ({'rope_base': 1.0}, 'rope_base is 1.0; it must be above 1'),
    ({'logit_softcap': 0.0}, 'logit_softcap is 0.0; it must be above 0'),
    ({'compute_dtype': 'float16'}, 'compute_dtype must be float32 or'),
  )
  def test_refuses_impossible_sizes(self, change, message):
    with self.assertRaisesRegex(ValueError, message):
      dataclasses.replace(SANDBOX, **change)


if __name__ == '__main__':
  absltest.main()
