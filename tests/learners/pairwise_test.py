"""The pairwise learner on a policy whose responses can all be listed."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import parameterized

from rlhf_jax.kernels import length_bias, pair_weights
from rlhf_jax.learners import pairwise
from rlhf_jax.losses import objective
from rlhf_jax.losses import pairwise as losses
from rlhf_jax.training import state as training
from tests import toy
from tests.learners import definitions, tables

POLICY = toy.POLICY.init(jax.random.key(0))
PARAMS = {'policy': POLICY}
REFERENCE = toy.POLICY.init(jax.random.key(1))
KEY = jax.random.key(2)
BETA = 0.3


def pairs():
  """Six random pairs, counted unequally."""
  weight = np.float32([1.0, 0.0, 2.0, 1.0, 0.5, 1.0])
  return toy.comparisons(6, seed=3).replace(weight=weight)


def config(function, micro_batches=1, **options):
  bound = functools.partial(function, **options)
  return pairwise.Config(objective=bound, micro_batches=micro_batches)


def evaluate(config, batch, *, frozen=None, policy=POLICY, models=toy.MODELS):
  """The objective and its gradient, and the metrics."""
  frozen = {'reference': REFERENCE} if frozen is None else frozen
  slope = training.gradient(pairwise.loss, micro_batches=config.micro_batches)
  slope = jax.jit(functools.partial(slope, models=models, config=config))
  grads, metrics = slope({'policy': policy}, frozen, batch, KEY)
  return (metrics['loss/preference'].value, grads), metrics


def written(batch, row, k):
  """The prompt's last token, and the response, of one row of Comparisons."""
  counted = np.flatnonzero(batch.response_mask[row, k])
  tokens = np.asarray(batch.tokens[row, k])
  return int(tokens[counted[0] - 1]), tuple(tokens[counted].tolist())


def by_definition(batch):
  """Log-probs [B, 2] of policy and reference and lengths [B, 2], in numpy."""
  listed = [[written(batch, row, k) for k in (0, 1)] for row in range(6)]

  def score(params):
    table = np.asarray(params['embedding'], np.float64)
    return np.array(
      [[toy.log_probability(table, *one) for one in row] for row in listed]
    )

  lengths = np.array([[len(text) for _, text in row] for row in listed])
  return score(POLICY), score(REFERENCE), lengths


def dpo(policy, reference, lengths):
  ratios = np.exp(BETA * (policy - reference))
  return -np.log(ratios[:, 0] / ratios.sum(1))


def ipo_mean(policy, reference, lengths):
  means = (policy - reference) / lengths
  return (means[:, 0] - means[:, 1] - 1.0 / (2.0 * BETA)) ** 2


def simpo(policy, reference, lengths):
  rewards = np.exp(2.0 * policy / lengths)
  better = rewards[:, 0] * np.exp(-0.5)
  return -np.log(better / (better + rewards[:, 1]))


def slic(policy, reference, lengths):
  gaps = policy[:, 0] - policy[:, 1]
  return np.maximum(0.0, 1.0 - gaps) - 0.2 * policy[:, 0]


# Each with what it is by definition.
OBJECTIVES = {
  'dpo': (config(losses.dpo, beta=BETA), dpo),
  'ipo_mean': (config(losses.ipo_mean, beta=BETA), ipo_mean),
  'simpo': (config(losses.simpo, beta=2.0, gamma=0.5), simpo),
  'slic': (config(losses.slic, margin=1.0, likelihood_coef=0.2), slic),
}


