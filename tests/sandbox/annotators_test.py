"""Annotators against the laws that they follow."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sandbox
from rlhf_jax.sandbox import authors
from rlhf_jax.types import Message, Prompt

PROMPT = Prompt((Message('user', 'what is 6 plus 2 ? brief'),))
# Worth 1.8, 1.0 and 0 by hand, in tests/sandbox/gold_test.py.
PLAIN, RUDE, WRONG = 'it is 8 .', 'duh , 8 . stop asking .', 'it is 9 .'
COUNT = 3000


def sigmoid(x):
  return 1.0 / (1.0 + math.exp(-x))


def pairs():
  """Two demonstrators' responses to each of many prompts."""
  prompts = sandbox.prompts()
  for i in range(COUNT):
    prompt = prompts[(i * 3) % len(prompts)]
    a, b = (
      authors.compose(authors.DEMONSTRATOR, prompt, (i, side))
      for side in (0, 1)
    )
    yield prompt, a, b


def labels(annotator):
  return np.array(
    [annotator.annotate(*pair, seed=i) for i, pair in enumerate(pairs())]
  )


class AnnotatorsTest(parameterized.TestCase):
  def assert_share(self, events, probability, errors=4):
    error = math.sqrt(probability * (1.0 - probability) / len(events))
    self.assertAlmostEqual(np.mean(events), probability, delta=errors * error)

  @parameterized.parameters(
    (sandbox.Annotator(), PLAIN, WRONG, sigmoid(1.8)),
    (sandbox.Annotator(), WRONG, PLAIN, sigmoid(-1.8)),
    (sandbox.Annotator(temperature=2.0), PLAIN, WRONG, sigmoid(0.9)),
    (sandbox.Annotator(), PLAIN, RUDE, sigmoid(0.8)),
    # 4 words against 7, each thought to be worth 0.5: 0.8 − 1.5.
    (sandbox.Annotator(length_bias=0.5), PLAIN, RUDE, sigmoid(-0.7)),
    # Half of the pairs are tossed for.
    (sandbox.Annotator(flip=0.25), PLAIN, WRONG, 0.25 + 0.5 * sigmoid(1.8)),
    (sandbox.Annotator(flip=0.5), PLAIN, WRONG, 0.5),
    (sandbox.Annotator(), PLAIN, PLAIN, 0.5),
    (sandbox.Annotator(temperature=0.0), PLAIN, 'it is 8  .', 0.5),
  )
  def test_prefers_as_bradley_and_terry(self, annotator, a, b, probability):
    preferred = [annotator.annotate(PROMPT, a, b, i) for i in range(COUNT)]
    self.assert_share(preferred, probability)

  def test_ranks_as_plackett_and_luce(self):
    orders = [
      sandbox.Annotator().compare(PROMPT, (WRONG, PLAIN, RUDE), i).responses
      for i in range(COUNT)
    ]
    odds = np.exp([1.8, 1.0, 0.0])
    for text, odd in zip((PLAIN, RUDE, WRONG), odds, strict=True):
      self.assert_share([o[0] == text for o in orders], odd / odds.sum())
    # The first drawn, the rest follow among themselves.
    probability = odds[0] / odds.sum() * odds[1] / (odds[1] + odds[2])
    self.assert_share([o == (PLAIN, RUDE, WRONG) for o in orders], probability)

  def test_without_noise_follows_gold(self):
    annotator = sandbox.Annotator(temperature=0.0)
    for seed in range(20):
      comparison = annotator.compare(PROMPT, (WRONG, RUDE, PLAIN), seed)
      self.assertEqual(comparison.responses, (PLAIN, RUDE, WRONG))
      self.assertAlmostEqual(comparison.margin, 0.8, places=5)

  def test_margins_have_the_noise_in_them(self):
    # The difference of two standard Gumbel draws is logistic; above 0 here.
    margins = [
      sandbox.Annotator().compare(PROMPT, (PLAIN, 'it is 8  .'), i).margin
      for i in range(COUNT)
    ]
    self.assertGreaterEqual(min(margins), 0.0)
    # |logistic| has mean 2 log 2 and second moment π² / 3.
    mean = 2.0 * math.log(2.0)
    error = math.sqrt((math.pi**2 / 3.0 - mean**2) / COUNT)
    self.assertAlmostEqual(np.mean(margins), mean, delta=4 * error)

  def test_agrees_with_gold_on_three_pairs_in_four(self):
    worths = np.array([sandbox.gold([p, p], [a, b]) for p, a, b in pairs()])
    differ = np.abs(worths[:, 0] - worths[:, 1]) > 1e-6
    agree = labels(sandbox.Annotator()) == (worths[:, 0] > worths[:, 1])
    self.assertBetween(agree[differ].mean(), 0.70, 0.78)

  def test_flips_a_quarter(self):
    differ = labels(sandbox.Annotator()) != labels(sandbox.Annotator(flip=0.25))
    self.assert_share(differ, 0.25, errors=3)

  @parameterized.parameters(
    ({}, sigmoid(0.8)),
    ({'temperature': 2.0}, sigmoid(0.4)),
    ({'flip': 0.25}, 0.25 + 0.5 * sigmoid(0.8)),
    ({'temperature': 0.0}, 1.0),
    # The rude one has seven words and marks, the plain one four.
    ({'length_bias': 0.1}, sigmoid(0.8 - 0.3)),
  )
  def test_chances_are_those_of_its_labels(self, fields, expected):
    annotator = sandbox.Annotator(**fields)
    both = annotator.chances([PROMPT] * 2, (PLAIN, RUDE), (RUDE, PLAIN))
    np.testing.assert_allclose(both, [expected, 1.0 - expected], atol=1e-6)
    drawn = [annotator.annotate(PROMPT, PLAIN, RUDE, i) for i in range(COUNT)]
    self.assert_share(drawn, expected)

  def test_what_is_worth_the_same_is_a_coin(self):
    for temperature in (0.0, 1.0):
      annotator = sandbox.Annotator(temperature=temperature)
      self.assertEqual(annotator.chances([PROMPT], [PLAIN], [PLAIN]), [0.5])

  def test_a_label_depends_on_its_own_seed_alone(self):
    annotator = sandbox.Annotator(flip=0.1)
    some = list(pairs())[:50]
    one = [annotator.annotate(*pair, i) for i, pair in enumerate(some)]
    backwards = [annotator.annotate(*some[i], i) for i in reversed(range(50))]
    self.assertEqual(one, backwards[::-1])

  def test_refuses_what_is_no_probability(self):
    with self.assertRaisesRegex(ValueError, 'flip is 0.6'):
      sandbox.Annotator(flip=0.6)
    with self.assertRaisesRegex(ValueError, 'temperature is -1'):
      sandbox.Annotator(temperature=-1.0)


if __name__ == '__main__':
  absltest.main()
