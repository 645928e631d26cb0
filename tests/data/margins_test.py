"""Factors of margins by hand, and that a judge's scale changes no training."""

import json
import pathlib
import tempfile

import chex
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.data import collation, encoding, formats, limits, margins, sources
from rlhf_jax.learners import reward
from rlhf_jax.learners.reward import comparisons

LIMITS = limits.Limits(max_prompt_tokens=64, max_response_tokens=8)


class FactorTest(parameterized.TestCase):
  @parameterized.parameters(
    ([3.0, 4.0, 0.0, 0.0], (2 / 25) ** 0.5),  # Their mean square is 25 / 2.
    ([-2.0], 0.5),
    ([1e200, 1e200], 1e-200),
    ([0.0, 0.0], 1.0),
    ([], 1.0),
  )
  def test_the_root_mean_square_of_what_is_given_becomes_one(
    self, given, factor
  ):
    self.assertAlmostEqual(margins.standardised(given) / factor, 1.0, places=12)

  def test_the_others(self):
    self.assertEqual(margins.as_given([3.0, 4.0]), 1.0)
    self.assertEqual(margins.left_out([3.0, 4.0]), 0.0)


class ScaleTest(parameterized.TestCase):
  def corpus(self, scale, margin=margins.standardised):
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    rows = [
      {'prompt': f'question {i}', 'chosen': f'good {i}', 'rejected': 'bad'}
      | {'score_chosen': scale * (1 + i % 3), 'score_rejected': scale}
      for i in range(40)
    ]
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    (folder / 'f.jsonl').write_text(text)
    source = sources.Feedback(
      str(folder),
      sources.Files(('f.jsonl',), formats.read),
      held_out=0.3,
      vocab_size=300,
      margins=margin,
    )
    return source.load(folder)

  def batch(self, corpus, name='comparisons'):
    examples, counts = encoding.encode(
      corpus.datasets[name], corpus.tokenizer, corpus.template, LIMITS
    )
    self.assertGreater(counts.tied_scores, 0)
    pad = corpus.tokenizer.pad_id
    return collation.collate(examples, pad_id=pad, limits=LIMITS)

  @parameterized.parameters(10.0, 0.01, 100.0 / 9.0)
  def test_no_term_of_a_reward_model_changes(self, scale):
    scores = jnp.linspace(-1.0, 2.0, 80).reshape(40, 2)
    losses = []
    for factor in (1.0, scale):
      batch = self.batch(self.corpus(factor))
      chex.assert_shape(batch.tokens, (len(batch.margins), 2, None))
      terms, _ = comparisons.compared(
        scores[: len(batch.margins)], batch, config=reward.Config()
      )
      losses.append(float(terms['preference'][1].value))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    # And the margins do count: without them it is another loss.
    batch = self.batch(self.corpus(scale, margins.left_out))
    terms, _ = comparisons.compared(
      scores[: len(batch.margins)], batch, config=reward.Config()
    )
    self.assertGreater(losses[0], float(terms['preference'][1].value) + 0.1)

  def test_training_and_held_out_are_in_the_same_units(self):
    corpus = self.corpus(5.0)
    training = [c.margin for c in corpus.datasets['comparisons']]
    given = [m for m in training if m]
    self.assertAlmostEqual(np.mean(np.square(given)), 1.0, places=6)
    held_out = {c.margin for c in corpus.datasets['test_comparisons']}
    self.assertContainsSubset(held_out, set(training))
    # Scores, which others read, are as they were given.
    scores = {c.scores[0] for c in corpus.datasets['comparisons']}
    self.assertEqual(scores, {5.0, 10.0, 15.0})
    self.assertIn('margins are multiplied by', corpus.notes[-1])

  def test_the_smallest_margins_have_a_finite_factor(self):
    self.assertTrue(np.isfinite(margins.standardised([1e-320, 5e-324])))

  def test_others_by_name(self):
    for margin, expected in (
      (margins.as_given, {0.0, 5.0, 10.0}),
      (margins.left_out, {0.0}),
    ):
      datasets = self.corpus(5.0, margin).datasets
      found = {c.margin for c in datasets['comparisons']}
      self.assertEqual(found, expected)


if __name__ == '__main__':
  absltest.main()
