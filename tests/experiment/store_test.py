"""What a stage makes is its own: the keys it draws under, each used once."""

import contextlib
import dataclasses
import pathlib
import tempfile
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax.data import orders
from rlhf_jax.data.curriculum import Curriculum, uniform
from rlhf_jax.experiment import (
  Evaluation,
  PolicyVariant,
  answering,
  batching,
  running,
)
from rlhf_jax.experiment.measuring import measure
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.experiment.run import make
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.stages import DatasetStage, Stage
from rlhf_jax.types import Comparison, Mean, Rollouts, prompt_of
from tests import toy
from tests.experiment import small

STEPS, BATCH, FOLDED = 3, 4, 24


def words(key):
  return tuple(np.asarray(jax.random.key_data(key)).ravel().tolist())


def with_offspring(data):
  """A key's words, and those of what may be folded or split from it, twice."""

  def fold(keys, count):
    each = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    return jax.vmap(each, in_axes=(0, None))(keys, jnp.arange(count)).ravel()

  key = jax.random.wrap_key_data(jnp.array([data], jnp.uint32))
  folded = fold(key, FOLDED)
  every = jnp.concatenate([key, folded, fold(folded[: STEPS + 1], 2)])
  return [*map(tuple, np.asarray(jax.random.key_data(every)).tolist())]


HANDED: list[tuple[str, tuple[int, ...]]] = []


