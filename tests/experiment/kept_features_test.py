"""Features kept beside the data, and the reward model that is read of them."""

import dataclasses
import pathlib
import tempfile

import chex
import jax
import numpy as np
from absl.testing import absltest

from rlhf_jax.experiment import kept_features, locks, running
from rlhf_jax.experiment.addresses import stage_addresses
from rlhf_jax.learners.reward import head
from rlhf_jax.methods import best_of_n, reward_head, reward_model
from rlhf_jax.models import language_model, scalar_model
from rlhf_jax.storage import seals
from rlhf_jax.training.optimizers import Adam
from rlhf_jax.types import Comparison
from tests.experiment import small

DEEP = dataclasses.replace(small.MODEL, layers=3)
CONFIG = reward_head.Config(
  steps=60,
  batch_size=8,
  trunk_layers=2,
  ridge=1e-3,
  optimizer=Adam(learning_rate=0.05),
)
ASKED = []  # Rows of each batch that features were asked of.


def counted(params, batch, *, models, config):
  """The features, the asking noted."""
  jax.debug.callback(lambda tokens: ASKED.append(len(tokens)), batch.tokens)
  return head.features(params, batch, models=models, config=config)


class KeptFeaturesTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.root = pathlib.Path(folder.name)
    self.policy = language_model(DEEP).init(jax.random.key(5))
    ASKED.clear()

  def chain(self, at='a', config=CONFIG, more=None, **stage):
    """A chain with a stage 'kept' on the first layers of 'sft'."""
    (made,) = reward_head.stages(config, data='comparisons').values()
    made = made._replace(**({'features': counted} | stage))
    run = small.chain(self.root / at, {'kept': made} | (more or {}), model=DEEP)
    run.loaded['sft'] = {'policy': self.policy}
    return run

  def attach(self, run, records):
    examples, _ = run.data.encode(records)
    found = kept_features.attach(
      run,
      'kept',
      examples,
      lambda: self.start(run),
      run.models(stage='kept'),
      run.data,
    )
    jax.effects_barrier()
    return list(found)

  def start(self, run):
    return run.trained.initialiser('kept')(
      jax.random.key(0), {'policy': self.policy}
    )

  def afresh(self, example):
    """[K, D] of each response alone, by a model of two layers."""
    two = language_model(dataclasses.replace(DEEP, layers=2))
    params = dict(self.policy)
    params['layers'] = jax.tree.map(lambda x: x[:2], params['layers'])
    hidden, columns = jax.jit(two.hidden), small.LIMITS.columns(1)
    found = []
    for response in example.response_ids:
      said = example.prompt_ids + response
      ids = np.zeros((1, columns), np.int32)
      ids[0, : len(said)] = said
      mask = np.arange(columns)[None] < len(said)
      found.append(hidden(params, ids, mask)[0, len(said) - 1])
    return np.stack(found)

  def files(self):
    found = self.root.rglob('features-*')
    return sorted(path for path in found if path.parent.name != locks.FOLDER)

  def test_are_those_of_the_first_layers(self):
    run = self.chain()
    first, ragged = run.data.records('comparisons')[:2]
    three = Comparison(ragged.prompt, (*ragged.responses, first.responses[0]))
    for example in self.attach(run, [first, three]):
      np.testing.assert_allclose(
        example.features, self.afresh(example), atol=1e-4
      )

  def test_are_computed_once(self):
    run = self.chain()
    records = run.data.records('comparisons')
    first = self.attach(run, records[:10])
    self.assertEqual(ASKED, [8, 8])
    again = self.attach(self.chain(), records[:12])
    self.assertEqual(ASKED, [8, 8, 8])  # Two of them are new.
    for one, other in zip(first, again, strict=False):
      np.testing.assert_array_equal(one.features, other.features)
    (path,) = self.files()
    self.assertEqual(path.parent, run.folders['data'].path)
    self.assertLen(seals.read_lines(path), 12)

  def test_of_other_layers_are_kept_apart(self):
    records = self.chain().data.records('comparisons')[:3]
    self.attach(self.chain(), records)
    one = dataclasses.replace(CONFIG, trunk_layers=1)
    self.attach(self.chain(config=one), records)
    self.assertLen(self.files(), 2)
    addresses = [
      stage_addresses(self.chain(config=config).experiment)['kept']
      for config in (CONFIG, one, CONFIG)
    ]
    self.assertEqual(addresses[0], addresses[2])
    self.assertNotEqual(addresses[0], addresses[1])

  def test_a_damaged_file_is_made_again(self):
    run = self.chain()
    records = run.data.records('comparisons')[:3]
    first = self.attach(run, records)
    (path,) = self.files()
    path.write_text(path.read_text().replace('A', 'B', 1))
    again = self.attach(run, records)
    for one, other in zip(first, again, strict=True):
      np.testing.assert_array_equal(one.features, other.features)

  def test_a_stage_gives_a_reward_model_of_fewer_layers(self):
    writer = best_of_n.stages(
      best_of_n.Config(samples=2, batch_size=4, count=4), reward='kept'
    )
    run = self.chain(more=writer)
    running.run_stage(run, 'kept')
    params = run.trained.params('kept', 'reward')
    two = scalar_model(DEEP.first(2))
    chex.assert_trees_all_equal_shapes(
      params, jax.eval_shape(two.init, jax.random.key(0))
    )
    start = self.start(run)['reward']
    chex.assert_trees_all_equal(params['trunk'], start['trunk'])
    examples, _ = run.data.encode(run.data.records('comparisons'))
    batch = run.data.batch(examples, len(examples))
    scores = run.models('kept').scorer({'reward': params}, batch)
    head_params = {k: np.asarray(v, float) for k, v in params['head'].items()}
    features = np.stack([self.afresh(e) for e in examples])
    expected = features @ head_params['kernel'] + head_params['bias']
    np.testing.assert_allclose(scores, expected[..., 0], atol=1e-3)
    # It has learnt its pairs, and scores them around 0.
    self.assertGreater(np.mean(scores[:, 0] > scores[:, 1]), 0.7)
    self.assertAlmostEqual(float(np.mean(scores)), 0.0, places=2)
    # Another stage takes it at its own size.
    running.run_stage(run, 'best_of_n')
    self.assertTrue(run.folders['best_of_n'].done)

  def test_another_stage_goes_on_from_it(self):
    more = reward_model.stages(
      reward_model.Config(steps=1, batch_size=4),
      name='whole',
      data='comparisons',
      start={'reward': 'kept'},
    )
    run = self.chain(more=more)
    running.run_stage(run, 'kept')
    running.run_stage(run, 'whole')
    chex.assert_trees_all_equal_shapes(
      run.trained.params('whole', 'reward'),
      run.trained.params('kept', 'reward'),
    )

  def test_more_layers_than_there_are(self):
    run = self.chain(config=dataclasses.replace(CONFIG, trunk_layers=4))
    with self.assertRaisesRegex(ValueError, 'first 4 layers.* has 3'):
      run.models(stage='kept')


if __name__ == '__main__':
  absltest.main()
