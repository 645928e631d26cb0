"""The reward model's loss, margins of the data included."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.data import templates, tokens
from rlhf_jax.data.collation import collate
from rlhf_jax.data.encoding import encode
from rlhf_jax.data.limits import Limits
from rlhf_jax.learners import reward
from rlhf_jax.losses import pairwise
from rlhf_jax.methods import reward_model
from rlhf_jax.types import Comparison, Models
from tests import toy
from tests.learners import definitions, tables
from tests.methods.fake_queries import prompt


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
      {'reward': jnp.asarray(worths)},
      {},
      batch,
      jax.random.key(0),
      models=Models(reward=toy.SCALAR._replace(scores=scores)),
      config=reward_model.Config(steps=1),
    )
    _, mean = terms['preference']
    self.assertAlmostEqual(float(mean.value), expected, places=4)


def probe(margins, rejected_scores, chosen_scores):
  """Reads each argument in a way of its own, by its name; numpy or jax."""
  return (
    0.3 * chosen_scores**2
    - 0.2 * rejected_scores
    + 0.7 * margins * rejected_scores
  )


def bradley_terry_of(chosen_scores, rejected_scores, margins):
  return definitions.softplus(-(chosen_scores - rejected_scores - margins))


def scaled_of(chosen_scores, rejected_scores, margins):
  return margins * definitions.softplus(rejected_scores - chosen_scores)


def unread_of(chosen_scores, rejected_scores, margins):
  del margins  # A number is bound in their place.
  return definitions.softplus(-(chosen_scores - rejected_scores - 0.6))


# The settings, and the objective by definition.
TABLE = {
  'defaults': ({}, bradley_terry_of),
  'centering': ({'centering': 0.3}, bradley_terry_of),
  'objective': ({'objective': probe}, probe),
  'scaled': ({'objective': pairwise.scaled_bradley_terry}, scaled_of),
  'bound': (
    {'objective': functools.partial(pairwise.bradley_terry, margins=0.6)},
    unread_of,
  ),
  'all': ({'centering': 0.3, 'objective': probe, 'micro_batches': 3}, probe),
}
KERNEL = np.array([[0.4], [-0.7], [0.9], [5.0]])


class TableTest(parameterized.TestCase):
  """Every setting, on ragged prompts, by counts of tokens."""

  @parameterized.parameters(*TABLE)
  def test_an_update_is_by_definition(self, name):
    options, objective = TABLE[name]
    config = reward.Config(**options)
    grads, metrics, _ = tables.updated(
      reward_model,
      config,
      tables.batch(),
      params={'reward': {'head': {'kernel': tables.float32(KERNEL)}}},
      frozen={},
    )

    def definition(kernel):
      return definitions.compared(
        kernel[:, 0],
        tables.HEADS,
        tables.LISTS,
        objective,
        weight=tables.WEIGHT,
        margins=tables.MARGINS,
        centering=options.get('centering', 0.0),
      )

    tables.hold(
      self,
      (grads['reward']['head']['kernel'], metrics),
      definition(KERNEL),
      definitions.slope(
        lambda moved: definitions.objective_of(definition(moved)[0]),
        KERNEL,
        np.ones_like(KERNEL),
      ),
    )

  def test_every_setting_is_here(self):
    configs = [reward.Config(**options) for options, _ in TABLE.values()]
    tables.every_field_is_moved(self, reward.Config, configs)


if __name__ == '__main__':
  absltest.main()
