"""RAFT on a policy whose every response can be listed."""

import dataclasses

import chex
import jax
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import masking
from rlhf_jax.learners import likelihood
from rlhf_jax.methods import raft
from rlhf_jax.training import optimizers
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from tests import toy
from tests.methods import online
from tests.methods import online_definitions as definitions

SCORES = np.array([[1.0, 3.0, 2.0], [7.0, 9.0, 8.0], [0.0, 5.0, 5.0]])
SCORES = SCORES.astype(np.float32)
ALL = np.ones((3, 3), bool)
OPTIMIZER = optax.adam(0.1)
SHAPE = jitted(raft.shape)


def select(how, scores, mask=ALL):
  places, kept = how(scores.astype(np.float32), mask)
  return np.asarray(places).tolist(), np.asarray(kept).tolist()


class SelectionTest(chex.TestCase):
  # Places count row by row: 0 1 2, 3 4 5, 6 7 8.

  @chex.variants(with_jit=True, without_jit=True)
  def test_local_keeps_the_best_of_each_prompt(self):
    places, kept = self.variant(raft.local)(SCORES, ALL)
    np.testing.assert_array_equal(places, [1, 4, 7])
    np.testing.assert_array_equal(kept, [True, True, True])

  @chex.variants(with_jit=True, without_jit=True)
  def test_overall_keeps_the_best_of_the_batch(self):
    places, kept = self.variant(raft.overall)(SCORES, ALL)
    np.testing.assert_array_equal(places, [4, 5, 3])  # All of one prompt.
    np.testing.assert_array_equal(kept, [True, True, True])

  def test_masked_ones_are_never_kept(self):
    mask = ALL.copy()
    mask[0], mask[1, 1] = False, False
    scores = np.where(mask, SCORES, np.nan)
    places, kept = select(raft.local, scores, mask)
    self.assertEqual((places[1:], kept), ([5, 7], [False, True, True]))
    self.assertEqual(
      select(raft.overall, scores, mask), ([5, 3, 7], [True, True, True])
    )
    mask[1:] = False
    mask[2, 0] = True
    places, kept = select(raft.overall, scores, mask)
    self.assertEqual((places[0], kept), (6, [True, False, False]))

  def test_what_a_prompt_is_worth_matters_overall_only(self):
    harmless = SCORES * np.array([[3.0], [0.5], [2.0]]) + [[8.0], [-9.0], [1.0]]
    self.assertEqual(select(raft.local, harmless), select(raft.local, SCORES))
    # [11 17 14], [-5.5 -4.5 -5], [1 11 11].
    self.assertEqual(select(raft.overall, harmless)[0], [1, 2, 0])


def begin(seed=0):
  """A policy with every response likely, another reference, and a judge."""
  keys = jax.random.split(jax.random.key(seed), 3)
  params, reference = (toy.POLICY.init(key) for key in keys[:2])
  frozen = {'reference': reference, 'reward': toy.SCALAR.init(keys[2])}
  return params, frozen


def config(**options):
  # One shape and one program for all tests but those of other sizes.
  values = {'batch_size': 16, 'samples': 4, 'epochs': 3, 'minibatches': 4}
  values |= {'steps': 1, 'temperature': 1.0}
  return raft.Config(**(values | options))


def listed(rollouts):
  """Every response as a tuple of its tokens: B lists of K."""
  tokens, mask = map(np.asarray, rollouts.responses)
  return [
    [tuple(row[keep].tolist()) for row, keep in zip(*pair, strict=True)]
    for pair in zip(tokens, mask, strict=True)
  ]


def asked(count):
  """The tokens of the toy's prompts, a tuple each."""
  prompts = toy.prompts(count)
  pairs = zip(prompts.tokens, prompts.attention_mask, strict=True)
  return [tuple(row[real].tolist()) for row, real in pairs]


def imitated(batch):
  """(prompt, response) of each demonstration, and their weights."""
  kept = batch.demonstrations
  tokens, attention, mask = map(
    np.asarray, (kept.tokens, kept.attention_mask, kept.response_mask)
  )
  pairs = [
    (tuple(row[real & ~keep].tolist()), tuple(row[keep].tolist()))
    for row, real, keep in zip(tokens, attention, mask, strict=True)
  ]
  return pairs, np.asarray(kept.weight)


