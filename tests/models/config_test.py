"""Impossible sizes are refused in one sentence."""

import dataclasses

from absl.testing import absltest, parameterized

from rlhf_jax.models import presets
from rlhf_jax.models.config import Local
from rlhf_jax.models.rotary import Rotary

SANDBOX = presets.sandbox(11)


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    ({'layers': 0}, 'layers is 0; it must be in .1, '),
    ({'vocab_size': -3}, 'vocab_size is -3; it must be in .1, '),
    ({'kv_heads': 3}, 'kv_heads is 3; it must divide heads, 4'),
    ({'head_width': 3}, 'head_width must be even'),
    ({'rotary': Rotary(width=32)}, 'rotary.width must be .* got 32'),
    ({'local': Local(window=2, layers=(True,))}, 'of 1 layers'),
    (
      {'local': Local(window=2, layers=(True, False), rotary=Rotary(width=2))},
      'must turn as much of a head',
    ),
    ({'param_dtype': 'float16'}, 'param_dtype must be float32 or'),
    ({'logit_softcap': 0.0}, 'logit_softcap is 0.0; it must be above 0'),
    ({'compute_dtype': 'float16'}, 'compute_dtype must be float32 or'),
  )
  def test_refuses_impossible_sizes(self, change, message):
    with self.assertRaisesRegex(ValueError, message):
      dataclasses.replace(SANDBOX, **change)

  def test_refuses_an_impossible_base(self):
    with self.assertRaisesRegex(ValueError, 'base is 1.0; it must be above 1'):
      Rotary(base=1.0)


if __name__ == '__main__':
  absltest.main()
