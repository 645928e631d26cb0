"""Scores and texts of rollouts, worked by hand on the toy policy."""

import jax
import numpy as np
from absl.testing import absltest

from rlhf_jax.generation import rollouts as generation
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.types import Message, Prompt
from tests import toy

WORDS = ('yes', 'no', '.', '?')


def decode(ids):
  return ' '.join(WORDS[i] for i in ids if i != toy.EOS)


def asked(text):
  return Prompt((Message('user', text),))


class RolloutsTest(absltest.TestCase):
  def test_texts_hold_what_was_written_and_no_padding(self):
    texts = generation.response_texts(toy.all_rollouts(0), decode)
    expected = [
      ' '.join(WORDS[i] for i in response if i != toy.EOS)
      for response in toy.responses()
    ]
    self.assertEqual(texts, [expected])

  def test_a_program_scores_the_text_of_its_own_prompt(self):
    seen = []

    def reward(prompts, responses):
      seen.extend(zip([p.text for p in prompts], responses, strict=True))
      return np.array([float(r.count('no')) for r in responses])

    records = [asked('a'), asked('b'), asked('c')]
    rollouts = toy.all_rollouts(0).replace(index=np.array([2], np.int32))
    scores = generation.text_scorer(reward, records, decode)({}, rollouts)
    again = rollouts.replace(index=rollouts.index + len(records))
    np.testing.assert_array_equal(
      generation.text_scorer(reward, records, decode)({}, again), scores
    )
    expected = [float(response.count(1)) for response in toy.responses()]
    np.testing.assert_array_equal(scores, [expected])
    self.assertEqual({prompt for prompt, _ in seen}, {'c'})

  def test_a_model_scores_the_real_tokens(self):
    params = toy.SCALAR.init(jax.random.key(0))
    scores = generation.model_scorer(toy.SCALAR)(
      {'reward': params}, toy.all_rollouts(1)
    )
    weights = np.asarray(params['head']['kernel'])[:, 0]
    expected = [weights[[1, *response]].sum() for response in toy.responses()]
    np.testing.assert_allclose(scores, [expected], rtol=1e-5)

  def test_a_sampler_answers_every_prompt(self):
    params = toy.POLICY.init(jax.random.key(0))
    rollouts = toy.MODELS.sampler(
      params, toy.prompts(4), jax.random.key(1), samples=3, sampling=Sampling()
    )
    self.assertEqual(rollouts.tokens.shape, (4, 3, toy.LONGEST_PROMPT + toy.LONGEST))
    listed = set(toy.responses())
    tokens, mask = map(np.asarray, rollouts.responses)
    for row, keep in zip(
      tokens.reshape(12, -1), mask.reshape(12, -1), strict=True
    ):
      self.assertIn(tuple(row[keep].tolist()), listed)


if __name__ == '__main__':
  absltest.main()
