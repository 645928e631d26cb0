"""The shift by one, and the log-probs of whole responses."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax import types
from rlhf_jax.kernels import distributions, logps

D, V = 4, 3


def log_softmax(logits, temperature=1.0):
  """By definition, in float64."""
  z = np.asarray(logits, np.float64) / temperature
  return z - np.log(np.exp(z).sum(-1, keepdims=True))


def hidden_of_bigram(
  params, tokens, attention_mask, positions=None, segment_ids=None
):
  """A row of a table for each token; NaN on padding; moved by segments."""
  del positions
  hidden = params['table'][tokens]
  if segment_ids is not None:
    hidden += params['shift'][segment_ids]
  return jnp.where(attention_mask[..., None], hidden, jnp.nan)


BIGRAM = types.LanguageModel(
  init=None,
  hidden=hidden_of_bigram,
  logits=None,
  token_logps=lambda params, hidden, targets, temperature=1.0: (
    distributions.fused_token_logps(
      hidden, params['unembedding'], targets, temperature=temperature
    )
  ),
  token_logps_and_entropies=lambda params, hidden, targets, temperature=1.0: (
    distributions.fused_token_logps_and_entropies(
      hidden, params['unembedding'], targets, temperature=temperature
    )
  ),
  load=None,
  prefill=None,
  decode_step=None,
  replace_prompts=None,
)


class BigramCase(chex.TestCase):
  def setUp(self):
    super().setUp()
    draw = np.random.default_rng(1)
    self.params = {
      'table': jnp.asarray(draw.normal(size=(V, D)), jnp.float32),
      'shift': jnp.asarray(draw.normal(size=(4, D)), jnp.float32),
      'unembedding': jnp.asarray(draw.normal(size=(D, V)), jnp.float32),
    }
    self.tokens = draw.integers(0, V, (4, 6))
    # Padded left, right, not at all, and all but one.
    self.attended = np.array(
      [
        [0, 0, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0],
      ],
      bool,
    )

  def log_p(self, row, column, temperature=1.0, shift=0.0):
    """[V] log π(· | token before column), in numpy."""
    table, unembedding = (
      np.asarray(self.params[name], np.float64)
      for name in ('table', 'unembedding')
    )
    hidden = table[self.tokens[row, column - 1]] + shift
    return log_softmax(hidden @ unembedding, temperature)

  def expected(self, row, column, **options):
    """log π(token at column | token before)."""
    return self.log_p(row, column, **options)[self.tokens[row, column]]


class NextTokenTest(BigramCase):
  @parameterized.product(start=(1, 3, 5), temperature=(1.0, 0.5))
  def test_scores_each_token_by_the_one_before(self, start, temperature):
    kwargs = {'start': start, 'temperature': temperature}
    arguments = BIGRAM, self.params, self.tokens, self.attended
    actual = logps.next_token_logps(*arguments, **kwargs)
    hidden = BIGRAM.hidden(self.params, self.tokens, self.attended)
    both = BIGRAM.token_logps_and_entropies(
      self.params,
      logps.before_tokens(hidden, start=start),
      self.tokens[:, start:],
      temperature,
    )
    self.assertEqual(actual.shape, (4, 6 - start))
    real = self.attended[:, start - 1 : -1]
    np.testing.assert_array_equal(actual[real], both[0][real])
    for row, column in itertools.product(range(4), range(start, 6)):
      if not self.attended[row, column - 1 : column + 1].all():
        continue
      np.testing.assert_allclose(
        actual[row, column - start],
        self.expected(row, column, temperature=temperature),
        atol=1e-5,
      )
      log_p = self.log_p(row, column, temperature)
      np.testing.assert_allclose(
        both[1][row, column - start], -np.exp(log_p) @ log_p, atol=1e-5
      )

  def test_only_the_columns_asked_for_become_logits(self):
    seen = []

    def token_logps(params, hidden, targets, temperature):
      seen.append((hidden.shape, targets.shape))
      return BIGRAM.token_logps(params, hidden, targets, temperature)

    model = BIGRAM._replace(token_logps=token_logps)
    logps.next_token_logps(
      model, self.params, self.tokens, self.attended, start=4
    )
    self.assertEqual(seen, [((4, 2, D), (4, 2))])

  def test_before_tokens_is_one_column_behind(self):
    columns = jnp.arange(6)[None]
    np.testing.assert_array_equal(
      logps.before_tokens(columns, start=1), [[0, 1, 2, 3, 4]]
    )
    np.testing.assert_array_equal(
      logps.before_tokens(columns, start=4), [[3, 4]]
    )

  @parameterized.parameters(0, -1, 6)
  def test_a_start_that_nothing_precedes_is_refused(self, start):
    with self.assertRaisesRegex(ValueError, f'start is {start}'):
      logps.next_token_logps(
        BIGRAM, self.params, self.tokens, self.attended, start=start
      )

  def test_shapes_that_would_broadcast_are_refused(self):
    with self.assertRaises(AssertionError):
      logps.next_token_logps(
        BIGRAM, self.params, self.tokens, self.attended[:1]
      )
    with self.assertRaises(AssertionError):
      logps.next_token_logps(
        BIGRAM, self.params, self.tokens[0], self.attended[0]
      )


class ResponseTest(BigramCase):
  def demonstrations(self, **changes):
    mask = self.attended & (np.arange(6) >= 3)
    fields = {
      'tokens': self.tokens,
      'attention_mask': self.attended,
      'response_mask': mask,
    }
    return types.Demonstrations(**(fields | changes))

  def total(self, batch, row, temperature=1.0):
    columns = np.flatnonzero(batch.response_mask[row])
    return sum(self.expected(row, c, temperature=temperature) for c in columns)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(1.0, 0.5)
  def test_sums_over_the_response(self, temperature):
    batch = self.demonstrations()

    @self.variant
    def score(params, batch):
      return logps.response_logps(
        BIGRAM, params, batch, temperature=temperature
      )

    actual = score(self.params, batch)
    expected = [self.total(batch, row, temperature) for row in range(4)]
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    self.assertEqual(actual[3], 0.0)  # Masked whole.

  def comparisons(self, **changes):
    """The four demonstrations as two pairs."""

    def fold(x):
      return x.reshape(2, 2, 6)

    fields = {
      'tokens': fold(self.tokens),
      'attention_mask': fold(self.attended),
      'response_mask': fold(self.demonstrations().response_mask),
      'candidate_mask': np.ones((2, 2), bool),
      'margins': np.zeros(2),
      'weight': np.ones(2),
    }
    return types.Comparisons(**(fields | changes))

  def test_every_leading_axis_is_kept(self):
    batch, comparisons = self.demonstrations(), self.comparisons()
    np.testing.assert_allclose(
      logps.response_logps(BIGRAM, self.params, comparisons),
      logps.response_logps(BIGRAM, self.params, batch).reshape(2, 2),
      atol=1e-6,
    )

  def test_lengths_count_what_is_summed(self):
    mask = np.zeros((4, 6), bool)
    mask[0, 2:6] = mask[1, 3] = mask[2, 0:2] = True
    lengths = logps.response_lengths(self.demonstrations(response_mask=mask))
    # Nothing precedes column 0, so it is in no sum.
    np.testing.assert_array_equal(lengths, [4.0, 1.0, 1.0, 0.0])
    self.assertEqual(lengths.dtype, jnp.float32)
    folded = logps.response_lengths(self.comparisons())
    np.testing.assert_array_equal(folded, [[3.0, 1.0], [3.0, 0.0]])

  def test_those_of_a_reference_are_constants_and_kept_ones_come_first(self):
    batch = self.comparisons()

    def total(params):
      return jnp.sum(logps.reference_logps(BIGRAM, params, batch))

    value, grads = jax.value_and_grad(total)(self.params)
    expected = [self.total(self.demonstrations(), row) for row in range(4)]
    np.testing.assert_allclose(value, sum(expected), rtol=1e-5)
    chex.assert_trees_all_equal(grads, jax.tree.map(jnp.zeros_like, grads))
    kept = np.float32([[-1.0, -2.0], [-3.0, -4.0]])
    # No model is asked: there is none.
    np.testing.assert_array_equal(
      logps.reference_logps(None, None, batch.replace(reference_logps=kept)),
      kept,
    )
    with self.assertRaisesRegex(ValueError, 'froze none and its data keep no'):
      logps.reference_logps(BIGRAM, None, batch)

  def test_responses_of_a_rollout_sum_to_one(self):
    # Every response of 3 tokens to the prompt [pad, 2]; P = 2.
    responses = np.array(list(itertools.product(range(V), repeat=3)))
    count = len(responses)
    tokens = np.concatenate([np.full((count, 2), 2), responses], axis=1)
    attended = np.ones((count, 5), bool)
    attended[:, 0] = False
    zeros = np.zeros((1, count, 3), np.float32)
    rollouts = types.Rollouts(
      tokens=tokens[None],
      attention_mask=attended[None],
      response_mask=(attended & (np.arange(5) >= 2))[None],
      logps=zeros,
      truncated_logps=zeros,
      ended=np.zeros((1, count), bool),
      index=np.zeros(1, np.int32),
    )
    scores = logps.response_logps(BIGRAM, self.params, rollouts)
    self.assertEqual(scores.shape, (1, count))
    np.testing.assert_allclose(np.sum(np.exp(scores)), 1.0, atol=1e-5)

  def test_packed_rows_tell_the_model_their_segments(self):
    segments = np.array([[1, 1, 1, 2, 2, 2]] * 4)
    mask = np.zeros((4, 6), bool)
    mask[2, [1, 2, 4, 5]] = True
    batch = self.demonstrations(response_mask=mask, segment_ids=segments)
    shift = np.asarray(self.params['shift'], np.float64)
    expected = sum(
      self.expected(2, column, shift=shift[segments[2, column - 1]])
      for column in (1, 2, 4, 5)
    )
    actual = logps.response_logps(BIGRAM, self.params, batch)
    np.testing.assert_allclose(actual, [0.0, 0.0, expected, 0.0], atol=1e-5)

  def test_gradient_is_that_of_the_definition_and_junk_is_inert(self):
    # Hidden states of padding are NaN. A token that is counted moves the logits
    # after the one before it by hot less softmax, and nothing else moves.
    batch = self.demonstrations()
    table, unembedding = (
      np.asarray(self.params[name]) for name in ('table', 'unembedding')
    )
    expected = {
      'table': np.zeros((V, D)),
      'shift': np.zeros((4, D)),
      'unembedding': np.zeros((D, V)),
    }
    for row, column in np.argwhere(batch.response_mask):
      before, token = self.tokens[row, column - 1 : column + 1]
      push = np.eye(V)[token] - np.exp(self.log_p(row, column))
      expected['table'][before] += unembedding @ push
      expected['unembedding'] += np.outer(table[before], push)
    actual = jax.grad(
      lambda params: jnp.sum(logps.response_logps(BIGRAM, params, batch))
    )(self.params)
    chex.assert_trees_all_close(actual, expected, atol=1e-5)

  def test_tokens_that_are_not_counted_do_not_matter(self):
    batch = self.demonstrations()
    junk = np.where(self.attended, self.tokens, 77)
    scores = [
      logps.response_logps(BIGRAM, self.params, batch.replace(tokens=tokens))
      for tokens in (self.tokens, junk)
    ]
    np.testing.assert_array_equal(*scores)
