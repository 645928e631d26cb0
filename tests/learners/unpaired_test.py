"""The unpaired learner on a policy whose responses can all be listed."""

import functools
import json
import pathlib
import tempfile

import chex
import jax
import numpy as np
import optax
from absl.testing import parameterized

from rlhf_jax.data import collation, encoding, formats, templates, tokens
from rlhf_jax.data.limits import Limits
from rlhf_jax.learners import unpaired
from rlhf_jax.losses import unpaired as losses
from rlhf_jax.training import state as training
from tests import toy
from tests.learners import definitions, tables

POLICY = toy.POLICY.init(jax.random.key(1))
REFERENCE = toy.POLICY.init(jax.random.key(0))
KEY = jax.random.key(2)
BETA = 0.3
KTO = unpaired.Config(objective=functools.partial(losses.kto, beta=BETA))
BCO = unpaired.Config(objective=functools.partial(losses.bco, beta=BETA))

HEADS = (0, 1, 1)
LISTS = (
  [(1, 0, toy.EOS), (0, toy.EOS)],
  [(toy.EOS,), (1, 1, 0)],
  [(0, 0, toy.EOS), (1, toy.EOS)],
)


def pairs(**fields):
  return toy.compared(HEADS, LISTS, **fields)


def log_ratio(params, head, text):
  """log π / π_ref of one response, in numpy."""
  of = [
    toy.log_probability(np.asarray(p['embedding'], np.float64), head, text)
    for p in (params, REFERENCE)
  ]
  return of[0] - of[1]


def log_ratios(params=POLICY, shift=0):
  """[3, 2] of the responses, each to the prompt `shift` rows before its own."""
  return np.array(
    [
      [log_ratio(params, head, text) for text in LISTS[(row + shift) % 3]]
      for row, head in enumerate(HEADS)
    ]
  )


def evaluate(config, batch, *, policy=POLICY, frozen=None):
  frozen = {'reference': REFERENCE} if frozen is None else frozen
  terms, metrics = unpaired.loss(
    {'policy': policy}, frozen, batch, KEY, models=toy.MODELS, config=config
  )
  return training.objective(terms), metrics


def sigmoid(x):
  return 1.0 / (1.0 + np.exp(-x))


class MismatchedTest(parameterized.TestCase):
  def test_each_prompt_meets_the_next_ones_responses(self):
    batch = toy.compared([0, 1], [[(1, 0, toy.EOS), (0, 1)], [(toy.EOS,)] * 2])
    # The first prompt has a second token, and the second one none.
    wider = np.pad(batch.tokens, [(0, 0), (0, 0), (1, 0)])
    wider[1] = np.roll(wider[1], -1, axis=-1)
    real = np.pad(
      batch.attention_mask, [(0, 0), (0, 0), (1, 0)], constant_values=True
    )
    real[1] = np.array([True, True, False, False, False])
    response = np.zeros_like(real)
    response[0, 0, 2:5] = response[0, 1, 2:4] = response[1, :, 1] = True
    wider[0, :, 0] = 1
    batch = batch.replace(
      tokens=wider, attention_mask=real, response_mask=response
    )
    others = unpaired.mismatched(batch)
    written = [
      [
        np.asarray(others.tokens[row, k])[
          np.asarray(others.attention_mask[row, k])
        ].tolist()
        for k in (0, 1)
      ]
      for row in (0, 1)
    ]
    end = toy.EOS
    self.assertEqual(
      written, [[[1, 0, end], [1, 0, end]], [[1, 1, 0, end], [1, 0, 1]]]
    )
    counted = np.asarray(others.response_mask)
    np.testing.assert_array_equal(counted.sum(-1), [[1, 1], [3, 2]])
    np.testing.assert_array_equal(
      np.asarray(others.tokens)[0][counted[0]], [end, end]
    )

  def test_a_response_that_is_not_there_is_left_out_of_the_estimate(self):
    # Prompt 1 has one response: nothing mismatched comes from its second.
    lists = [LISTS[0], LISTS[1][:1], LISTS[2]]
    arrays = unpaired.arrays_for(
      {'policy': POLICY},
      {'reference': REFERENCE},
      toy.compared(HEADS, lists),
      ('kl',),
      models=toy.MODELS,
      config=KTO,
    )
    shifted = log_ratios(shift=1)
    # (0, 1) has no partner, (1, 1) is no response.
    kept = [shifted[0, 0], shifted[1, 0], shifted[2, 0], shifted[2, 1]]
    self.assertGreater(np.mean(kept), 0.0)
    np.testing.assert_allclose(arrays['kl'], np.mean(kept), rtol=1e-5)


