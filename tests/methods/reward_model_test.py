"""The reward model's loss, margins of the data included."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.data import templates, tokens
from rlhf_jax.data.collation import collate
from rlhf_jax.data.encoding import encode
from rlhf_jax.data.limits import Limits
from rlhf_jax.methods import reward_model
from rlhf_jax.types import Comparison, Models
from tests import toy
from tests.methods.bench import prompt


class MarginTest(parameterized.TestCase):
  @parameterized.parameters((0.0, 0.3711), (1 / 3, 0.4868), (1.0, 0.7981))
  def test_a_comparison_s_margin_reaches_the_loss(self, margin, expected):
    # Scores of 1.0 and 0.2, of the words that the two responses are.
    comparison = Comparison(prompt('0'), ('a', 'b'), margin=margin)
    limits = Limits(max_prompt_tokens=2, max_response_tokens=2)
    tokenizer = tokens.word_level(('0', 'a', 'b'))
    examples, _ = encode([comparison], tokenizer, templates.PLAIN, limits)
    batch = collate(examples, pad_id=tokenizer.pad_id, limits=limits)
    worths = np.zeros((tokenizer.vocab_size, 1), np.float32)
    worths[tokenizer.encode('a')], worths[tokenizer.encode('b')] = 1.0, 0.2

    def scores(params, tokens, attention_mask):
      read = jnp.where(attention_mask[..., None], params[tokens], 0.0)
      return jnp.sum(read, axis=1)

    terms, _ = reward_model.loss(
      jnp.asarray(worths),
      {},
      batch,
      jax.random.key(0),
      models=Models(reward=toy.SCALAR._replace(scores=scores)),
      config=reward_model.Config(steps=1),
    )
    _, mean = terms['preference']
    self.assertAlmostEqual(float(mean.value), expected, places=4)


if __name__ == '__main__':
  absltest.main()
