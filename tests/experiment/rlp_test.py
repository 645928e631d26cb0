"""RLP in a chain: a policy's samples, reward models from them, PPO again."""

import collections
import dataclasses
import functools
import pathlib
import shutil
import tempfile
from unittest import mock

import chex
import jax
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sandbox
from rlhf_jax.experiment import (
  Evaluation,
  ExperimentError,
  answering,
  beginning,
  definition,
  running,
)
from rlhf_jax.experiment.addresses import stage_addresses
from rlhf_jax.experiment.models import roles
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import ppo, reward_model, rlp
from rlhf_jax.training.checkpoints import checksum
from rlhf_jax.training.metrics import read_jsonl
from rlhf_jax.types import Comparison, Sampled
from tests.experiment import small

SAMPLES = rlp.samples.Config(
  samples=4, batch_size=8, sampling=Sampling(temperature=1.0)
)
PPO = ppo.Config(steps=1, batch_size=4, epochs=1, minibatches=1)
UML = rlp.Config(
  steps=4, batch_size=8, extra_batch_size=4, latent=2, hidden=8,
  critic_hidden=8,
)  # fmt: skip


def parity(texts):
  return [len(text.split()) % 2 for text in texts]


def same_parity(prompts, texts, queries):
  """Of an untrained policy's responses: as many words, but for twos."""
  del prompts, queries
  labels = [np.array(parity(listed)) for listed in texts]
  return [of[:, None] == of[None] for of in labels]


SPG = rlp.synthetic.Config(similarity=same_parity, gamma=0.75, batch_size=8)


def stages(samples=SAMPLES):
  uml = rlp.stages(UML, data='comparisons', name='uml')['uml']
  retrained = reward_model.stages(
    reward_model.Config(steps=1, batch_size=8),
    data=('comparisons', 'synthetic'),
    name='spg_unscaled',
  )
  return (
    ppo.stages(PPO)
    | rlp.samples.stages(samples, data='demonstrations')
    | {'uml': uml._replace(log_every=1, checkpoint_every=1)}
    | rlp.synthetic.stages(SPG)
    | rlp.scale.stages(
      rlp.scale.Config(batch_size=16),
      trained=retrained, data='comparisons', name='spg',
    )
    | ppo.stages(PPO, reward='spg', name='rlp')
  )  # fmt: skip


def chain(folder, made=None, **changes):
  evaluation = Evaluation(
    count=3, samples=2, batch_size=4, scored_by='reward_model'
  )
  found = small.chain(
    folder, made or stages(), **({'evaluation': evaluation} | changes)
  )
  # A policy that learnt something: other parameters than SFT's.
  found.loaded['ppo'] = {'policy': roles(small.MODEL).policy.init(
    jax.random.key(7)
  )}  # fmt: skip
  return found


class Killed:
  """A writer that ends the run at a step, before its state is saved."""

  def write(self, stage, step, row):
    if step == 3:
      raise KeyboardInterrupt

  def close(self):
    pass


def early(row, progress):
  return 'doubtful at first' if progress <= 0.25 else None


class RlpTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    cls.root = pathlib.Path(folder)
    # One optimizer, so that one program runs all stages of a config.
    cls.enterClassContext(
      mock.patch.object(
        rlp.Config, 'make_optimizer', functools.cache(rlp.Config.make_optimizer)
      )
    )
    cls.chain = chain(cls.root / 'whole')
    cls.before = checksum(cls.chain.trained.params('sft', 'policy'))
    for name in ('policy_samples', 'uml', 'synthetic', 'spg_unscaled', 'spg',
                 'rlp'):  # fmt: skip
      running.run_stage(cls.chain, name)
    cls.samples = cls.chain.data.records('policy_samples')
    cls.demonstrations = cls.chain.data.records('demonstrations')

  def facts(self, name):
    return self.chain.folders[name].facts()

  def test_every_prompt_has_its_samples(self):
    self.assertEqual(
      [s.prompt.messages for s in self.samples],
      [d.prompt.messages for d in self.demonstrations],
    )
    for drawn in self.samples:
      self.assertIsInstance(drawn, Sampled)
      for column in drawn[1:]:
        self.assertLen(column, 4)
    for _, said in self.plain():
      if not said['ended']:
        self.assertEqual(said['length'], sandbox.MAX_RESPONSE_TOKENS)

  def plain(self):
    """Prompts and single samples without the tokens that no text has.

    An untrained policy says padding, too.
    """
    encode = self.chain.corpus.tokenizer.encode
    names = ('text', 'ended', 'length', 'logp', 'score')
    found = []
    for drawn in self.samples:
      for row in zip(*drawn[1:], strict=True):
        said = dict(zip(names, row, strict=True))
        if said['length'] == len(encode(said['text'])) + said['ended']:
          found.append((drawn.prompt, said))
    self.assertGreater(len(found), 20)
    return found

  def test_scores_and_log_probs_are_those_of_the_models(self):
    queries = small.queries(self.chain, 'policy_samples', [])
    plain = self.plain()
    # Without an end both log-probs measure the same.
    cut = [(prompt, said) for prompt, said in plain if not said['ended']]
    self.assertNotEmpty(cut)
    with jax.set_mesh(self.chain.mesh):
      scores = queries.score(
        [Comparison(prompt, (said['text'],)) for prompt, said in plain]
      )
      logps = queries.logps(
        [prompt for prompt, _ in cut], [said['text'] for _, said in cut]
      )
    np.testing.assert_allclose(
      np.concatenate(scores), [said['score'] for _, said in plain], atol=1e-5
    )
    expected = [said['logp'] for _, said in cut]
    np.testing.assert_allclose(logps, expected, atol=1e-3)
    self.assertLess(max(expected), -10.0)

  def test_samples_do_not_depend_on_the_batch(self):
    other = chain(
      self.root / 'other', stages(dataclasses.replace(SAMPLES, batch_size=5))
    )
    running.run_stage(other, 'policy_samples')
    for one, two in zip(
      self.samples, other.data.records('policy_samples'), strict=True
    ):
      self.assertEqual(one.responses, two.responses)
      self.assertEqual((one.ended, one.lengths), (two.ended, two.lengths))
      np.testing.assert_allclose(one.logps, two.logps, atol=1e-4)
      np.testing.assert_allclose(one.scores, two.scores, atol=1e-5)
    self.assertGreater(len({s.responses for s in self.samples}), 10)

  def test_samples_may_be_scored_by_a_program(self):
    # `samples.stages` takes any Frozen, and a Reward is one.
    made = stages() | rlp.samples.stages(
      SAMPLES, data='demonstrations', reward=sandbox.gold
    )
    scored = chain(self.root / 'program', made)
    running.run_stage(scored, 'policy_samples')
    for drawn in scored.data.records('policy_samples'):
      expected = sandbox.gold([drawn.prompt] * 4, drawn.responses)
      np.testing.assert_allclose(drawn.scores, expected, atol=1e-5)

  def test_synthetic_pairs_and_their_facts(self):
    pairs = {c.prompt.messages: c for c in self.chain.data.records('synthetic')}
    counts, confidence, gaps, lengths = collections.Counter(), [], [], []
    for drawn in self.samples:
      labels = parity(drawn.responses)
      size = max(labels.count(0), labels.count(1))
      confidence.append(size / 4)
      counts[size] += 1
      made = pairs.get(drawn.prompt.messages)
      self.assertEqual(made is not None, size == 3)
      if made is None:
        continue
      large = max((0, 1), key=labels.count)
      best = max(
        (i for i in range(4) if labels[i] == large),
        key=lambda i, of=drawn: of.scores[i],
      )
      other = labels.index(1 - large)
      self.assertEqual(
        made.responses, (drawn.responses[best], drawn.responses[other])
      )
      gaps.append(drawn.scores[best] - drawn.scores[other])
      lengths.append(drawn.lengths[best])
    self.assertLen(pairs, counts[3])
    self.assertGreater(min(counts[2], counts[3]), 0)
    facts = self.facts('synthetic')
    expected = {
      'records': counts[3],
      'asked': 20,
      'accepted': counts[3] / 20,
      'confidence': np.mean(confidence),
      'rejected_low_confidence': counts[2] / 20,
      'rejected_all_agree': counts[4] / 20,
      'rejected_empty': 0.0,
      'reward_gap': np.mean(gaps),
      'chosen_length': np.mean(lengths),
    }
    for name, value in expected.items():
      self.assertAlmostEqual(facts[name], value, places=5, msg=name)

  def test_an_alarm_is_kept_and_told_once(self):
    # At a rate of 1e-4 the critic is as good as zero after four steps.
    said = self.facts('uml')['alarm']
    self.assertIn('the views tell nothing of each other', said)
    self.assertEqual(self.chain.console.getvalue().count(said), 1)
    self.assertNotIn('alarm', self.facts('spg'))

  def test_the_bottleneck_is_left_behind(self):
    reward = self.chain.trained.params('uml', 'reward')
    self.assertEqual(set(reward), {'trunk', 'head'})
    whole = self.chain.trained.abstract_params('uml')
    self.assertEqual(set(whole), {'reward', 'bottleneck'})

  def test_rescaled_scores_are_on_the_first_model_s_scale(self):
    row = read_jsonl(self.chain.folders['spg'].path / 'metrics.jsonl')[-1]
    before, after = (
      self.chain.trained.params(name, 'reward')
      for name in ('spg_unscaled', 'spg')
    )
    chex.assert_trees_all_equal(before['trunk'], after['trunk'])
    np.testing.assert_allclose(
      after['head']['kernel'], row['scale'] * before['head']['kernel'],
      rtol=1e-5,
    )  # fmt: skip

  def test_the_policy_starts_from_sft_and_the_reference_stays(self):
    with jax.set_mesh(self.chain.mesh):
      start = beginning.initial_state(
        self.chain.trained, 'rlp', PPO.make_optimizer(), jax.random.key(0)
      )
    self.assertEqual(checksum(start.params['policy']), self.before)
    others = self.chain.trained.params('ppo', 'policy')
    self.assertNotEqual(checksum(others), self.before)
    self.assertEqual(
      checksum(start.params['critic']),
      checksum(self.chain.trained.params('spg', 'reward')),
    )
    # Training moved the policy and left what it is held to.
    trained = self.chain.trained.params('rlp', 'policy')
    self.assertNotEqual(checksum(trained), self.before)
    stage = self.chain.experiment.stages['rlp']
    reference = self.chain.trained.frozen(stage)['reference']
    self.assertEqual(checksum(reference), self.before)
    self.assertEqual(checksum(small.params('policy')), self.before)

  def test_what_is_beside_is_part_of_the_address(self):
    found = dict(self.chain.experiment.stages)
    found['uml'] = found['uml']._replace(extra_data='demonstrations')
    other = dataclasses.replace(self.chain.experiment, stages=found)
    ours, theirs = map(stage_addresses, (self.chain.experiment, other))
    self.assertNotEqual(ours['uml'], theirs['uml'])
    self.assertEqual(ours['spg'], theirs['spg'])

  def test_all_policies_are_scored_by_one_model(self):
    experiment = self.chain.experiment
    for name in ('sft', 'ppo', 'rlp'):
      judge = answering.scoring_reward(experiment, name)
      self.assertEqual(judge, 'reward_model', name)
    (part,) = answering.respond_as(
      self.chain,
      definition.policy_variants(experiment)['rlp'],
      self.chain.data.records('test_prompts')[:4],
      jax.random.key(0),
      samples=2,
      sampling=Sampling(temperature=1.0),
      batch_size=4,
    )
    first, own = (
      self.chain.models().scorer(
        {'reward': self.chain.trained.params(name, 'reward')}, part.shown
      )
      for name in ('reward_model', 'spg')
    )
    np.testing.assert_array_equal(part.scores, first)
    self.assertFalse(np.allclose(part.scores, own, atol=1e-4))

  def test_ends_where_an_unbroken_run_does(self):
    broken = chain(self.root / 'broken')
    self.resume(broken)
    self.assertIn('uml  resumed at step 2', broken.console.getvalue())
    one, other = (
      running.checkpoints.load_params(
        made.folders['uml'].path / 'params', made.trained.abstract_params('uml')
      )
      for made in (self.chain, broken)
    )
    chex.assert_trees_all_equal(one, other)
    rows = [
      read_jsonl(made.folders['uml'].path / 'metrics.jsonl')
      for made in (self.chain, broken)
    ]
    for name in ('step', 'loss/representation', 'loss/preference'):
      one, other = ([row[name] for row in of] for of in rows)
      self.assertEqual(one, other, name)

  def test_an_alarm_before_a_break_is_kept(self):
    made = stages()
    made['uml'] = made['uml']._replace(alarm=early)
    broken = chain(self.root / 'alarmed', made)
    self.resume(broken)
    self.assertIn('doubtful at first', broken.console.getvalue())
    facts = broken.folders['uml'].facts()
    self.assertEqual(facts.get('alarm'), 'doubtful at first')

  def resume(self, broken):
    """Runs 'uml' until it is killed after two of its steps, and again."""
    shutil.copytree(
      self.chain.folders['policy_samples'].path,
      broken.folders['policy_samples'].path,
    )
    killed = dataclasses.replace(broken, writers=(Killed(),))
    with self.assertRaises(KeyboardInterrupt):
      running.run_stage(killed, 'uml')
    self.assertFalse(broken.folders['uml'].done)
    running.run_stage(broken, 'uml')

  @parameterized.parameters('nobody', 'spg_unscaled', 'sft')
  def test_a_name_that_scores_nothing_is_one_sentence(self, name):
    experiment = self.chain.experiment
    with self.assertRaisesRegex(
      ExperimentError, f'scored by {name!r}, and no stage .* reward_model, uml'
    ) as caught:
      dataclasses.replace(
        experiment,
        evaluation=dataclasses.replace(experiment.evaluation, scored_by=name),
      )
    self.assertNotIn('\n', str(caught.exception))


if __name__ == '__main__':
  absltest.main()