class OnePromptTest(parameterized.TestCase):
  """What a batch without any other prompt says of the KL: nothing."""

  def estimate(self, heads, lists, **fields):
    _, metrics = evaluate(KTO, toy.compared(heads, lists, **fields))
    return float(metrics['kl_estimate'].value)

  def test_a_batch_of_one_row_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'a batch of one prompt.*2 or more'):
      self.estimate([0], LISTS[:1])

  def test_of_rows_that_ask_the_same_it_is_0(self):
    lists = [[(1, 0, toy.EOS)], [(0, 0, toy.EOS)]]
    self.assertGreater(log_ratio(POLICY, 1, lists[1][0]), 0.0)
    self.assertEqual(self.estimate([1, 1], lists), 0.0)
    found = self.estimate([0, 1], lists)
    ours = [log_ratio(POLICY, head, lists[1 - head][0]) for head in (0, 1)]
    np.testing.assert_allclose(found, max(np.mean(ours), 0.0), rtol=1e-5)

  @parameterized.parameters(([1.0, 0.0, 0.0],), ([0.0, 0.0, 0.0],))
  def test_rows_of_weight_0_are_no_other_prompt(self, weight):
    weight = np.array(weight, np.float32)
    self.assertEqual(self.estimate(HEADS, LISTS, weight=weight), 0.0)
    for config in (KTO, BCO):
      value, metrics = evaluate(config, pairs(weight=weight))
      chex.assert_tree_all_finite((value, metrics))

  def test_bco_takes_a_batch_of_one(self):
    """Its δ is the mean so far: at first its own log-ratio, and log 2."""
    value, _ = evaluate(BCO, toy.compared([0], [[(1, 0, toy.EOS)]]))
    np.testing.assert_allclose(value, np.log(2.0), rtol=1e-5)