class CollectTest(parameterized.TestCase):
  def collect(self, frozen=None, params=None, **options):
    own, others = begin()
    return raft.collect(
      toy.state({'policy': own if params is None else params}),
      frozen or others,
      toy.prompts(16),
      jax.random.key(5),
      models=toy.MODELS,
      config=config(**options),
    )

  def test_keeps_the_best_that_ended_of_each_prompt(self):
    _, frozen = begin()
    worth = np.asarray(frozen['reward']['head']['kernel'])[:, 0]
    batch, metrics = self.collect()
    heads = asked(16)
    ended = np.asarray(batch.rollouts.ended)
    pairs, weights = imitated(batch)
    best, above, cut = [], [], 0
    for row, (texts, whole) in enumerate(
      zip(listed(batch.rollouts), ended, strict=True)
    ):
      head = heads[row]
      # The toy judge adds up what each token is worth, the prompt's too.
      scores = [sum(worth[t] for t in (*head, *text)) for text in texts]
      valid = [s for s, w in zip(scores, whole, strict=True) if w]
      cut += not whole[int(np.argmax(scores))]
      self.assertEqual(weights[row], float(bool(valid)))
      if valid:
        place = next(
          k for k, s in enumerate(scores) if whole[k] and s == max(valid)
        )
        self.assertEqual(pairs[row], (head, texts[place]))
        best.append(max(valid))
        above.append(max(valid) - np.median(valid))
    self.assertGreater(cut, 0)  # Or ending would not have mattered.
    for name, values in (
      ('kept_score', best),
      ('best_score', best),
      ('best_above_median', above),
    ):
      np.testing.assert_allclose(
        metrics[name].value, np.mean(values), rtol=1e-5, err_msg=name
      )
    np.testing.assert_allclose(metrics['kept'].value, len(best) / 16)

  def test_prompts_where_none_ended_weigh_nothing(self):
    batch, _ = self.collect()
    cut = batch.rollouts.replace(
      ended=np.asarray(batch.rollouts.ended) & (np.arange(16) % 4 > 0)[:, None]
    )
    params, frozen = begin()
    scores = toy.MODELS.scorer(frozen, cut)
    options = {'models': toy.MODELS, 'config': config()}
    batch, metrics = SHAPE({'policy': params}, frozen, cut, scores, **options)
    weights = np.asarray(batch.demonstrations.weight)
    np.testing.assert_array_equal(weights[::4], np.zeros(4))
    self.assertGreater(weights.sum(), 0.0)
    chex.assert_tree_all_finite(metrics)

    # Whatever stands in such rows, the update is the same.
    state = training.create({'policy': params}, OPTIMIZER)
    kept = batch.demonstrations
    noise = np.where(weights[:, None] > 0, kept.tokens, toy.EOS)
    others = batch.replace(demonstrations=kept.replace(tokens=noise))
    moved, same = (
      jitted(raft.update)(
        state, frozen, b, jax.random.key(1), optimizer=OPTIMIZER, **options
      )
      for b in (batch, others)
    )
    chex.assert_trees_all_equal(moved[0].params, same[0].params)

  @parameterized.parameters(0.0, 0.4, 3.0)
  def test_the_kl_takes_part_in_the_ranking(self, kl_coef):
    params, frozen = begin(3)
    batch, metrics = self.collect(frozen, params, kl_coef=kl_coef)
    own, reference = (
      np.asarray(p['embedding'], np.float64)
      for p in (params, frozen['reference'])
    )
    scores = np.asarray(toy.MODELS.scorer(frozen, batch.rollouts))
    pairs, weights = imitated(batch)
    heads = asked(16)
    ended, kls = np.asarray(batch.rollouts.ended), []
    for row, texts in enumerate(listed(batch.rollouts)):
      head = heads[row]
      kl = [
        toy.log_probability(own, head, text)
        - toy.log_probability(reference, head, text)
        for text in texts
      ]
      kls += kl
      ranked = scores[row] - kl_coef * np.array(kl)
      if weights[row]:
        best = np.argmax(np.where(ended[row], ranked, -np.inf))
        self.assertEqual(pairs[row], (head, texts[best]))
    np.testing.assert_allclose(metrics['kl'].value, np.mean(kls), rtol=1e-5)
    np.testing.assert_allclose(
      metrics['score'].value, np.mean(scores), rtol=1e-5
    )

  def test_the_kl_is_0_at_the_start(self):
    params, frozen = begin()
    _, metrics = self.collect(frozen | {'reference': params}, params)
    self.assertEqual(metrics['kl'].value, 0.0)
    self.assertLess(metrics['sampler_gap'].value, 1e-5)