class LossTest(parameterized.TestCase):
  @parameterized.parameters(*OBJECTIVES)
  def test_is_that_of_the_listed_probabilities(self, name):
    chosen, definition = OBJECTIVES[name]
    batch = pairs()
    (value, _), _ = evaluate(chosen, batch)
    expected = definition(*by_definition(batch))
    np.testing.assert_allclose(
      value, np.average(expected, weights=batch.weight), rtol=1e-5
    )

  def test_imitates_the_target_where_the_data_have_one(self):
    table = np.asarray(POLICY['embedding'], np.float64)
    told = [(0, toy.EOS), (1, 1, toy.EOS), (0, 1, 0)] * 2
    batch = pairs()
    heads = [written(batch, row, 0)[0] for row in range(6)]
    targets = toy.compared(heads, [[text] for text in told])
    batch = batch.replace(
      targets=toy.Demonstrations(
        tokens=targets.tokens[:, 0],
        attention_mask=targets.attention_mask[:, 0],
        response_mask=targets.response_mask[:, 0],
      )
    )
    imitated = np.array(
      [
        toy.log_probability(table, head, text)
        for head, text in zip(heads, told, strict=True)
      ]
    )
    policy, _, _ = by_definition(batch)
    hinge = np.maximum(0.0, 1.0 - policy[:, 0] + policy[:, 1])
    (value, _), _ = evaluate(OBJECTIVES['slic'][0], batch)
    np.testing.assert_allclose(
      value,
      np.average(hinge - 0.2 * imitated, weights=batch.weight),
      rtol=1e-5,
    )
    arrays = pairwise.arrays_for(
      PARAMS,
      {},
      batch,
      ('target_logps',),
      models=toy.MODELS,
      config=pairwise.Config(),
    )
    np.testing.assert_array_equal(arrays['target_lengths'], [2, 3, 3] * 2)

  def test_gradient_is_that_of_listed_probabilities(self):
    batch = pairs()
    listed = [[written(batch, row, k) for k in (0, 1)] for row in range(6)]
    _, reference, _ = by_definition(batch)

    def expected(params):
      def score(head, text):
        logp, before = 0.0, head
        for token in text:
          logp += jax.nn.log_softmax(params['embedding'][before])[token]
          before = token
        return logp

      gaps = jnp.stack([score(*a) - score(*b) for a, b in listed])
      h = BETA * (gaps - (reference[:, 0] - reference[:, 1]))
      return jnp.average(jnp.log1p(jnp.exp(-h)), weights=batch.weight)

    (_, grads), _ = evaluate(OBJECTIVES['dpo'][0], batch)
    chex.assert_trees_all_close(
      grads['policy'], jax.jit(jax.grad(expected))(POLICY), atol=1e-6
    )
    self.assertGreater(optax.tree.norm(grads), 1e-2)


def guarded():
  """Models, and parameters of a policy that must not be asked."""

  def hidden(params, *inputs, **options):
    if 'forbidden' in params:
      raise RuntimeError('the reference was asked')
    return toy.POLICY.hidden(params, *inputs, **options)

  models = toy.MODELS._replace(policy=toy.POLICY._replace(hidden=hidden))
  return models, REFERENCE | {'forbidden': jnp.zeros(())}


class ReferenceTest(parameterized.TestCase):
  @parameterized.parameters('simpo', 'slic')
  def test_is_not_asked_where_the_objective_does_not_read_it(self, name):
    models, forbidden = guarded()
    chosen, _ = OBJECTIVES[name]
    without, _ = evaluate(chosen, pairs(), frozen={}, models=models)
    given, _ = evaluate(
      chosen, pairs(), frozen={'reference': forbidden}, models=models
    )
    chex.assert_trees_all_equal(without, given)
    for name in ('dpo', 'ipo_mean'):
      with self.assertRaisesRegex(RuntimeError, 'was asked'):
        evaluate(
          OBJECTIVES[name][0],
          pairs(),
          frozen={'reference': forbidden},
          models=models,
        )

  @parameterized.parameters('dpo', 'ipo_mean')
  def test_what_is_kept_with_the_data_is_as_good_as_live(self, name):
    models, forbidden = guarded()
    chosen, _ = OBJECTIVES[name]
    kept = pairwise.reference_logps(
      {'reference': REFERENCE}, pairs(), models=toy.MODELS, config=chosen
    )
    self.assertEqual(kept.shape, (6, 2))
    np.testing.assert_allclose(kept, by_definition(pairs())[1], rtol=1e-5)
    stored = pairs().replace(reference_logps=kept)
    live, metrics = evaluate(chosen, pairs())
    for frozen in ({}, {'reference': forbidden}):
      actual, others = evaluate(chosen, stored, frozen=frozen, models=models)
      chex.assert_trees_all_close(actual, live, atol=1e-5)
      chex.assert_trees_all_close(others, metrics, atol=1e-5)

  def test_is_a_constant(self):
    def total(reference):
      terms, _ = pairwise.loss(
        PARAMS,
        {'reference': reference},
        pairs(),
        KEY,
        models=toy.MODELS,
        config=OBJECTIVES['dpo'][0],
      )
      return training.objective(terms)

    self.assertEqual(optax.tree.norm(jax.grad(total)(REFERENCE)), 0.0)