class KtoTest(parameterized.TestCase):
  def test_is_that_of_the_listed_probabilities(self):
    value, metrics = evaluate(KTO, pairs())
    ratios, kl = log_ratios(), max(0.0, log_ratios(shift=1).mean())
    self.assertGreater(kl, 0.01)
    gains = BETA * (ratios - kl)
    expected = 1.0 - sigmoid(gains * [1.0, -1.0])
    np.testing.assert_allclose(value, expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics['kl_estimate'].value, kl, rtol=1e-5)
    for name, part in (
      ('log_ratio', ratios),
      ('desirable_log_ratio', ratios[:, 0]),
      ('undesirable_log_ratio', ratios[:, 1]),
    ):
      np.testing.assert_allclose(
        metrics[name].value, part.mean(), rtol=1e-4, atol=1e-6
      )

  def test_an_estimate_below_zero_is_zero(self):
    # With the roles exchanged every log-ratio changes its sign.
    arrays = unpaired.arrays_for(
      {'policy': REFERENCE},
      {'reference': POLICY},
      pairs(),
      ('kl',),
      models=toy.MODELS,
      config=KTO,
    )
    self.assertEqual(arrays['kl'], 0.0)

  def test_at_the_reference_nothing_is_known(self):
    value, metrics = evaluate(KTO, pairs(), policy=REFERENCE)
    self.assertEqual(metrics['kl_estimate'].value, 0.0)
    np.testing.assert_allclose(value, 0.5, rtol=1e-6)

  def test_the_baseline_is_a_constant(self):
    """The gradient is that of the loss at a kl that is written down."""
    kl = np.float32(max(0.0, log_ratios(shift=1).mean()))

    def fixed(policy_logps, reference_logps, desirable):
      return losses.kto(policy_logps, reference_logps, desirable, kl, beta=BETA)

    def slope(config):
      return jax.grad(
        lambda policy: evaluate(config, pairs(), policy=policy)[0]
      )

    chex.assert_trees_all_close(
      slope(KTO)(POLICY),
      slope(unpaired.Config(objective=fixed))(POLICY),
      atol=1e-6,
    )

  def test_what_is_desirable_can_be_told_by_scores(self):
    scores = np.float32([[1.0, 0.5], [0.0, -1.0], [2.0, -2.0]])
    wanted = scores > 0.0
    config = unpaired.Config(
      objective=KTO.objective, desirable=unpaired.positive_score
    )
    value, _ = evaluate(config, pairs(scores=scores))
    kl = log_ratios(shift=1).mean()
    gains = BETA * (log_ratios() - kl)
    expected = 1.0 - sigmoid(np.where(wanted, gains, -gains))
    np.testing.assert_allclose(value, expected.mean(), rtol=1e-5)
    with self.assertRaisesRegex(ValueError, 'no scores to say what is desir'):
      evaluate(config, pairs())

  def test_kept_log_probs_do_not_make_an_estimate(self):
    kept = np.zeros((3, 2), np.float32)
    with self.assertRaisesRegex(ValueError, 'takes the reference itself'):
      evaluate(KTO, pairs(reference_logps=kept), frozen={})
    # BCO's mean does without.
    evaluate(BCO, pairs(reference_logps=kept), frozen={})

  def test_a_reference_that_is_not_there(self):
    for config in (KTO, BCO):
      with self.assertRaisesRegex(ValueError, 'froze none') as raised:
        evaluate(config, pairs(), frozen={})
      self.assertNotIn('\n', str(raised.exception))

  def test_a_batch_for_it_is_not_cut(self):
    with self.assertRaisesRegex(ValueError, 'kto compares .* 2 micro-batches'):
      unpaired.Config(objective=KTO.objective, micro_batches=2)


class BcoTest(parameterized.TestCase):
  def step(self, state, batch):
    return unpaired.update(
      state,
      {'reference': REFERENCE},
      batch,
      KEY,
      models=toy.MODELS,
      optimizer=optax.sgd(0.0),
      config=BCO,
    )

  def test_the_mean_is_over_all_responses_so_far(self):
    first = pairs()
    # Fewer responses, which count for less: one row only fills the batch.
    second = toy.compared(
      [1, 0], [[(1, 1, 1), (0, 1)], [(0, toy.EOS)]]
    ).replace(weight=np.float32([1.0, 0.0]))
    ratios = log_ratios()
    others = [log_ratio(POLICY, 1, text) for text in ((1, 1, 1), (0, 1))]

    params = {'policy': POLICY}
    state = training.create(params, optax.sgd(0.0), BCO.initial_extra())
    state, metrics = self.step(state, first)
    # δ counts the batch that the loss is of.
    gains = BETA * (ratios - ratios.mean()) * [1.0, -1.0]
    np.testing.assert_allclose(
      metrics['loss/preference'].value,
      -np.log(sigmoid(gains)).mean(),
      rtol=1e-5,
    )
    state, metrics = self.step(state, second)
    mean = np.mean([*ratios.ravel(), *others])
    self.assertNotAlmostEqual(mean, ratios.mean(), places=2)
    gains = BETA * (np.array(others) - mean) * [1.0, -1.0]
    np.testing.assert_allclose(
      metrics['loss/preference'].value,
      -np.log(sigmoid(gains)).mean(),
      rtol=1e-5,
    )
    np.testing.assert_allclose(state.extra['seen'], 8.0)
    np.testing.assert_allclose(
      state.extra['seen_log_ratio'], 8.0 * mean, rtol=1e-5
    )

  def test_rows_of_no_weight_change_nothing(self):
    more = toy.compared([0, 1], [LISTS[2], LISTS[0]]).replace(
      weight=np.zeros(2, np.float32)
    )
    filled = jax.tree.map(lambda *x: np.concatenate(x), pairs(), more)
    chex.assert_trees_all_close(
      evaluate(BCO, filled), evaluate(BCO, pairs()), atol=1e-6
    )