def best_of(samples, head, params, frozen):
  """Rewards of all responses, their chances, and the law of the best of K."""
  table = np.asarray(params['embedding'], np.float64)
  worth = np.asarray(frozen['reward']['head']['kernel'], np.float64)[:, 0]
  rewards = np.array(
    [worth[head] + sum(worth[t] for t in y) for y in toy.responses()]
  )
  chances = np.array([toy.probability(table, head, y) for y in toy.responses()])
  values = np.unique(rewards)
  at_most = np.array([chances[rewards <= v].sum() for v in values])
  return rewards, chances, values, np.diff(at_most**samples, prepend=0.0)


class GainTest(parameterized.TestCase):
  @parameterized.product(samples=(1, 2, 8, 64), seed=(0, 1, 2), head=(0, 1))
  def test_the_best_of_k_gains_no_more_than_the_root_of_log_k(
    self, samples, seed, head
  ):
    rewards, chances, values, law = best_of(samples, head, *begin(seed))
    mean, best = chances @ rewards, law @ values
    spread = rewards.max() - rewards.min()
    self.assertLessEqual(mean, best + 1e-9)
    bound = mean + np.sqrt(spread**2 / 2 * np.log(samples))
    self.assertLessEqual(best, bound + 1e-9)

  @parameterized.parameters(2, 8)
  def test_what_is_kept_is_worth_the_best_of_k(self, samples):
    count, head = 1024, 0
    params, frozen = begin()
    _, _, values, law = best_of(samples, head, params, frozen)
    prompts = toy.prompts(count)
    rollouts = toy.MODELS.sampler.sample(
      params,
      prompts.replace(
        tokens=np.full((count, 1), head),
        attention_mask=np.ones((count, 1), bool),
      ),
      jax.random.key(0),
      samples=samples,
      sampling=Sampling(temperature=1.0),
    )
    # Here all that is sampled may be kept.
    rollouts = rollouts.replace(ended=np.ones_like(rollouts.ended))
    _, metrics = SHAPE(
      {'policy': params},
      frozen,
      rollouts,
      toy.MODELS.scorer(frozen, rollouts),
      models=toy.MODELS,
      config=config(batch_size=count, samples=samples),
    )
    best = law @ values
    error = np.sqrt(law @ (values - best) ** 2 / count)
    self.assertAlmostEqual(
      float(metrics['kept_score'].value), best, delta=4 * error + 1e-5
    )


class UpdateTest(absltest.TestCase):
  def test_stages_are_counted_and_all_passes_taken(self):
    params, frozen = begin()
    batch, _ = CollectTest().collect()
    state, _ = jitted(raft.update)(
      training.create({'policy': params}, OPTIMIZER),
      frozen,
      batch,
      jax.random.key(0),
      models=toy.MODELS,
      optimizer=OPTIMIZER,
      config=config(),
    )
    self.assertEqual(state.step, 1)
    self.assertEqual(state.opt_state[0].count, 3 * 4)

  def test_the_optimizer_decays_over_all_passes(self):
    made = config(steps=5, epochs=3, minibatches=4).make_optimizer()
    state = made.init(np.zeros(()))
    grads = []
    for _ in range(5 * 3 * 4 + 1):
      step, state = made.update(np.float32(1.0), state, np.zeros(()))
      grads.append(abs(float(step)))
    self.assertGreater(grads[-2], 0.0)
    self.assertEqual(grads[-1], 0.0)

  def test_stages_raise_the_expected_reward(self):
    params, frozen = begin(1)
    worth = np.asarray(frozen['reward']['head']['kernel'], np.float64)[:, 0]

    def expected(params):
      table = np.asarray(params['embedding'], np.float64)
      return np.mean(
        [
          sum(
            toy.probability(table, head, y) * sum(worth[t] for t in y)
            for y in toy.responses()
          )
          for head in toy.WORDS
        ]
      )

    before = expected(params)
    state = training.create({'policy': params}, OPTIMIZER)
    gained = []
    for step in range(12):
      key = jax.random.fold_in(jax.random.key(9), step)
      batch, metrics = raft.collect(
        state,
        frozen,
        toy.prompts(16),
        key,
        models=toy.MODELS,
        config=config(),
      )
      gained.append(float(metrics['best_above_median'].value))
      state, _ = jitted(raft.update)(
        state,
        frozen,
        batch,
        key,
        models=toy.MODELS,
        optimizer=OPTIMIZER,
        config=config(),
      )
    ended = [y for y in toy.responses() if y[-1] == toy.EOS]
    most = max(sum(worth[t] for t in y) for y in ended)
    after = expected(state.params['policy'])
    self.assertGreater(after, before + 0.5 * (most - before))
    self.assertLess(gained[-1], gained[0])  # Less and less left to choose.


