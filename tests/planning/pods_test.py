"""The shape of Llama 3.1 8B on 64 chips of v5e: what keeps pods working.

Two of its layers, compiled for chips that are not here without optimisation.
"""

import dataclasses

from absl.testing import absltest

from rlhf_jax import sandbox
from rlhf_jax.data.limits import Limits
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import sft
from rlhf_jax.models import presets
from rlhf_jax.planning import (
  chips,
  compiling,
  hlo,
  stage_plan,
  stage_programs,
  topologies,
)

CHIPS = chips.parse('v5e:8x8')
ROWS, TOKENS = 64, 2048
MODEL = dataclasses.replace(presets.llama_8b(), layers=2)


def experiment():
  limits = Limits(max_prompt_tokens=512, max_response_tokens=TOKENS - 512)
  return Experiment(
    seed=0,
    data=sandbox.World(),
    model=MODEL,
    limits=limits,
    stages=sft.stages(sft.Config(steps=1, batch_size=ROWS)),
    mesh={'data': 1, 'fsdp': CHIPS.count, 'tensor': 1},
  )


@absltest.skipIf(topologies.missing(CHIPS), f'{topologies.missing(CHIPS)}')
class PodsTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    topologies.prepare()
    cls.mesh = topologies.mesh(CHIPS, experiment().mesh)
    (*_, cls.update) = stage_programs.of_stage(experiment(), 'sft', cls.mesh)
    with compiling.optimised('O0'):
      cls.made = compiling.made(cls.update, cls.mesh)
    cls.module = hlo.read(cls.made.as_text())
    cls.shapes = {
      shape
      for instructions in cls.module.computations.values()
      for each in instructions
      for shape in each.shapes
    }

  def test_logits_of_all_tokens_are_nowhere(self):
    most = TOKENS * MODEL.vocab_size / 2
    found = [
      s
      for s in self.shapes
      if MODEL.vocab_size in s.sizes
      and MODEL.width not in s.sizes
      and s.elements >= most
    ]
    self.assertEmpty(found)

  def test_the_embedding_is_nowhere_whole(self):
    whole = {MODEL.vocab_size, MODEL.width}
    self.assertEmpty([s for s in self.shapes if whole <= set(s.sizes)])

  def test_rows_are_split(self):
    held = [s for s in self.shapes if s.sizes[:2] == (1, TOKENS)]
    self.assertNotEmpty(held)
    # A part of the unembedding has so many rows and columns, too.
    whole = [s for s in self.shapes if s.sizes[:2] == (ROWS, TOKENS)]
    # Of all rows a device looks up its own columns alone.
    own = {(), (MODEL.width // self.mesh.size,)}
    self.assertLessEqual({s.sizes[2:] for s in whole}, own)

  def test_the_state_is_overwritten_where_it_lies(self):
    found = compiling.measure(self.update, self.made, self.mesh)
    state = stage_plan.size(self.update.held['state'])
    self.assertAlmostEqual(found.shared / state, 1.0, delta=0.01)
    self.assertEmpty(found.moved)

  def test_weights_are_gathered_layer_by_layer(self):
    found = compiling.measure(self.update, self.made, self.mesh)
    looped = [one for one in found.sent if one.looped]
    self.assertTrue(any(one.kind == 'all-gather' for one in looped))


if __name__ == '__main__':
  absltest.main()
