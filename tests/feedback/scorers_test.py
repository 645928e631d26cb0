"""Scores of rollouts, worked by hand on the toy policy."""

import jax
import numpy as np
from absl.testing import absltest

from rlhf_jax.feedback import scorers
from rlhf_jax.types import Message, Prompt
from tests import toy

WORDS = ('yes', 'no', '.', '?')


def decode(ids):
  return ' '.join(WORDS[i] for i in ids if i != toy.EOS)


def asked(text):
  return Prompt((Message('user', text),))


class ScorersTest(absltest.TestCase):
  def test_a_program_scores_the_text_of_its_own_prompt(self):
    seen = []

    def reward(prompts, responses):
      seen.extend(zip([p.text for p in prompts], responses, strict=True))
      return np.array([float(r.count('no')) for r in responses])

    records = [asked('a'), asked('b'), asked('c')]
    rollouts = toy.all_rollouts(0).replace(index=np.array([2], np.int32))
    scores = scorers.text_scorer(reward, records, decode)({}, rollouts)
    again = rollouts.replace(index=rollouts.index + len(records))
    np.testing.assert_array_equal(
      scorers.text_scorer(reward, records, decode)({}, again), scores
    )
    expected = [float(response.count(1)) for response in toy.responses()]
    np.testing.assert_array_equal(scores, [expected])
    self.assertEqual({prompt for prompt, _ in seen}, {'c'})

  def test_a_model_scores_the_real_tokens(self):
    params = toy.SCALAR.init(jax.random.key(0))
    scores = scorers.model_scorer(toy.SCALAR)(
      {'reward': params}, toy.all_rollouts(1)
    )
    weights = np.asarray(params['head']['kernel'])[:, 0]
    expected = [weights[[1, *response]].sum() for response in toy.responses()]
    np.testing.assert_allclose(scores, [expected], rtol=1e-5)

  def test_several_models_score_the_same_rollouts(self):
    several = [toy.SCALAR.init(jax.random.key(seed)) for seed in (0, 1)]
    scorer = scorers.model_scorer(
      toy.SCALAR, combine=lambda members: members[0] - 2.0 * members[1]
    )
    found = scorer({'reward': several}, toy.all_rollouts((0, 1)))
    weights = [np.asarray(p['head']['kernel'])[:, 0] for p in several]
    expected = [
      (weights[0] - 2.0 * weights[1])[[0, 1, *response]].sum()
      for response in toy.responses()
    ]
    np.testing.assert_allclose(found, [expected], rtol=1e-4, atol=1e-5)


if __name__ == '__main__':
  absltest.main()
