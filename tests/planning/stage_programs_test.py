"""Programs of stages as they are rehearsed: which, how often, how large."""

import dataclasses

import jax
from absl.testing import absltest

from rlhf_jax import sandbox
from rlhf_jax.data.limits import Limits
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import dpo, ppo, reward_head, reward_model, rloo, sft
from rlhf_jax.models import LoRA
from rlhf_jax.planning import (
  chips,
  flops,
  stage_plan,
  stage_programs,
  topologies,
)
from tests.experiment import small

P, R = 12, 4  # Tokens of a prompt and of a response.
SLICE = chips.parse('v5e:2x2')
MESH = {'data': 1, 'fsdp': 4, 'tensor': 1}
MODEL = small.MODEL
# Embedding; query, key, value, output; gate, up, down; the scales of norms.
PARAMETERS = MODEL.vocab_size * 16 + 4 * 16 * 16 + 3 * 16 * 32 + 3 * 16


def experiment(**stages):
  """Of stages on the tiny model, with 8 examples a step."""
  found = sft.stages(sft.Config(steps=1, batch_size=8))
  found |= reward_model.stages(
    reward_model.Config(steps=1, batch_size=8), data='comparisons'
  )
  for stage in stages.values():
    found |= stage
  return Experiment(
    seed=0,
    data=sandbox.World(),
    model=MODEL,
    limits=Limits(max_prompt_tokens=P, max_response_tokens=R),
    stages=found,
    mesh=MESH,
  )


def programs(name, **stages):
  mesh = topologies.abstract_mesh(SLICE, MESH)
  return stage_programs.of_stage(experiment(**stages), name, mesh)


def timed(found):
  return [(program.name, program.times) for program in found]


def shapes(tree):
  return [leaf.shape for leaf in jax.tree.leaves(tree)]


class StageProgramsTest(absltest.TestCase):
  def test_of_examples_there_is_the_update(self):
    found = programs('sft')
    self.assertEqual(timed(found), [('init', 0), ('update', 1)])
    tokens = [s for s in shapes(found[-1].given) if len(s) == 2]
    self.assertIn((8, P + R), tokens)

  def test_state_is_parameters_and_two_moments(self):
    (*_, update) = programs('sft')
    state = update.held['state']
    count = sum(x.size for x in jax.tree.leaves(state.params))
    self.assertEqual(count, PARAMETERS)
    whole = sum(x.size * 4 for x in jax.tree.leaves(state))
    self.assertBetween(whole, 3 * 4 * count, 3 * 4 * count + 64)
    # A quarter of all that four devices share, and the norms whole.
    each = stage_plan.size(state)
    norms = 3 * 4 * 3 * 16
    self.assertBetween(each, whole / 4, whole / 4 + norms)

  def test_a_round_samples_scores_shapes_and_learns(self):
    found = programs(
      'ppo',
      ppo=ppo.stages(ppo.Config(steps=1, batch_size=8, minibatches=2)),
    )
    self.assertEqual(
      timed(found),
      [
        ('init', 0),
        ('load', 1),
        ('sample', 1),
        ('score', 1),
        ('shape', 1),
        ('update', 1),
      ],
    )
    by_name = {program.name: program for program in found}
    self.assertIn('loaded', by_name['score'].held)
    self.assertNotIn('loaded', by_name['update'].held)
    self.assertIn((8, 1, P + R), shapes(by_name['update'].given))
    self.assertSameElements(
      by_name['update'].held['frozen'], ['reference', 'reward']
    )

  def test_what_is_only_computed_with_is_counted_in_bfloat16(self):
    stages = ppo.stages(ppo.Config(steps=1, batch_size=8, minibatches=2))
    made = experiment(ppo=stages)
    model = dataclasses.replace(MODEL, compute_dtype='bfloat16')
    made = dataclasses.replace(made, model=model)
    mesh = topologies.abstract_mesh(SLICE, MESH)
    held = stage_programs.of_stage(made, 'ppo', mesh)[-1].held
    norms = 3 * 16
    of_reference = sum(
      x.size * x.dtype.itemsize
      for x in jax.tree.leaves(held['frozen']['reference'])
    )
    self.assertEqual(of_reference, 2 * (PARAMETERS - norms) + 4 * norms)
    self.assertEqual(
      {x.dtype.name for x in jax.tree.leaves(held['state'].params)},
      {'float32'},
    )

  def test_of_micro_batches_one_program_samples_all(self):
    whole, cut = (
      programs(
        'rloo',
        rloo=rloo.stages(
          rloo.Config(
            steps=1, batch_size=16, samples=2, micro_batches=micro_batches
          )
        ),
      )
      for micro_batches in (1, 4)
    )
    self.assertIn(('sample', 1), timed(cut))
    self.assertIn(('score', 4), timed(cut))
    together, refilled = (
      next(p for p in found if p.name == 'sample') for found in (whole, cut)
    )
    self.assertIn((16, P), shapes(refilled.given))
    # Four prompts are answered at a time, none of them in fewer steps.
    self.assertEqual(refilled.loop_steps, 4 * R)
    # As much is written in all; but where the last ones are waited for, four
    # prompts are read once more.
    reading = flops.of(together.traced.jaxpr, loop_steps=0)
    self.assertEqual(
      flops.of(refilled.traced.jaxpr, loop_steps=4 * R),
      flops.of(together.traced.jaxpr, loop_steps=R) + reading * 4 // 16,
    )

  def test_a_reward_that_is_a_program_runs_on_the_host(self):
    stages = ppo.stages(ppo.Config(steps=1, batch_size=8), reward=scored)
    self.assertNotIn(('score', 1), timed(programs('ppo', ppo=stages)))

  def test_a_reference_that_is_asked_beforehand_is_not_kept(self):
    stages = dpo.stages(dpo.Config(steps=1, batch_size=8), data='comparisons')
    found = programs('dpo', dpo=stages)
    names = [program.name for program in found]
    self.assertLen(names, 3)
    self.assertEqual([p.times for p in found], [0, 0, 1])
    self.assertIn('reference', found[0].held['frozen'])
    self.assertNotIn('state', found[0].held)
    self.assertNotIn('reference', found[-1].held['frozen'])

  def test_of_features_that_are_kept_a_step_reads_these_alone(self):
    config = reward_head.Config(steps=1, batch_size=8)
    stages = reward_head.stages(config, data='comparisons')
    (*_, update) = programs('reward_head', reward_head=stages)
    self.assertIn((8, 2, MODEL.width), shapes(update.given))

  def test_adapters_share_the_base_with_the_reference(self):
    config = dpo.Config(steps=1, batch_size=8)
    stages = {
      name: stage._replace(lora=LoRA(rank=2), precompute=None)
      for name, stage in dpo.stages(config, data='comparisons').items()
    }
    (*_, update) = programs('dpo', dpo=stages)
    both = update.held['frozen']
    apart = sum(stage_plan.size(tree) for tree in both.values())
    # The base is the reference's very arrays.
    self.assertLess(stage_plan.size(both), 0.6 * apart)

  def test_what_a_gradient_costs(self):
    (*_, update) = stage_plan.plan(experiment(), 'sft', SLICE).programs
    tokens = 8 * (P + R)
    products = PARAMETERS - 3 * 16
    # Two FLOPs a parameter and token, and twice that backwards; attention's
    # scores and mixes are the little more, and the last token predicts none.
    self.assertBetween(update.flops / (6 * products * tokens), 0.9, 1.2)


def scored(prompts, responses):
  """A reward."""
  del prompts
  return [0.0] * len(responses)


if __name__ == '__main__':
  absltest.main()