class BatchTest(parameterized.TestCase):
  @parameterized.product(name=tuple(OBJECTIVES), parts=(2, 3))
  def test_parts_give_what_the_whole_gives(self, name, parts):
    whole, _ = OBJECTIVES[name]
    cut = pairwise.Config(objective=whole.objective, micro_batches=parts)
    chex.assert_trees_all_close(
      evaluate(cut, pairs()), evaluate(whole, pairs()), atol=1e-6
    )

  def test_an_objective_that_couples_examples_is_not_cut(self):
    with self.assertRaisesRegex(ValueError, 'aot compares .* 2 micro-batches'):
      config(losses.aot, micro_batches=2, beta=BETA)
    (value, _), _ = evaluate(config(losses.aot, beta=BETA), pairs())
    self.assertTrue(np.isfinite(value))

  @parameterized.parameters(*OBJECTIVES)
  def test_padding_is_inert(self, name):
    def hidden(params, tokens, attention_mask, **options):
      known = toy.POLICY.hidden(params, tokens % 4, attention_mask, **options)
      return jnp.where(attention_mask[..., None], known, jnp.nan)

    chosen, _ = OBJECTIVES[name]
    batch = pairs()
    junk = np.where(batch.attention_mask, batch.tokens, 77)
    models = toy.MODELS._replace(policy=toy.POLICY._replace(hidden=hidden))
    chex.assert_trees_all_equal(
      evaluate(chosen, batch.replace(tokens=junk), models=models),
      evaluate(chosen, batch),
    )

  @parameterized.parameters(*OBJECTIVES)
  def test_the_prompt_is_not_counted(self, name):
    chosen, _ = OBJECTIVES[name]
    batch = pairs()

    def longer(token):
      def put(x, value):
        return np.pad(x, [(0, 0), (0, 0), (1, 0)], constant_values=value)

      return batch.replace(
        tokens=put(batch.tokens, token),
        attention_mask=put(batch.attention_mask, True),
        response_mask=put(batch.response_mask, False),
      )

    expected = evaluate(chosen, batch)
    for token in toy.WORDS:
      chex.assert_trees_all_close(
        evaluate(chosen, longer(token)), expected, atol=1e-6
      )

  def test_the_end_of_text_is_counted(self):
    # Both responses are the same word, and one of them goes on.
    batch = toy.compared([0], [[(1, toy.EOS), (1, 0, 1)]])
    arrays = pairwise.arrays_for(
      PARAMS, {}, batch, (), models=toy.MODELS, config=pairwise.Config()
    )
    table = np.asarray(POLICY['embedding'], np.float64)
    rows = table - np.log(np.exp(table).sum(1, keepdims=True))
    np.testing.assert_allclose(
      arrays['policy_chosen_logps'], [rows[0, 1] + rows[1, toy.EOS]], rtol=1e-5
    )
    np.testing.assert_array_equal(arrays['chosen_lengths'], [2.0])
    np.testing.assert_array_equal(arrays['rejected_lengths'], [3.0])

  @parameterized.parameters(*OBJECTIVES)
  def test_rows_of_no_weight_change_nothing(self, name):
    chosen, _ = OBJECTIVES[name]
    batch, more = pairs(), toy.comparisons(3, seed=9)
    # Two ordinary rows and one without any token.
    empty = np.array([True, True, False])[:, None, None]
    more = more.replace(
      attention_mask=more.attention_mask & empty,
      response_mask=more.response_mask & empty,
      candidate_mask=more.candidate_mask & empty[..., 0],
      weight=np.zeros(3, np.float32),
    )
    filled = jax.tree.map(lambda *x: np.concatenate(x), batch, more)
    chex.assert_trees_all_close(
      evaluate(chosen, filled), evaluate(chosen, batch), atol=1e-6
    )


