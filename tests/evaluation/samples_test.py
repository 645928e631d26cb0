"""Rows of samples: what is refused, and which rows are the same prompt."""

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import samples
from rlhf_jax.types import Message, Prompt


def prompt(text, **where):
  return Prompt((Message('user', text),), **where)


def policy(name, texts, **fields):
  fields = {
    'responses': ['yes'] * len(texts),
    'lengths': np.ones(len(texts)),
    'ended': np.ones(len(texts), bool),
  } | fields
  return samples.PolicySamples(
    name=name, prompts=[prompt(text) for text in texts], **fields
  )


class SamplesTest(parameterized.TestCase):
  def test_prompts_group_by_their_messages(self):
    prompts = [
      prompt('b', where='file:1'),
      prompt('a'),
      prompt('b', kind='other', where='file:2'),
      prompt('c'),
      prompt('a'),
    ]
    np.testing.assert_array_equal(
      samples.prompt_groups(prompts), [0, 1, 0, 2, 1]
    )

  @parameterized.parameters(
    {'responses': ['one']},
    {'lengths': np.ones(3)},
    {'gold': np.ones((2, 1))},
    {'kl': np.float32(1.0)},
  )
  def test_refuses_fields_of_another_length(self, **field):
    with self.assertRaisesRegex(ValueError, "'sft': .* for 2 prompts"):
      policy('sft', ['a', 'b'], **field)

  def test_refuses_no_samples(self):
    with self.assertRaisesRegex(ValueError, 'no samples'):
      policy('sft', [])

  @parameterized.parameters((['a', 'c'],), (['b', 'a'],), (['a', 'b', 'b'],))
  def test_refuses_other_prompts(self, texts):
    with self.assertRaisesRegex(ValueError, "'sft' and 'ppo' answered diff"):
      samples.check_aligned(policy('sft', ['a', 'b']), policy('ppo', texts))


if __name__ == '__main__':
  absltest.main()