ENDED = definitions.ENDED.reshape(4, 3) & (np.arange(4) != 2)[:, None]
SCORED = definitions.SCORED.reshape(4, 3)
FIELDS = {
  'samples': 3,
  'batch_size': 4,
  'temperature': 0.6,
  'sampling': Sampling(top_p=0.9),
  'select': raft.overall,
  'kl_coef': 6.0,
  'epochs': 2,
  'minibatches': 1,
  'micro_batches': 2,
  'reduction': masking.sequence_sum,
  'weighing': likelihood.unnormalised,
  'steps': 5,
  'optimizer': optimizers.Adam(learning_rate=0.1),
}


class WiringTest(parameterized.TestCase):
  """Every field against its definition, on responses chosen beforehand."""

  def ranked(self, temperature, kl_coef):
    """[4, 3] what ranks, and the KL of each response."""
    policy, reference = (
      definitions.logps_of(table, temperature).sum(axis=1).reshape(4, 3)
      for table in (online.TABLES.policy, online.TABLES.reference)
    )
    kl = policy - reference
    return definitions.SCORES - kl_coef * kl, kl

  def collected(self, **changes):
    fields, asked = FIELDS | changes, []
    rollouts = definitions.rollouts().replace(ended=ENDED)
    key = jax.random.key(5)

    def sampler(params, prompts, key, *, samples, sampling, at_a_time):
      self.assertEqual(at_a_time, 2)
      asked.append((params, prompts.index.tolist(), key, samples, sampling))
      return jax.tree.map(lambda x: np.asarray(x)[prompts.index], rollouts)

    def scorer(frozen, rollouts):
      del rollouts
      self.assertIs(frozen['reference'], online.REFERENCE)
      return np.where(SCORED, definitions.SCORES, np.nan)

    batch, metrics = raft.collect(
      toy.state({'policy': online.POLICY}),
      {'reference': online.REFERENCE},
      toy.prompts(4),
      key,
      models=toy.MODELS._replace(sampler=toy.spy(sampler), scorer=scorer),
      config=raft.Config(**fields),
    )
    self.assertEqual([rows for _, rows, *_ in asked], [[0, 1, 2, 3]])
    cut = fields['sampling'].replace(temperature=fields['temperature'])
    for params, _, given, samples, sampling in asked:
      self.assertIs(params, online.POLICY)
      self.assertEqual((given, samples), (key, 3))
      self.assertEqual(sampling, cut)
    return batch, metrics

  def rows(self, **changes):
    """The places of what is kept, by definition, and which prompts have any."""
    fields = FIELDS | changes
    ranked, _ = self.ranked(fields['temperature'], fields['kl_coef'])
    ranked = np.where(ENDED & SCORED, ranked, -np.inf)
    if fields['select'] is raft.local:
      best = 3 * np.arange(4) + ranked.argmax(axis=1)
    else:
      best = np.argsort(-ranked.reshape(-1), kind='stable')[:4]
    return best, np.isfinite(ranked.reshape(-1)[best])

  @parameterized.parameters(
    ({},),
    ({'select': raft.local},),
    ({'kl_coef': 0.0},),
    ({'temperature': 1.0, 'select': raft.local},),
  )
  def test_what_is_kept(self, changes):
    batch, metrics = self.collected(**changes)
    best, kept = self.rows(**changes)
    whole = definitions.rollouts()
    for name in ('tokens', 'attention_mask', 'response_mask'):
      found = np.asarray(getattr(batch.demonstrations, name))
      expected = getattr(whole, name).reshape(12, -1)[best]
      np.testing.assert_array_equal(found[kept], expected[kept])
    np.testing.assert_array_equal(batch.demonstrations.weight, kept)
    scores, valid = definitions.SCORES, ENDED & SCORED
    _, kl = self.ranked((FIELDS | changes)['temperature'], 0.0)
    tops = [row[which] for row, which in zip(scores, valid, strict=True)]
    tops = [row for row in tops if len(row)]
    expected = {
      'kept_score': scores.reshape(-1)[best][kept].mean(),
      'kept': kept.mean(),
      'best_score': np.mean([row.max() for row in tops]),
      'best_above_median': np.mean([r.max() - np.median(r) for r in tops]),
      'score': scores[SCORED].mean(),
      'kl': kl[SCORED].mean(),
      'ended': ENDED[SCORED].mean(),
      'unscored': 2 / 12,
    }
    for name, number in expected.items():
      np.testing.assert_allclose(
        metrics[name].value, number, atol=2e-5, err_msg=name
      )

  def test_the_cases_differ(self):
    kept = [
      set(best[which])
      for best, which in (
        self.rows(**changes)
        for changes in (
          {},
          {'select': raft.local},
          {'kl_coef': 0.0},
          {'temperature': 1.0},
        )
      )
    ]
    for i in range(1, 4):
      self.assertNotEqual(kept[0], kept[i])
    self.assertFalse(self.rows(select=raft.local)[1].all())

  def test_two_passes_over_what_is_kept(self):
    rows = []

    def hidden(params, tokens, *args, **named):
      rows.append(tokens.shape[0])
      return toy.POLICY.hidden(params, tokens, *args, **named)

    batch, _ = self.collected(select=raft.local)
    best, kept = self.rows(select=raft.local)
    optimizer = optax.sgd(0.1)
    state, metrics = raft.update(
      training.create({'policy': online.POLICY}, optimizer),
      {},
      batch,
      jax.random.key(0),
      models=toy.MODELS._replace(policy=toy.POLICY._replace(hidden=hidden)),
      optimizer=optimizer,
      config=raft.Config(**FIELDS),
    )
    self.assertEqual(set(rows), {2})
    self.assertEqual(state.step, 1)
    self.assertEqual(metrics['gradient_norm'].weight, 2)

    # A row counts that says something, kept or not.
    count = np.asarray(batch.demonstrations.response_mask).any(axis=1).sum()

    def loss(table):
      logps = definitions.logps_of(table, 1.0).sum(axis=1)
      return -(logps[best] * kept).sum() / count

    table = online.TABLES.policy
    for _ in range(2):
      table = table - 0.1 * definitions.slope(loss, table)
    moved = online.numbers(state.params['policy'])
    np.testing.assert_allclose(moved, table, atol=2e-5)

  def test_every_field_has_a_value(self):
    fields = {field.name for field in dataclasses.fields(raft.Config)}
    self.assertEqual(fields, set(FIELDS))

  def test_defaults(self):
    expected = {
      'steps': 1,
      'batch_size': 2048,
      'samples': 32,
      'temperature': 0.85,
      'sampling': Sampling(),
      'select': raft.local,
      'kl_coef': 0.0,
      'epochs': 2,
      'minibatches': 32,
      'micro_batches': 1,
      'reduction': masking.token_mean,
      'weighing': likelihood.self_normalised,
      'optimizer': optimizers.Adam(learning_rate=2e-5, decay=optimizers.linear),
    }
    self.assertEqual(online.values_of(raft.Config(steps=1)), expected)

  def test_stage(self):
    config = raft.Config(steps=1)
    given = {'data': 'd', 'start': 's', 'reward': 'r', 'name': 'n'}
    usual = {'data': 'prompts', 'start': 'sft', 'reward': 'reward_model'}
    for names, options in ((given, given), (usual | {'name': 'raft'}, {})):
      stages = raft.stages(config, **options)
      (stage,) = stages.values()
      self.assertEqual(list(stages), [names['name']])
      self.assertEqual(stage.start, {'policy': names['start']})
      frozen = {'reference': names['start'], 'reward': names['reward']}
      self.assertEqual(stage.frozen, frozen)
      self.assertEqual(stage.data, names['data'])
      self.assertEqual((stage.log_every, stage.checkpoint_every), (1, 5))
      self.assertEqual(
        (stage.init, stage.update, stage.collect, stage.config),
        (likelihood.init, raft.update, raft.collect, config),
      )


if __name__ == '__main__':
  absltest.main()