def note(role, key):
  jax.debug.callback(
    lambda data: HANDED.append((role, tuple(data.tolist()))),
    jax.random.key_data(key),
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  name: str
  steps: int = STEPS
  batch_size: int = BATCH

  def make_optimizer(self):
    return optax.identity()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
  name: str
  count: int | None = None
  batch_size: int = BATCH


def init(key, start, *, models, config):
  del start, models
  note(f'{config.name} init', key)
  return {'embedding': jnp.zeros((8, 8))}


def collect(state, frozen, prompts, key, *, models, config):
  del state, frozen, models
  note(f'{config.name} collect', key)
  return prompts, {}


def update(state, frozen, batch, key, *, models, optimizer, config):
  del frozen, batch, models, optimizer
  note(f'{config.name} update', key)
  return state.replace(step=state.step + 1), {'x': Mean.of(0.0)}


def training(name):
  """{name}: a stage that learns nothing and notes its keys."""
  stage = Stage(
    init=init, update=update, collect=collect, config=Config(name=name),
    data='prompts', produces='nothing',
  )  # fmt: skip
  return {name: stage}


SEEDS: dict[str, list[int]] = {}


def build(records, queries, *, config):
  """A pair of each record, after one look at its samples and its seed."""
  SEEDS.setdefault(config.name, []).extend(queries.seeds)
  queries.sample(samples=2, sampling=Sampling(temperature=1.0))
  return [Comparison(prompt_of(record), ('a', 'b')) for record in records]


def silent(prompts, *, samples, sampling, at_a_time=None):
  """Rollouts of nothing: who draws is asked for keys alone."""
  del sampling, at_a_time
  rows, columns = prompts.tokens.shape
  shape = (rows, samples, columns + 1)
  return Rollouts(
    tokens=np.zeros(shape, np.int32),
    attention_mask=np.zeros(shape, bool),
    response_mask=np.zeros(shape, bool),
    logps=np.zeros((rows, samples, 1), np.float32),
    truncated_logps=np.zeros((rows, samples, 1), np.float32),
    ended=np.ones((rows, samples), bool),
    index=prompts.index,
  )


class KeysTest(absltest.TestCase):
  """Counts the keys that stages hand to whoever draws something."""

  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.root = pathlib.Path(folder.name)
    HANDED.clear()
    SEEDS.clear()

  def chain(self, stages) -> Run:
    chain = small.chain(self.root, stages)
    corpus = chain.corpus._replace(gold=None)
    return dataclasses.replace(chain, corpus=corpus)

  def test_every_key_of_a_training_is_used_once(self):
    chain = self.chain(training('one') | training('two'))
    orders = []
    batches = batching.Batches

    def noting(examples, **options):
      orders.append(options['seed'])
      return batches(examples, **options)

    with mock.patch.object(batching, 'Batches', noting):
      for name in ('one', 'two'):
        running.run_stage(chain, name)
    jax.effects_barrier()
    roles = [role for role, _ in HANDED]
    for name in ('one', 'two'):
      self.assertEqual(roles.count(f'{name} init'), 1)
      self.assertEqual(roles.count(f'{name} collect'), STEPS)
      self.assertEqual(roles.count(f'{name} update'), STEPS)
    # None twice, and none that another's holder may make of its own.
    used = [data for _, key in HANDED for data in with_offspring(key)]
    self.assertLen(set(used), len(used))
    self.assertLen(set(orders), 2)

  def test_stages_seeds_and_purposes_have_keys_of_their_own(self):
    chain = self.chain(training('one'))
    other = small.remade(chain, seed=7)
    purposes = ('one', 'two', 'one order', 'one order beside', 'one seeds')
    purposes += ('sample log', 'evaluation', 'evaluation best of 4')
    keys = [
      words(each.key(purpose))
      for each in (chain, other)
      for purpose in purposes
    ]
    self.assertLen(set(keys), 2 * len(purposes))
    self.assertEqual(words(chain.key('one')), keys[0])

  def test_every_key_of_a_writing_is_used_once(self):
    sampled = {}

    def made(name):
      return DatasetStage(
        build=build, config=Rows(name=name), data='demonstrations', policy='sft'
      )

    chain = self.chain({name: made(name) for name in ('one', 'two')})
    models = chain.models

    def noting(*given, **how):
      found = models(*given, **how)

      def sampler(params, prompts, key, **how):
        del params
        sampled.setdefault(words(key), []).extend(prompts.index.tolist())
        return silent(prompts, **how)

      return found._replace(sampler=toy.spy(sampler))

    with mock.patch.object(Run, 'models', lambda _, *a, **k: noting(*a, **k)):
      for name in ('one', 'two'):
        running.run_stage(chain, name)
    # A stage has a key, and every prompt a place under it.
    self.assertLen(sampled, 2)
    for key, index in sampled.items():
      self.assertLen(set(index), len(index), key)
      self.assertGreaterEqual(len(index), small.RECORDS)
    drawn = SEEDS['one'] + SEEDS['two']
    self.assertLen(SEEDS['two'], small.RECORDS)
    self.assertLen(set(drawn), len(drawn))
    # No seed is drawn under the key of a prompt's samples.
    for key, index in sampled.items():
      of_samples = [
        int(
          jax.random.bits(
            jax.random.fold_in(
              jax.random.wrap_key_data(jnp.array(key, jnp.uint32)), i
            )
          )
        )
        for i in index
      ]
      self.assertTrue(set(drawn).isdisjoint(of_samples))


class LoadedTest(parameterized.TestCase):
  def test_what_a_stage_loads_goes_with_it(self):
    with tempfile.TemporaryDirectory() as folder:
      other = {'other': small.earlier()['sft']}
      chain = small.chain(pathlib.Path(folder), other)
      trained, there = chain.trained, dict(chain.loaded)
      self.assertNotIn('other', there)
      with trained.while_needed():
        trained.loaded['other'] = {'policy': 1}
        self.assertIs(trained.params('sft', 'policy'), there['sft']['policy'])
        self.assertEqual(trained.params('other', 'policy'), 1)
      self.assertEqual(trained.loaded.keys(), there.keys())

  def test_nothing_is_left_loaded_of_a_run(self):
    with tempfile.TemporaryDirectory() as folder:
      chain = small.chain(pathlib.Path(folder), {})
      chain.loaded.clear()
      with contextlib.ExitStack() as held:
        for name in ('sft', 'reward_model', 'ranker'):
          make(chain, name, held)
        measure(chain, pathlib.Path(folder, 'out'))
      self.assertEqual(chain.loaded, {})

  @parameterized.parameters(
    (1, 256, 2, 256),
    (1, 256, 60, 68),  # Of 4096 rows.
    (8, 256, 60, 64),  # Which eight devices share.
    (8, 256, 9999, 8),
    (8, 5, 9999, 5),
  )
  def test_devices_share_what_max_rows_allows(self, devices, most, rows, count):
    with tempfile.TemporaryDirectory() as folder:
      chain = small.chain(pathlib.Path(folder), {}, devices=devices)
      self.assertEqual(chain.data.at_a_time(most, rows), count)


class AnswersTest(absltest.TestCase):
  def test_every_prompt_is_answered_under_a_place_of_its_own(self):
    asked = []

    def sampler(params, prompts, key, **how):
      del params
      asked.append((words(key), prompts.index.tolist(), how['samples']))
      return silent(prompts, **how)

    def scorer(frozen, rollouts):
      del frozen
      return np.zeros(rollouts.ended.shape, np.float32)

    models = Run.models

    def noting(chain, *given, **how):
      return models(chain, *given, **how)._replace(
        sampler=toy.spy(sampler), scorer=scorer
      )

    key = jax.random.key(9)
    with tempfile.TemporaryDirectory() as folder:
      chain = small.chain(pathlib.Path(folder), {})
      with mock.patch.object(Run, 'models', noting):
        for best_of, count in ((1, 2), (3, 6)):
          asked.clear()
          parts = list(
            answering.respond_as(
              chain,
              PolicyVariant(policy='sft', best_of=best_of),
              list(chain.data.records('test_prompts'))[:10],
              key,
              samples=2,
              sampling=Sampling(temperature=1.0),
              batch_size=4,
            )
          )
          self.assertEqual([len(part.examples) for part in parts], [4, 4, 2])
          self.assertEqual({one for one, *_ in asked}, {words(key)})
          self.assertEqual({samples for *_, samples in asked}, {count})
          places = [place for _, index, _ in asked for place in index]
          self.assertEqual(places, list(range(12)))  # Two rows fill the last.

  def test_ways_of_answering_that_are_compared_share_a_key_or_do_not(self):
    plain, best, warm = (
      PolicyVariant(policy='sft'),
      PolicyVariant(policy='sft', best_of=4),
      PolicyVariant(policy='ppo', temperature=0.3),
    )
    self.assertEqual(answering.purpose(plain), answering.purpose(warm))
    self.assertNotEqual(answering.purpose(plain), answering.purpose(best))
    how = Evaluation(temperature=0.8)
    self.assertEqual(answering.temperature_of(plain, how), 0.8)
    self.assertEqual(answering.temperature_of(warm, how), 0.3)


class SettingsTest(absltest.TestCase):
  """What a stage says reaches its batches and its loop."""

  def test_each_setting_of_a_stage(self):
    with tempfile.TemporaryDirectory() as folder:
      chain = small.chain(pathlib.Path(folder), beside())
      made, loops = [], []

      class Stopped(Exception):
        pass

      def noting(examples, **options):
        made.append((examples, options))

      def train(state, frozen, batches, key, **named):
        del state, frozen, batches, key
        loops.append(named)
        raise Stopped

      chain.folders['one'].path.mkdir(parents=True)
      with (
        mock.patch.object(batching, 'Batches', noting),
        mock.patch.object(running.loop, 'train', train),
        self.assertRaises(Stopped),
      ):
        running.train(chain, 'one')
    (own, options), (others, besides) = made
    prompts = chain.data.records('prompts')
    self.assertEqual([e.record for e in own], list(prompts))
    self.assertEqual(
      [e.record for e in others], list(chain.data.records('demonstrations'))
    )
    self.assertNotEqual(options.pop('seed'), besides.pop('seed'))
    for of, size in ((options, BATCH), (besides, besides['batch_size'])):
      self.assertEqual(of.pop('rows').tolist(), list(range(size)))
    self.assertIs(options.pop('order'), orders.at_random)
    shared = {
      'pad_id': chain.corpus.tokenizer.pad_id,
      'limits': chain.data.limits,
      'steps': STEPS,
    }
    self.assertEqual(
      options,
      shared
      | {
        'batch_size': BATCH,
        'curriculum': MIXED,
        'records': len(prompts),
      },
    )
    self.assertEqual(besides, shared | {'batch_size': 2 * BATCH})
    (named,) = loops
    said = named['loop']
    self.assertEqual(
      (said.stage, said.steps, said.log_every, said.checkpoint_every),
      ('one', STEPS, 17, 23),
    )
    self.assertEqual(said.sample_every, 1)  # Four times in three steps.
    self.assertIsNotNone(named['collect'])
    self.assertIsNone(named['log_samples'])  # What it trains is no policy.


MIXED = Curriculum(level=len, mix=uniform)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beside(Config):
  extra_batch_size: int = 2 * BATCH


def beside():
  """{one}: a stage with all that a stage may say, each its own number."""
  (stage,) = training('one').values()
  return {
    'one': stage._replace(
      config=Beside(name='one'),
      extra_data='demonstrations',
      curriculum=MIXED,
      log_every=17,
      checkpoint_every=23,
    )
  }


if __name__ == '__main__':
  absltest.main()