class ErrorTest(parameterized.TestCase):
  def refuses(self, message, config, batch, **changes):
    with self.assertRaisesRegex(ValueError, message) as raised:
      evaluate(config, batch, **changes)
    self.assertNotIn('\n', str(raised.exception))

  def test_lists_are_no_pairs(self):
    self.refuses(
      'two responses and these data have 3',
      OBJECTIVES['dpo'][0],
      toy.ranked_lists(),
    )

  def test_scores_that_the_data_lack(self):
    chosen = config(losses.rpo_sq, beta=BETA)
    self.refuses(
      'rpo_sq reads chosen_scores, rejected_scores, and', chosen, pairs()
    )
    scores = np.float32([[1.0, 0.0]] * 6)
    evaluate(chosen, pairs().replace(scores=scores))

  def test_a_reference_that_is_not_there(self):
    self.refuses(
      'dpo reads reference_chosen_logps, reference_rejected_logps, and',
      OBJECTIVES['dpo'][0],
      pairs(),
      frozen={},
    )
    self.refuses(
      'ipo_mean reads chosen_log_ratios, rejected_log_ratios, and .* freeze a',
      OBJECTIVES['ipo_mean'][0],
      pairs(),
      frozen={},
    )

  def test_an_option_that_nobody_gave(self):
    with self.assertRaisesRegex(ValueError, 'dpo, which needs beta: bind it'):
      config(losses.dpo)


class MetricsTest(parameterized.TestCase):
  def table(self, word_0, word_1):
    """A policy that forgets: the same law after every token; a 1/4 of ends."""
    row = np.log([word_0, word_1, 0.25, 1e-9])
    return {'embedding': jnp.asarray(np.tile(row, (4, 1)), jnp.float32)}

  def test_by_hand(self):
    policy, reference = self.table(0.5, 0.25), self.table(0.25, 0.5)
    one, other = (0, toy.EOS), (1, toy.EOS)
    batch = toy.compared(
      [0, 1, 1, 0], [[one, other], [other, one], [one, one], [one, other]]
    ).replace(weight=np.float32([1.0, 1.0, 1.0, 0.0]))
    # Δ is log 2 + log 2 where 0 was preferred to 1.
    large = 2.0 * np.log(2.0)
    chosen = config(losses.hinge_norm, beta=1.0)
    (value, _), metrics = evaluate(
      chosen, batch, policy=policy, frozen={'reference': reference}
    )
    np.testing.assert_allclose(value, (0 + (1 + large) + 1) / 3, rtol=1e-5)
    expected = {
      'accuracy': (1 + 0 + 0.5) / 3,
      'log_ratio_gap': 0.0,
      'chosen_logps': np.log([1 / 8, 1 / 16, 1 / 8]).mean(),
      'rejected_logps': np.log([1 / 16, 1 / 8, 1 / 8]).mean(),
      'active': 2 / 3,  # The hinge has let go of the first pair.
    }
    actual = {name: metrics[name].value for name in expected}
    chex.assert_trees_all_close(actual, expected, atol=1e-5)
    # Alone, the first pair's gap is not averaged away.
    _, metrics = evaluate(
      chosen,
      batch.replace(weight=np.float32([1.0, 0.0, 0.0, 0.0])),
      policy=policy,
      frozen={'reference': reference},
    )
    np.testing.assert_allclose(metrics['log_ratio_gap'].value, large, rtol=1e-5)
    # Without a reference, it is that of the policy's own log-probs.
    _, metrics = evaluate(
      config(losses.hinge, beta=1.0),
      batch.replace(weight=np.float32([1.0, 0.0, 0.0, 0.0])),
      policy=policy,
      frozen={},
    )
    np.testing.assert_allclose(
      metrics['log_ratio_gap'].value, np.log(2), rtol=1e-5
    )

  def test_an_objective_that_ignores_the_rejected_pushes_none(self):
    _, metrics = evaluate(config(losses.chosen_only, beta=BETA), pairs())
    self.assertEqual(metrics['active'].value, 0.0)

  def test_names_of_the_objective_and_of_what_there_is_agree(self):
    scores = np.float32([[1.0, 0.0]] * 6)
    arrays = pairwise.arrays_for(
      PARAMS,
      {'reference': REFERENCE},
      pairs().replace(scores=scores),
      pairwise.REFERENCE,
      models=toy.MODELS,
      config=pairwise.Config(),
    )
    for chosen, _ in OBJECTIVES.values():
      self.assertLessEqual(set(objective.reads(chosen.objective)), set(arrays))
    for name, array in arrays.items():
      self.assertEqual((array.shape, array.dtype), ((6,), jnp.float32), name)


