"""The command that plans: what it prints and writes, and what it refuses."""

import contextlib
import dataclasses
import io
import json
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest

from launch import plan
from rlhf_jax.planning import advice, chips, stage_plan, topologies, words
from rlhf_jax.planning.collectives import Collective
from rlhf_jax.planning.compiling import Compiled

RECIPE = 'experiments/finetune/ppo.py'
CONFIG = {
  'model_type': 'llama',
  'hidden_size': 64,
  'intermediate_size': 128,
  'num_attention_heads': 4,
  'num_hidden_layers': 2,
  'num_key_value_heads': 2,
  'rms_norm_eps': 1e-5,
  'rope_theta': 10000.0,
  'vocab_size': 256,
  'hidden_act': 'silu',
  'max_position_embeddings': 128,
  'tie_word_embeddings': True,
}


class PlanTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.folder = pathlib.Path(folder)
    (self.folder / 'config.json').write_text(json.dumps(CONFIG))
    # Not what happens to be installed.
    self.enterContext(
      mock.patch.object(topologies.importlib.util, 'find_spec', lambda _: None)
    )

  def run_plan(self, chips, *settings, more=()):
    """(status, what it printed, what it said of errors)."""
    arguments = [RECIPE, '--chips', chips, *more]
    for each in (f'model={self.folder}', *settings):
      arguments += ['--set', each]
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
      status = plan.main(arguments)
    return status, out.getvalue(), said.getvalue()

  def plan_as(self, needed, state):
    """Plans of one program, which `needed` says of an experiment."""

    def planned(experiment, name, *_, only=None, **options):
      update = TRACED if only else needed(experiment)
      return stage_plan.StagePlan(
        stage=name, state=state, frozen=0, room=16.9e9, programs=[update]
      )

    self.enterContext(mock.patch.object(topologies, 'missing', lambda _: None))
    self.enterContext(mock.patch.object(stage_plan, 'plan', planned))

  def test_a_config_json_is_enough_and_what_is_missing_is_said(self):
    path = self.folder / 'plan.json'
    status, out, said = self.run_plan(
      'v5e:2x2', 'mesh.fsdp=4', more=('--json', str(path))
    )
    self.assertEqual((status, said), (0, ''))
    for words_ in (
      'reward_model: state',
      'ppo: state',
      'frozen',
      'sample',
      'at full length a step takes at least',
    ):
      self.assertIn(words_, out)
    # Before all tables and after them, and not with each.
    lines = out.splitlines()
    for line in (lines[0], lines[-1]):
      self.assertStartsWith(
        line, 'nothing is compiled for v5e:2x2 without libt'
      )
      self.assertEndsWith(line, "not known (–): pip install -e '.[plan]'")
    self.assertEqual(out.count('pip install'), 2)
    planned = json.loads(path.read_text())
    self.assertEqual(planned['chips'], 'v5e:2x2')
    reward, ppo = planned['stages']
    self.assertEqual((reward['stage'], ppo['stage']), ('reward_model', 'ppo'))
    self.assertIsNone(ppo['fits'])
    # Adam moves a policy and a critic: three of each, and one is kept of both.
    self.assertBetween(ppo['state_bytes'] / ppo['frozen_bytes'], 2.9, 3.1)

  def test_of_gpus_the_plugin_is_named(self):
    _, out, _ = self.run_plan('h100:1x8', more=('--only', 'reward_model'))
    self.assertIn('jax_cuda12_plugin', out)
    self.assertIn("pip install -e '.[plan-gpu]'", out)
    self.assertNotIn('ppo: state', out)

  def test_errors_are_a_sentence(self):
    for chips_, settings, more, sentence in (
      ('v7:2x2', (), (), "chips 'v7' are not known"),
      ('v5e:3x5', (), (), "'v5e:3x5' is no slice of v5e; there are 1x1, 2x2"),
      ('v5e:2x2', ('mesh.fsdp=8',), (), 'a mesh of data='),
      ('v5e:2x2', (), ('--only', 'pop'), "no stage 'pop' trains; did you mean"),
    ):
      with self.subTest(sentence):
        status, _, said = self.run_plan(chips_, *settings, more=more)
        self.assertEqual(status, 1)
        self.assertStartsWith(said, 'error: ')
        self.assertLen(said.splitlines(), 1)
        self.assertIn(sentence, said)

  def test_of_each_stage_that_cannot_run_it_is_said_why(self):
    path = self.folder / 'plan.json'
    rows = 'stages.{}.config.batch_size'
    status, out, said = self.run_plan(
      'v5e:4x4',
      f'{rows.format("reward_model")}=24',
      f'{rows.format("ppo")}=48',
      more=('--json', str(path)),
    )
    # 24 pairs on 16 devices; of 48 prompts each minibatch has 24.
    self.assertEqual((status, said), (1, ''))
    self.assertIn(
      f'reward_model: cannot run on v5e:4x4: {rows.format("reward_model")} is '
      '24, and 16 devices',
      out,
    )
    self.assertIn('to 16 or 32, or mesh.data to 8 and mesh.tensor to 2\n', out)
    self.assertIn('ppo: cannot run on v5e:4x4', out)
    refused = json.loads(path.read_text())['stages']
    self.assertEqual([stage['fits'] for stage in refused], [False, False])
    self.assertIn('is 48 (minibatches', refused[1]['why'])

  def test_other_stages_are_planned(self):
    status, out, _ = self.run_plan(
      'v5e:4x4', 'stages.reward_model.config.batch_size=24', 'batch_size=32'
    )
    self.assertEqual(status, 1)
    self.assertIn('reward_model: cannot run', out)
    self.assertIn('ppo: state', out)

  def test_the_longest_response_that_fits(self):
    asked = []

    def needed(experiment):
      tokens = experiment.limits.max_response_tokens
      asked.append(tokens)
      return program(
        'update', held=1e9, temporaries=tokens * 1e8, seconds={'products': 1.0}
      )

    self.plan_as(needed, state=1e9)
    path = self.folder / 'plan.json'
    status, out, _ = self.run_plan(
      'v5e:1x1',
      'max_response_tokens=48',
      more=('--only', 'ppo', '--longest', '--json', str(path)),
    )
    self.assertEqual(status, 0)
    # 2 GB, and a tenth of one for each token: 149 are the most.
    self.assertEqual(asked, [48, 96, 192, 144, 168, 156])
    self.assertIn(
      '  responses of 144 tokens fit: 16.4 GB of 16.9 GB, in up', out
    )
    self.assertIn(
      '  responses of 192 tokens do not fit: 21.2 GB of 16.9 GB', out
    )
    self.assertIn('ppo: responses of 144 tokens fit, 156 do not\n', out)
    (found,) = json.loads(path.read_text())['stages']
    self.assertEqual(found['longest_response_tokens'], 144)
    self.assertEqual([t['tokens'] for t in found['tried']], asked)

  def test_where_state_alone_does_not_fit_no_length_is_tried(self):
    self.plan_as(lambda _: self.fail('compiled'), state=17e9)
    status, out, _ = self.run_plan(
      'v5e:1x1', more=('--only', 'ppo', '--longest')
    )
    self.assertEqual(status, 1)
    self.assertIn('does not fit: state and frozen roles alone are 17.0 GB', out)

  def test_the_longest_is_not_known_without_a_compiler(self):
    status, _, said = self.run_plan('v5e:1x1', more=('--longest',))
    self.assertEqual(status, 1)
    self.assertStartsWith(said, 'error: --longest: nothing is compiled for')

  def test_what_alone_does_not_fit_needs_no_compiler(self):
    small = chips.CHIPS['v5e']._replace(memory=1e4)
    with mock.patch.dict(chips.CHIPS, {'v5e': small}):
      status, out, _ = self.run_plan('v5e:1x1')
    self.assertEqual(status, 1)
    self.assertIn('does not fit: state and frozen roles alone are', out)