class FilesTest(parameterized.TestCase):
  def read(self, *rows):
    """The batch of a file."""
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder) / 'f.jsonl'
      path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
      records = formats.comparisons(path)
    tokenizer = tokens.word_level(list('abc'))
    limits = Limits(max_prompt_tokens=4, max_response_tokens=4)
    examples, _ = encoding.encode(records, tokenizer, templates.PLAIN, limits)
    return collation.collate(examples, pad_id=tokenizer.pad_id, limits=limits)

  @parameterized.named_parameters(
    ('trl', {'prompt': 'a', 'completion': 'b'}, 'label'),
    (
      'labelled',
      {'prompt': [{'role': 'user', 'content': 'a'}], 'response': 'b'},
      'desirable',
    ),
  )
  def test_a_label_says_what_is_desirable(self, row, label):
    batch = self.read(*(row | {label: good} for good in (True, False, True)))
    np.testing.assert_array_equal(
      KTO.desirable(batch), [[True], [False], [True]]
    )

  def test_among_ranked_responses_one_alone_goes_by_its_score(self):
    batch = pairs(scores=np.array([[3.0, 2.0], [-1.0, -2.0], [-1.0, 0.0]]))
    batch = batch.replace(
      candidate_mask=np.array([[True, True], [True, True], [True, False]])
    )
    np.testing.assert_array_equal(
      KTO.desirable(batch), [[True, False], [True, False], [False, False]]
    )

  def test_without_scores_the_first_is_desirable(self):
    np.testing.assert_array_equal(KTO.desirable(pairs()), [[True, False]] * 3)


def probe(
  policy_logps, reference_logps, lengths, desirable, mean_log_ratio, kl
):
  """Reads all that there is, each in a way of its own; numpy or jax."""
  ratios = policy_logps - 0.7 * reference_logps
  return (
    0.3 * (ratios - mean_log_ratio) ** 2
    + 0.2 * policy_logps * lengths * desirable
    - 0.5 * kl * ratios
  )


def kto_of(arrays, beta, desirable_weight=1.0, undesirable_weight=1.0):
  gains = beta * (
    arrays['policy_logps'] - arrays['reference_logps'] - arrays['kl']
  )
  return np.where(
    arrays['desirable'],
    desirable_weight * definitions.sigmoid(-gains),
    undesirable_weight * definitions.sigmoid(gains),
  )


def bco_of(arrays, beta):
  gains = arrays['policy_logps'] - arrays['reference_logps']
  gains = beta * (gains - arrays['mean_log_ratio'])
  return definitions.softplus(np.where(arrays['desirable'], -gains, gains))


FIRST = np.broadcast_to([True, False], (6, 2))
POSITIVE = tables.SCORES > 0.0
# Where scores are given, one that stands alone goes by its own.
BY_DEFAULT = np.where(np.arange(6)[:, None] == 2, POSITIVE, FIRST)
WEIGHTED = functools.partial(
  losses.kto, beta=0.4, desirable_weight=1.3, undesirable_weight=0.6
)
SEEN = {'seen_log_ratio': 3.5, 'seen': 5.0}
# The settings, the objective by definition, what is desirable.
TABLE = {
  'defaults': ({}, functools.partial(kto_of, beta=0.1), BY_DEFAULT),
  'objective': (
    {'objective': WEIGHTED},
    functools.partial(
      kto_of, beta=0.4, desirable_weight=1.3, undesirable_weight=0.6
    ),
    BY_DEFAULT,
  ),
  'desirable': (
    {'desirable': unpaired.positive_score},
    functools.partial(kto_of, beta=0.1),
    POSITIVE,
  ),
  'seen': (
    SEEN | {'objective': functools.partial(losses.bco, beta=0.4)},
    functools.partial(bco_of, beta=0.4),
    BY_DEFAULT,
  ),
  'all': (
    SEEN | {'objective': probe, 'desirable': unpaired.positive_score},
    lambda arrays: probe(**arrays),
    POSITIVE,
  ),
}