def probe(
  policy_chosen_logps,
  policy_rejected_logps,
  reference_chosen_logps,
  reference_rejected_logps,
  chosen_log_ratios,
  rejected_log_ratios,
  chosen_lengths,
  rejected_lengths,
  chosen_scores,
  rejected_scores,
  target_logps,
  target_lengths,
  margins,
):
  """Reads all that there is, each in a way of its own; numpy or jax."""
  chosen = policy_chosen_logps - 0.7 * reference_chosen_logps
  rejected = policy_rejected_logps - 0.4 * reference_rejected_logps
  return (
    0.3 * chosen**2 / chosen_lengths
    - 0.2 * rejected * (1.0 + chosen_scores)
    + 0.1 * rejected_scores * rejected_lengths
    - 0.5 * target_logps / (1.0 + target_lengths)
    + 0.4 * chosen_log_ratios * rejected_log_ratios
    + 0.6 * margins**2
  )


def dpo_of(columns, beta):
  h = beta * (
    columns['policy_chosen_logps']
    - columns['policy_rejected_logps']
    - columns['reference_chosen_logps']
    + columns['reference_rejected_logps']
  )
  return definitions.softplus(-h)


def apo_down_of(columns, beta):
  u, v = columns['chosen_log_ratios'], columns['rejected_log_ratios']
  return 1 / (1 + np.exp(-beta * u)) + 1 / (1 + np.exp(beta * (u - v)))


def slic_of(columns, margin, likelihood_coef):
  gaps = columns['policy_chosen_logps'] - columns['policy_rejected_logps']
  return np.maximum(0.0, margin - gaps) - (
    likelihood_coef * columns['target_logps']
  )


def probe_of(columns):
  names = objective.reads(probe)
  return probe(**{name: columns[name] for name in names})


SLIC = functools.partial(losses.slic, margin=0.8, likelihood_coef=0.2)
APO_DOWN = functools.partial(losses.apo_down, beta=0.4)
TAIL = 0.3
LD_DPO = functools.partial(length_bias.discounted_tail_logps, ld_alpha=TAIL)
# The settings, the objective by definition, and what of the batch is given.
TABLE = {
  'defaults': ({}, functools.partial(dpo_of, beta=0.1), ()),
  'objective': (
    {'objective': SLIC},
    functools.partial(slic_of, margin=0.8, likelihood_coef=0.2),
    (),
  ),
  'micro_batches': (
    {'micro_batches': 3},
    functools.partial(dpo_of, beta=0.1),
    (),
  ),
  'kept': ({}, functools.partial(dpo_of, beta=0.1), ('kept',)),
  'log_ratios': (
    {'objective': APO_DOWN},
    functools.partial(apo_down_of, beta=0.4),
    (),
  ),
  # Without targets the chosen response is imitated.
  'chosen': ({'objective': probe}, probe_of, ('scores',)),
  'all': ({'objective': probe}, probe_of, ('scores', 'targets')),
  'response_logps': (
    {'response_logps': LD_DPO},
    functools.partial(dpo_of, beta=0.1),
    (),
  ),
  'pair_weights': (
    {'pair_weights': pair_weights.on_policy, 'micro_batches': 2},
    functools.partial(dpo_of, beta=0.1),
    (),
  ),
  'all_and_the_chosen': (
    {
      'objective': probe,
      'response_logps': LD_DPO,
      'pair_weights': pair_weights.on_policy,
    },
    probe_of,
    ('scores',),
  ),
}