TRACED = stage_plan.ProgramPlan(
  name='update',
  times=1,
  flops=1,
  held=1,
  compiled=None,
  seconds={'products': 1.0},
)


def program(name, *, held, temporaries, seconds, times=1, **found):
  return stage_plan.ProgramPlan(
    name=name,
    times=times,
    flops=3e15,
    held=held,
    compiled=Compiled(temporaries=temporaries, results=1e9, **found),
    seconds=seconds,
  )


class WordsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    gather = Collective('all-gather', 'bf16[8]', 64, 32, 2e9, looped=True)
    self.found = stage_plan.StagePlan(
      stage='ppo',
      state=4e9,
      frozen=2e9,
      room=16.9e9,
      programs=[
        program(
          'sample',
          held=7e9,
          temporaries=3e9,
          seconds={'products': 0.5, 'sending': 4.0},
          times=2,
          sent=[gather],
        ),
        program('update', held=6e9, temporaries=8e9, seconds={'products': 5.0}),
      ],
    )

  def test_the_busiest_moment_and_what_dominates(self):
    said = '\n'.join(words.of_stage(self.found, chips.parse('v5e:8x8')))
    # 6 + 8 of temporaries + 1 of results, more than 7 + 3 + 1.
    self.assertIn('fits: at its busiest, in update, 15.0 GB of 16.9 GB', said)
    self.assertIn(
      'at full length a step takes at least 13 s (a bound, no forecast)', said
    )
    self.assertIn('8 s of it sample, bound by sending', said)
    # 32 times 2 GB, of which each of 64 devices has its own part.
    self.assertIn(
      'sample sends 63.0 GB: all-gather of bf16[8] 32 times in loops', said
    )

  def test_what_is_small_is_said_in_units_of_its_own(self):
    small = program(
      'update', held=26_600, temporaries=4_096, seconds={'products': 1e-6}
    )
    small = dataclasses.replace(
      small, compiled=Compiled(temporaries=4_096, results=300)
    )
    found = stage_plan.StagePlan(
      stage='ppo', state=2_480_000, frozen=512, room=16.9e9, programs=[small]
    )
    head, _, row, *others = words.of_stage(found, chips.parse('v5e:1x1'))
    self.assertStartsWith(head, 'ppo: state 2.5 MB, frozen 512 B on each chip')
    # 26.6 + 4.1 + 0.3 kB.
    self.assertIn('  4.1 kB     31.0 kB    0 B   ', row)
    self.assertIn('in update, 31.0 kB of 16.9 GB', others[0])

  def test_what_was_refused_does_not_fit(self):
    refused = program(
      'update', held=6e9, temporaries=20e9, seconds={'x': 1.0}, refused='no'
    )
    found = stage_plan.StagePlan(
      stage='ppo', state=4e9, frozen=2e9, room=16.9e9, programs=[refused]
    )
    self.assertFalse(found.fits)
    said = '\n'.join(words.of_stage(found, chips.parse('v5e:8x8')))
    self.assertIn('does not fit: update needs 27.0 GB of 16.9 GB', said)

  def test_trials(self):
    for trial, said in (
      (advice.Trial(['a=1'], 12e9, True), '--set a=1: 12.0 GB, and it fits'),
      (advice.Trial(['a=1', 'b=2'], 18e9, False), 'b=2: 18.0 GB of 16.9 GB'),
      (advice.Trial(['a=1'], None, False, 'no'), '--set a=1: cannot be, no'),
    ):
      self.assertIn(said, words.of_trial(trial, 16.9e9))


if __name__ == '__main__':
  absltest.main()