class TableTest(parameterized.TestCase):
  """Every setting and every array, by sums over ragged prompts' responses."""

  # The reference is the one that the estimate of the KL is above 0 against.
  def definition(self, table, name, constants=None):
    options, objective, desirable = TABLE[name]
    config = unpaired.Config(**options)
    return definitions.unpaired(
      table,
      tables.HEADS,
      tables.LISTS,
      objective,
      weight=tables.WEIGHT,
      reference=tables.table(REFERENCE),
      desirable=desirable,
      seen=(config.seen_log_ratio, config.seen),
      constants=constants,
    )

  @parameterized.parameters(*TABLE)
  def test_an_update_is_by_definition(self, name):
    config = unpaired.Config(**TABLE[name][0])
    grads, metrics, state = tables.updated(
      unpaired,
      config,
      tables.batch(scores=tables.float32(tables.SCORES)),
      params={'policy': POLICY},
      frozen={'reference': REFERENCE},
      extra=config.initial_extra(),
    )
    terms, told, constants = self.definition(tables.table(POLICY), name)
    self.assertGreater(constants[0], 0.05)
    if name in ('objective', 'defaults', 'desirable', 'all'):
      self.assertIn('kl_estimate', metrics)
    else:
      del told['kl_estimate']
    tables.hold(
      self,
      (grads['policy']['embedding'], metrics),
      (terms, told),
      tables.of_table(
        # Both numbers of the batch are constants to the gradient.
        lambda table: self.definition(table, name, constants)[:2],
        POLICY,
      ),
    )
    total, weight = told['log_ratio']
    np.testing.assert_allclose(
      [state.extra['seen_log_ratio'], state.extra['seen']],
      [total + config.seen_log_ratio, weight + config.seen],
      rtol=1e-4,
    )

  def test_every_setting_is_here(self):
    configs = [unpaired.Config(**options) for options, *_ in TABLE.values()]
    # Coupled objectives are not cut; this one is.
    anchored = functools.partial(losses.apo_zero_unpaired, beta=0.1)
    configs.append(unpaired.Config(objective=anchored, micro_batches=2))
    tables.every_field_is_moved(self, unpaired.Config, configs)

  def test_micro_batches_are_the_batch(self):
    anchored = functools.partial(losses.apo_zero_unpaired, beta=0.3)

    def anchored_of(arrays):
      ratios = arrays['policy_logps'] - arrays['reference_logps']
      signs = np.where(arrays['desirable'], -1.0, 1.0)
      return definitions.sigmoid(0.3 * signs * ratios)

    config = unpaired.Config(objective=anchored, micro_batches=2)
    grads, metrics, _ = tables.updated(
      unpaired,
      config,
      tables.batch(),
      params={'policy': POLICY},
      frozen={'reference': REFERENCE},
      extra=config.initial_extra(),
    )

    def definition(table):
      terms, told, _ = definitions.unpaired(
        table,
        tables.HEADS,
        tables.LISTS,
        anchored_of,
        weight=tables.WEIGHT,
        reference=tables.table(REFERENCE),
        desirable=FIRST,
      )
      del told['kl_estimate']
      return terms, told

    tables.hold(
      self,
      (grads['policy']['embedding'], metrics),
      definition(tables.table(POLICY)),
      tables.of_table(definition, POLICY),
    )