class TableTest(parameterized.TestCase):
  """Every setting and every array, by sums over ragged prompts' responses."""

  @parameterized.parameters(*TABLE)
  def test_an_update_is_by_definition(self, name):
    options, of_columns, given = TABLE[name]
    tail = TAIL if 'response_logps' in options else 1.0
    reference = definitions.scored(
      tables.table(tables.REFERENCE), tables.HEADS, tables.LISTS, tail
    )
    weights = None
    if 'pair_weights' in options:
      weights = definitions.on_policy(
        tables.table(tables.POLICY), tables.HEADS, tables.LISTS
      )
    fields, arrays = {}, {'margins': tables.MARGINS}
    frozen = {'reference': tables.REFERENCE}
    if 'kept' in given:
      # Not what the frozen one says, and nothing is frozen.
      reference = reference + np.array([[0.5, -0.25]])
      fields['reference_logps'], frozen = tables.float32(reference), {}
    if 'scores' in given:
      fields['scores'] = tables.float32(tables.SCORES)
      arrays['chosen_scores'], arrays['rejected_scores'] = tables.SCORES.T
    if 'targets' in given:
      fields['targets'] = tables.demonstrations(tables.TARGETS)
      arrays['targets'] = tables.TARGETS
    config = pairwise.Config(**options)
    if config.objective == SLIC:
      reference = None
    grads, metrics, _ = tables.updated(
      pairwise,
      config,
      tables.batch(**fields),
      params={'policy': tables.POLICY},
      frozen=frozen,
    )

    def definition(table):
      return definitions.pairwise(
        table,
        tables.HEADS,
        tables.LISTS,
        of_columns,
        weight=tables.WEIGHT,
        arrays=arrays,
        reference=reference,
        tail=tail,
        pair_weights=weights,
      )

    tables.hold(
      self,
      (grads['policy']['embedding'], metrics),
      definition(tables.table(tables.POLICY)),
      tables.of_table(definition),
    )

  def test_every_setting_is_here(self):
    configs = [pairwise.Config(**options) for options, *_ in TABLE.values()]
    tables.every_field_is_moved(self, pairwise.Config, configs)
    self.assertEqual(set(objective.reads(probe)), set(pairwise.ARRAYS))

  def test_what_is_kept_beforehand_is_the_reference_s(self):
    config = pairwise.Config()
    kept = pairwise.reference_logps(
      {'reference': tables.REFERENCE},
      tables.batch(),
      models=toy.MODELS,
      config=config,
    )
    expected = definitions.scored(
      tables.table(tables.REFERENCE), tables.HEADS, tables.LISTS
    )
    np.testing.assert_allclose(kept, expected, rtol=1e-4)
    discounted = pairwise.reference_logps(
      {'reference': tables.REFERENCE},
      tables.batch(),
      models=toy.MODELS,
      config=pairwise.Config(response_logps=LD_DPO),
    )
    expected = definitions.scored(
      tables.table(tables.REFERENCE), tables.HEADS, tables.LISTS, TAIL
    )
    np.testing.assert_allclose(discounted, expected, rtol=1e-4)
    unread = pairwise.Config(objective=SLIC)
    self.assertIsNone(
      pairwise.reference_logps(
        {'reference': tables.REFERENCE},
        tables.batch(),
        models=toy.MODELS,
        config=unread,
      )
    )
