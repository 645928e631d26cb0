"""Reference log-probs kept beside the data: whose, for what, and how often."""

import dataclasses
import functools
import pathlib
import shutil
import tempfile
from unittest import mock

import jax
import numpy as np
from absl.testing import absltest

from rlhf_jax import sharding
from rlhf_jax.data.encoding import prompt_of
from rlhf_jax.experiment import locks, reference_logps, running, store
from rlhf_jax.kernels import distributions, length_bias, logps
from rlhf_jax.learners import pairwise
from rlhf_jax.losses import pairwise as losses
from rlhf_jax.methods import dpo, sft
from rlhf_jax.storage import seals
from rlhf_jax.storage.seals import read_lines
from rlhf_jax.training.checkpoints import load_params, save_params
from rlhf_jax.training.optimizers import Adam
from rlhf_jax.types import Comparison
from tests.experiment import small

CONFIG = dpo.Config(
  steps=3,
  batch_size=8,
  objective=functools.partial(losses.dpo, beta=0.5),
  optimizer=Adam(learning_rate=1e-2, warmup=0.0),
)


ASKED = []  # Rows of each batch that the reference was asked about.


def counted(frozen, batch, *, models, config):
  """The reference's log-probs, the asking noted."""
  jax.debug.callback(lambda tokens: ASKED.append(len(tokens)), batch.tokens)
  return pairwise.reference_logps(frozen, batch, models=models, config=config)


def never(*given):
  raise AssertionError('something is drawn')


class ReferenceLogpsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.root = pathlib.Path(folder.name)
    self.asked = ASKED
    self.asked.clear()

  def chain(self, at='a', *, data='comparisons', **stage):
    """A chain with a stage 'dpo'."""
    return small.chain(self.root / at, self.stages(data=data, **stage))

  def stages(self, *, data='comparisons', **stage):
    (made,) = dpo.stages(CONFIG, data=data).values()
    return {'dpo': made._replace(**({'precompute': counted} | stage))}

  def attach(self, chain, records):
    examples, _ = chain.data.encode(records)
    found = reference_logps.attach(
      chain, 'dpo', examples, never, chain.models()
    )
    jax.effects_barrier()
    self.assertEqual(
      [e._replace(reference_logps=None) for e in found], examples
    )
    return list(found)

  def files(self, chain):
    found = self.root.rglob('reference_logps-*')
    return sorted(path for path in found if path.parent.name != locks.FOLDER)

  def direct(self, chain, example, reference):
    """Sums over each response, alone and without padding."""
    policy, found = chain.models().policy, []
    for response in example.response_ids:
      ids = np.array([example.prompt_ids + response])
      hidden = policy.hidden(reference, ids, np.ones(ids.shape, bool))
      each = distributions.token_logps(
        policy.logits(reference, hidden[:, :-1]), ids[:, 1:]
      )
      found.append(float(each[0, len(example.prompt_ids) - 1 :].sum()))
    return found

  def test_are_those_of_the_reference(self):
    chain = self.chain()
    records = chain.data.records('comparisons')
    first, ragged = records[0], records[1]
    lists = [
      first,
      Comparison(ragged.prompt, (*ragged.responses, first.responses[0])),
      Comparison(first.prompt, first.responses[:1]),
    ]
    for example in self.attach(chain, lists):
      self.assertLen(example.reference_logps, len(example.response_ids))
      np.testing.assert_allclose(
        example.reference_logps,
        self.direct(chain, example, small.params('policy')),
        atol=1e-5,
      )

  def test_are_those_that_a_step_would_compute(self):
    chain = self.chain()
    examples = self.attach(chain, chain.data.records('comparisons'))
    kept = chain.data.batch(examples[:8], 8)
    live = logps.reference_logps(
      chain.models().policy,
      small.params('policy'),
      kept.replace(reference_logps=None),
    )
    np.testing.assert_allclose(kept.reference_logps, live, atol=1e-5)
    self.assertLess(float(np.max(live)), -1.0)

  def test_are_computed_once(self):
    chain = self.chain()
    records = chain.data.records('comparisons')
    first = self.attach(chain, records)
    self.assertEqual(self.asked, [8, 8, 8])  # 20 records.
    again = self.attach(self.chain(), records)
    self.assertEqual(self.asked, [8, 8, 8])
    self.assertEqual(again, first)
    (path,) = self.files(chain)
    self.assertEqual(path.parent, chain.folders['data'].path)
    self.assertLen(read_lines(path), small.RECORDS)

  def test_another_sum_over_a_response_is_kept_by_itself(self):
    records = self.chain().data.records('comparisons')
    whole = self.attach(self.chain(), records)
    found = []
    for alpha in (1.0, 0.25):
      config = dataclasses.replace(
        CONFIG,
        response_logps=functools.partial(
          length_bias.discounted_tail_logps, ld_alpha=alpha
        ),
      )
      found.append(self.attach(self.chain(config=config), records))
    self.assertLen(self.files(self.chain()), 3)
    self.assertLen(self.asked, 3 * 3)
    kept = [[e.reference_logps for e in x] for x in (whole, *found)]
    np.testing.assert_allclose(kept[1], kept[0], rtol=1e-5)
    # The shorter of two is whole, and the longer one is less than that.
    lengths = np.array([[len(r) for r in e.response_ids] for e in whole])
    longer = lengths > lengths.min(axis=1, keepdims=True)
    gap = np.array(kept[2]) - np.array(kept[0])
    self.assertTrue(np.all(gap[longer] > 0.1))
    np.testing.assert_allclose(gap[~longer], 0.0, atol=1e-4)

  def test_only_what_is_new_is_computed(self):
    chain = self.chain()
    records = list(chain.data.records('comparisons'))
    first = self.attach(chain, records[:10])
    del self.asked[:]
    prompt, (a, b), *_ = records[3]
    other = Comparison(prompt_of(records[4]), records[3].responses)
    # Another order, another text and another prompt are another example; the
    # same one at another place, or with another margin, is not.
    changed = [
      records[7],
      records[3]._replace(margin=9.0),
      Comparison(prompt, (b, a)),
      Comparison(prompt, (a, f'{b} {b}')),
      other,
    ]
    found = self.attach(chain, changed)
    self.assertEqual(self.asked, [8])  # 3 of them, in one batch.
    self.assertEqual(found[0].reference_logps, first[7].reference_logps)
    self.assertEqual(found[1].reference_logps, first[3].reference_logps)
    np.testing.assert_allclose(
      found[2].reference_logps, first[3].reference_logps[::-1], atol=1e-5
    )
    for example in found[3:]:
      np.testing.assert_allclose(
        example.reference_logps,
        self.direct(chain, example, small.params('policy')),
        atol=1e-5,
      )
    self.attach(chain, records[:10])
    self.assertEqual(self.asked, [8])  # The old ones are still there.
    (path,) = self.files(chain)
    self.assertLen(read_lines(path), 13)

  def test_another_reference_has_a_file_of_its_own(self):
    chain = self.chain()
    records = chain.data.records('comparisons')[:2]
    longer = sft.stages(sft.Config(steps=2), name='longer')
    other = small.chain(
      self.root / 'a', longer | self.stages(frozen={'reference': 'longer'})
    )
    params = jax.tree.map(lambda x: 1.5 * x, small.params('policy'))
    other.loaded['longer'] = {'policy': params}
    first = self.attach(chain, records)
    second = self.attach(other, records)
    self.assertLen(self.asked, 2)
    self.assertLen(self.files(chain), 2)
    self.assertNotEqual(first[0].reference_logps, second[0].reference_logps)
    np.testing.assert_allclose(
      second[0].reference_logps,
      self.direct(chain, second[0], params),
      rtol=1e-5,
    )
    self.assertEqual(self.attach(chain, records), first)

  def test_a_reference_is_read_only_to_compute(self):
    chain = self.chain()
    records = chain.data.records('comparisons')[:2]
    chain.loaded.clear()
    folder = chain.folders['sft'].path / store.PARAMS
    save_params(folder, {'policy': small.params('policy')})
    first = self.attach(chain, records)
    self.assertEmpty(chain.loaded)  # It is dropped after it was asked.
    shutil.rmtree(folder)
    self.assertEqual(self.attach(chain, records), first)

  def test_a_reference_that_no_objective_reads_is_not_read(self):
    config = dataclasses.replace(
      CONFIG, objective=functools.partial(losses.simpo, beta=2.0, gamma=0.5)
    )
    chain = self.chain(config=config)
    chain.loaded.clear()
    records = chain.data.records('comparisons')[:2]
    for example in self.attach(chain, records):
      self.assertIsNone(example.reference_logps)
    self.assertEmpty(self.files(chain))

  def test_datasets_of_one_source_have_files_of_their_own(self):
    chain = self.chain()
    self.attach(chain, chain.data.records('comparisons')[:2])
    other = self.chain(data='weak_comparisons')
    self.attach(other, other.data.records('weak_comparisons')[:2])
    self.assertLen(self.files(chain), 2)

  def trained(self, chain):
    running.run_stage(chain, 'dpo')
    jax.effects_barrier()
    like = {'policy': small.params('policy')}
    return load_params(chain.folders['dpo'].path / 'params', like)

  def test_a_stage_learns_the_same_with_them_and_without(self):
    with_them = self.trained(self.chain('with'))
    self.assertLen(self.asked, 3)
    without = self.trained(self.chain('without', precompute=None))
    self.assertLen(self.asked, 3)
    started = small.params('policy')
    for one, other, start in zip(
      *map(jax.tree.leaves, (with_them, without, started)), strict=True
    ):
      moved = float(np.max(np.abs(other - start)))
      np.testing.assert_allclose(one, other, atol=0.02 * moved + 1e-6)
    moved = [
      float(np.max(np.abs(a - b)))
      for a, b in zip(*map(jax.tree.leaves, (without, started)), strict=True)
    ]
    self.assertGreater(max(moved), 1e-2)

  def test_a_stage_goes_on_with_them(self):
    stopped = Stopped()
    unbroken = self.trained(self.chain('unbroken'))
    del self.asked[:]
    chain = self.chain('broken', checkpoint_every=1, log_every=1)
    with self.assertRaises(KeyboardInterrupt):
      running.run_stage(dataclasses.replace(chain, writers=(stopped,)), 'dpo')
    self.assertEqual(stopped.steps, [1, 2])
    chain.loaded.clear()  # Nothing is read but the state, and nothing drawn.
    with mock.patch.object(sharding, 'init_sharded', never):
      found = self.trained(chain)
    self.assertLen(self.asked, 3)  # None again.
    self.assertIn('resumed at step 1', chain.console.getvalue())
    jax.tree.map(np.testing.assert_array_equal, found, unbroken)
    self.assert_done(chain)

  def assert_done(self, chain):
    """The parameters alone are there, after a kill past done.json too."""
    path = chain.folders['dpo'].path
    self.assertFalse((path / 'checkpoints').exists())
    for name in ('metrics.jsonl', 'samples.txt'):
      self.assertTrue(seals.same(path / name, path / 'params' / name))
    (path / 'checkpoints' / '1').mkdir(parents=True)
    self.assertEqual(running.run_stage(chain, 'dpo'), 0.0)
    self.assertFalse((path / 'checkpoints').exists())


class Stopped:
  """Stops a run when its second step is logged, before that is saved."""

  def __init__(self):
    self.steps = []

  def write(self, stage, step, row):
    self.steps.append(step)
    if step == 2:
      raise KeyboardInterrupt

  def close(self):
    pass


if __name__ == '__main__':
  absltest.main()
