"""Sampling follows the law of the policy, and compiles and runs no more."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from absl.testing import absltest, parameterized

from rlhf_jax.generation import Sampling, greedy, gumbel, sample
from rlhf_jax.types import Prompts
from tests import toy


def draw(model, table, prompts, *, key=0, **options):
  options = {
    'samples': 2,
    'max_response': toy.LONGEST,
    'sampling': Sampling(),
    'stop_ids': (toy.EOS,),
    'pad_id': toy.PAD,
  } | options
  return sample(model, table, prompts, jax.random.key(key), **options)


def prompts(count):
  """One token each, 0, numbered from 0."""
  tokens = np.zeros((count, 1), np.int32)
  mask = np.ones((count, 1), bool)
  return Prompts(tokens, mask, np.arange(count, dtype=np.int32))


class LawTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.table = toy.POLICY.init(jax.random.key(3))

  def draw(self, **settings):
    sampling = Sampling(**settings)
    return draw(toy.POLICY, self.table, prompts(8_000), sampling=sampling)

  @parameterized.parameters(
    {}, {'temperature': 0.6}, {'draw': gumbel, 'temperature': 1.5}
  )
  def test_responses_come_as_often_as_they_should(self, **settings):
    rollouts = self.draw(**settings)
    tokens, mask = map(np.asarray, rollouts.responses)
    rows = [
      tuple(row[keep].tolist())
      for row, keep in zip(
        tokens.reshape(-1, toy.LONGEST),
        mask.reshape(-1, toy.LONGEST),
        strict=True,
      )
    ]
    listed = toy.responses()
    counts = [rows.count(response) for response in listed]
    self.assertEqual(sum(counts), len(rows))
    table = np.asarray(self.table['embedding'], np.float64)
    table = table / settings.get('temperature', 1.0)
    probs = np.array([toy.probability(table, 0, row) for row in listed])
    np.testing.assert_allclose(probs.sum(), 1.0, atol=1e-6)
    test = scipy.stats.chisquare(counts, probs / probs.sum() * len(rows))
    self.assertGreater(test.pvalue, 1e-3)
    expected = np.log([probs[listed.index(row)] for row in rows])
    np.testing.assert_allclose(
      rollouts.logps.sum(axis=-1).reshape(-1), expected, atol=1e-5
    )

  def test_no_stop_before_the_minimum(self):
    rollouts = self.draw(min_new_tokens=2)
    _, mask = rollouts.responses
    lengths = np.asarray(mask).sum(axis=-1)
    self.assertEqual(lengths.min(), 3)  # Two words, then the stop at last.
    tokens, _ = rollouts.responses
    self.assertFalse((np.asarray(tokens)[..., :2] == toy.EOS).any())

  def test_a_penalty_reads_prompt_and_response(self):
    """A penalty without bound: no token comes a second time."""
    table = np.full((4, 4), 1.0, np.float32)
    self.table = {'embedding': jnp.asarray(table)}
    rollouts = self.draw(repetition_penalty=1e6, draw=greedy)
    tokens, _ = rollouts.responses
    # The prompt is token 0; then the first of those not seen.
    np.testing.assert_array_equal(tokens[0, 0], [1, 2, toy.PAD])


class ProgramTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.table = toy.POLICY.init(jax.random.key(3))
    self.counts = {'traces': 0, 'steps': 0}

    def prefill(*args):
      self.counts['traces'] += 1
      return toy.POLICY.prefill(*args)

    def count():
      self.counts['steps'] += 1

    def decode_step(*args):
      jax.debug.callback(count)
      return toy.POLICY.decode_step(*args)

    self.model = toy.POLICY._replace(prefill=prefill, decode_step=decode_step)

  def draw(self, **options):
    rollouts = draw(self.model, self.table, prompts(4), **options)
    jax.effects_barrier()
    return rollouts

  def test_another_value_compiles_nothing(self):
    for key, (temperature, p, k) in enumerate(
      ((1, 0.9, 3), (0.5, 1, 7), (1.5, np.float64(0.2), np.int64(2)))
    ):
      sampling = Sampling(
        temperature=temperature, top_p=p, top_k=k, min_new_tokens=key
      )
      self.draw(sampling=sampling, key=key)
    self.assertEqual(self.counts['traces'], 1)
    self.draw(sampling=Sampling())
    self.assertEqual(self.counts['traces'], 2)

  def test_ends_when_all_have_ended(self):
    rollouts = self.draw(stop_ids=(0, 1, 2, 3))
    self.assertEqual(self.counts['steps'], 0)
    self.assertTrue(np.asarray(rollouts.ended).all())
    self.draw(stop_ids=())
    # The last token is not read.
    self.assertEqual(self.counts['steps'], toy.LONGEST - 1)

  def test_one_token_responses(self):
    rollouts = self.draw(max_response=1)
    self.assertEqual(rollouts.tokens.shape, (4, 2, 2))
    self.assertEqual(self.counts['steps'], 0)
    row = np.asarray(self.table['embedding'], np.float64)[0]
    logps = row - np.log(np.exp(row).sum())
    tokens = np.asarray(rollouts.tokens)[..., 1:]
    np.testing.assert_allclose(rollouts.logps, logps[tokens], atol=1e-5)


if __name__ == '__main__':
  absltest.main()
