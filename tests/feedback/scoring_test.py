"""What it means that a response could not be scored, and who says so."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.feedback import endpoint, scoring
from rlhf_jax.types import Message, Prompt
from tests import toy

ASKED = [Prompt((Message('user', text),), where=f'f:{text}') for text in 'abc']
SAID = ['x', 'y', 'z']
NAN = math.nan

WORDS = ('yes', 'no', '.', '?')


def decode(responses):
  return [' '.join(WORDS[i] for i in ids if i != toy.EOS) for ids in responses]


def asked(text):
  return Prompt((Message('user', text),))


def saying(answer):
  """A reward that gives `answer`, whatever it is asked."""
  return lambda prompts, responses: answer


class AskTest(parameterized.TestCase):
  @parameterized.parameters(
    ([1, 2.5, True], [1.0, 2.5, 1.0]),
    ([1.0, None, 3.0], [1.0, NAN, 3.0]),
    ([NAN, math.inf, -math.inf], [NAN, NAN, NAN]),
    ([10**400, -1, 0], [NAN, -1.0, 0.0]),
    ([1e300, -3e38, 1e16], [NAN, NAN, 1e16]),  # Float32 sums their squares.
    ((1, 2, 3), [1.0, 2.0, 3.0]),
    (np.array([1.0, 2.0, NAN], np.float32), [1.0, 2.0, NAN]),
    (jnp.array([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]),
    ([jnp.float32(1.0), np.float64(2.0), None], [1.0, 2.0, NAN]),
  )
  def test_what_is_no_finite_number_is_no_score(self, answer, expected):
    scores = scoring.ask(saying(answer), ASKED, SAID)
    np.testing.assert_array_equal(scores, expected)
    self.assertEqual(scores.dtype, np.float64)

  @parameterized.parameters(
    ([1.0, 2.0], 'gave 2 scores for 3 responses'),
    (3.0, 'gave a single float for 3 responses'),
    (None, 'gave a single NoneType for 3 responses'),
    (np.ones((3, 1)), r'gave scores of shape \(3, 1\) for 3'),
    ([1.0, 'good', 2.0], "gave 'good' for a response to f:b"),
    ([1.0, 2.0, '3'], "gave '3' for a response to f:c"),
    ([1.0, 2.0, 1j], 'gave 1j for a response to f:c'),
  )
  def test_what_is_no_score_a_response_is_a_sentence(self, answer, said):
    with self.assertRaisesRegex(scoring.ScoringError, said):
      scoring.ask(saying(answer), ASKED, SAID)

  def test_who_failed_and_on_what(self):
    def broken(prompts, responses, *, limit):
      raise TimeoutError(f'no answer in {limit} s')

    bound = functools.partial(broken, limit=3)
    with self.assertRaisesRegex(
      scoring.ScoringError,
      r'scoring_test\..*broken failed on 3 responses, the first one to f:a: '
      'TimeoutError: no answer in 3 s',
    ) as caught:
      scoring.ask(bound, ASKED, SAID)
    self.assertIsInstance(caught.exception.__cause__, TimeoutError)

  def test_a_stop_is_no_failure(self):
    def stopped(prompts, responses):
      raise KeyboardInterrupt

    with self.assertRaises(KeyboardInterrupt):
      scoring.ask(stopped, ASKED, SAID)

  def test_nobody_is_asked_about_nothing(self):
    def broken(prompts, responses):
      raise AssertionError

    self.assertEqual(scoring.ask(broken, [], []).shape, (0,))

  def test_a_judge_reads_two(self):
    def longer(prompts, ones, others):
      return [
        len(a) > len(b) or None for a, b in zip(ones, others, strict=True)
      ]

    found = scoring.ask(longer, ASKED, ['aa', 'b', 'cc'], ['a', 'bb', 'c'])
    np.testing.assert_array_equal(found, [1.0, NAN, 1.0])

  @parameterized.parameters(
    (0.7, 'gave a single float for 3 pairs of responses, the first one to f:a'),
    ([0.5, 1.0], 'gave 2 credits for 3 pairs of responses'),
    (np.ones((3, 2)), r'gave credits of shape \(3, 2\) for 3 pairs'),
    (['A', 1.0, 0.0], "gave 'A' for a pair of responses to f:a"),
  )
  def test_what_is_no_credit_a_pair_is_a_sentence(self, answer, said):
    said += '.*; a judge gives one credit a pair: 1 where the first response'
    with self.assertRaisesRegex(scoring.ScoringError, said) as caught:
      scoring.ask(lambda *_: answer, ASKED, SAID, SAID)
    self.assertNotIn('reward', str(caught.exception).partition(' gave ')[2])

  def test_where_nobody_is_there_the_prompts_say_nothing(self):
    def asking(prompts, responses):
      raise endpoint.NobodyThereError('nothing answers at u; mend base_url')

    with self.assertRaises(scoring.ScoringError) as caught:
      scoring.ask(asking, ASKED, SAID)
    self.assertEqual(
      str(caught.exception),
      f'{scoring.named(asking)}: nothing answers at u; mend base_url',
    )

  def test_where_it_came_up_is_told(self):
    with (
      self.assertRaisesRegex(
        scoring.ScoringError, "stage 'ppo', step 3: .* gave 0 scores for 3"
      ),
      scoring.during("stage 'ppo', step 3"),
    ):
      scoring.ask(saying([]), ASKED, SAID)


class VerdictTest(parameterized.TestCase):
  @parameterized.parameters(
    (True, True),
    (0, False),
    (np.bool_(True), True),
    (None, None),
    (NAN, None),
    (np.float32(NAN), None),
    (jnp.float32(NAN), None),
    (jnp.bool_(True), True),
    (0.0, False),
  )
  def test_none_is_no_verdict(self, said, expected):
    found = scoring.verdict(lambda *_: said, ASKED[0], 'a', 'b', 1)
    self.assertIs(found, expected)

  @parameterized.parameters(
    'B', 'tie', -0.4, 2, ((0.9, 0.1),), ({'winner': 'b'},), (np.ones(2),)
  )
  def test_what_is_no_verdict_is_a_sentence(self, said):
    with self.assertRaisesRegex(
      scoring.ScoringError,
      'gave .* for two responses to f:a; an annotator says',
    ):
      scoring.verdict(lambda *_: said, ASKED[0], 'a', 'b', 1)

  def test_who_failed_is_told(self):
    def broken(prompt, first, second, seed):
      raise RuntimeError('no budget')

    with self.assertRaisesRegex(
      scoring.ScoringError, 'broken failed on two responses to f:a: .*no budget'
    ):
      scoring.verdict(broken, ASKED[0], 'a', 'b', 1)


class TextScorerTest(absltest.TestCase):
  def test_a_reward_of_text_may_have_no_score(self):
    words = {0: 'a', 1: 'b', toy.EOS: '.'}
    rollouts = toy.all_rollouts(0)

    def spelt(responses):
      return [''.join(words[i] for i in ids) for ids in responses]

    texts = scoring.response_texts(rollouts, spelt)

    def ended(prompts, responses):
      return [len(text) if text.endswith('.') else None for text in responses]

    scorer = scoring.text_scorer(ended, ASKED, spelt)
    expected = [len(t) if t.endswith('.') else NAN for t in texts[0]]
    np.testing.assert_array_equal(scorer({}, rollouts), [expected])


class ScorersTest(absltest.TestCase):
  def test_a_program_scores_the_text_of_its_own_prompt(self):
    seen = []

    def reward(prompts, responses):
      seen.extend(zip([p.text for p in prompts], responses, strict=True))
      return np.array([float(r.count('no')) for r in responses])

    records = [asked('a'), asked('b'), asked('c')]
    rollouts = toy.all_rollouts(0).replace(index=np.array([2], np.int32))
    scores = scoring.text_scorer(reward, records, decode)({}, rollouts)
    again = rollouts.replace(index=rollouts.index + len(records))
    np.testing.assert_array_equal(
      scoring.text_scorer(reward, records, decode)({}, again), scores
    )
    expected = [float(response.count(1)) for response in toy.responses()]
    np.testing.assert_array_equal(scores, [expected])
    self.assertEqual({prompt for prompt, _ in seen}, {'c'})

  def test_a_model_scores_the_real_tokens(self):
    params = toy.SCALAR.init(jax.random.key(0))
    scores = scoring.model_scorer(toy.SCALAR)(
      {'reward': params}, toy.all_rollouts(1)
    )
    weights = np.asarray(params['head']['kernel'])[:, 0]
    expected = [weights[[1, *response]].sum() for response in toy.responses()]
    np.testing.assert_allclose(scores, [expected], rtol=1e-5)

  def test_a_policy_scores_by_its_log_ratio(self):
    tables = [toy.POLICY.init(jax.random.key(seed)) for seed in (0, 1)]
    frozen = {'reward': dict(zip(('policy', 'reference'), tables, strict=True))}
    scorer = scoring.implicit_scorer(toy.POLICY, toy.POLICY, beta=0.3)
    prompt, listed = (0, 1), toy.responses()
    policy, reference = (np.asarray(t['embedding'], float) for t in tables)
    expected = [
      0.3
      * (
        toy.log_probability(policy, prompt, response)
        - toy.log_probability(reference, prompt, response)
      )
      for response in listed
    ]
    # Of rollouts, and of the same responses padded otherwise.
    for batch in (
      toy.all_rollouts(prompt),
      toy.compared([prompt, (1, 1, 1)], [listed, listed]),
    ):
      found = scorer(frozen, batch)[0]
      np.testing.assert_allclose(found, expected, atol=1e-5)

    scale = {'factor': np.float32(-2.0), 'shift': np.float32(5.0)}
    moved = {'reward': frozen['reward'] | {'scale': scale}}
    np.testing.assert_allclose(
      scorer(moved, toy.all_rollouts(prompt))[0],
      5.0 - 2.0 * np.array(expected),
      atol=1e-5,
    )

  def test_several_models_score_the_same_rollouts(self):
    several = [toy.SCALAR.init(jax.random.key(seed)) for seed in (0, 1)]
    scorer = scoring.ensemble_scorer(
      (scoring.model_scorer(toy.SCALAR),) * 2,
      lambda members: members[0] - 2.0 * members[1],
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
