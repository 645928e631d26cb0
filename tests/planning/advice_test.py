"""What is tried where a stage does not fit: first what changes least."""

import dataclasses
from types import SimpleNamespace

from absl.testing import absltest, parameterized

from rlhf_jax.data.limits import Limits
from rlhf_jax.experiment.device_rows import RowsError
from rlhf_jax.methods import dapo, inform, ppo
from rlhf_jax.planning import advice
from tests.planning.stage_programs_test import MODEL, experiment


def asked(**model):
  stages = ppo.stages(ppo.Config(steps=1, batch_size=64))
  found = experiment(ppo=stages)
  return dataclasses.replace(
    found,
    model=dataclasses.replace(MODEL, **model),
    mesh={'data': 2, 'fsdp': 2, 'tensor': 1},
  )


class AdviceTest(parameterized.TestCase):
  def test_what_changes_least_is_first(self):
    found = [
      ' '.join(each) for each in advice.settings(asked(), 'ppo', chips=4)
    ]
    self.assertEqual(
      found,
      [
        'stages.ppo.config.micro_batches=2',
        'stages.ppo.config.micro_batches=4',
        'stages.ppo.config.micro_batches=8',
        'mesh.data=1 mesh.fsdp=4 mesh.tensor=1',
        'model.compute_dtype=bfloat16',
        f'model.remat={advice.KEPT}',
        'model.param_dtype=bfloat16',
        'limits.max_response_tokens=2',
        'limits.max_response_tokens=1',
        # Two heads of keys can be split in two.
        'mesh.data=1 mesh.fsdp=2 mesh.tensor=2',
      ],
    )

  def test_what_is_set_already_is_not_tried(self):
    found = list(
      advice.settings(
        asked(compute_dtype='bfloat16', param_dtype='bfloat16'), 'ppo', 4
      )
    )
    self.assertNotIn(['model.compute_dtype=bfloat16'], found)
    self.assertNotIn(['model.param_dtype=bfloat16'], found)

  def test_a_round_is_cut_into_parts_that_devices_share(self):
    # 8 prompts of 4 responses in 2 minibatches: 16 rows, on 4 devices.
    config = dapo.Config(
      steps=1, batch_size=64, groups=8, samples=4, minibatches=2
    )
    found = dataclasses.replace(
      asked(), stages=experiment(dapo=dapo.stages(config)).stages
    )
    said = [each for (each, *_) in advice.settings(found, 'dapo', chips=4)]
    self.assertEqual(
      [each for each in said if 'micro' in each],
      [f'stages.dapo.config.micro_batches={n}' for n in (2, 4)],
    )

  def test_a_batch_that_must_stay_whole_is_not_cut(self):
    config = inform.Config(steps=1, batch_size=64)
    stages = inform.stages(config, data='comparisons')
    found = dataclasses.replace(
      asked(), stages=experiment(**{'': stages}).stages
    )
    (name,) = stages
    said = [each for (each, *_) in advice.settings(found, name, chips=4)]
    self.assertEmpty([each for each in said if 'micro' in each])

  @parameterized.parameters((1, []), (2, [1]), (3, [1]), (9, [4, 2]))
  def test_no_response_is_shorter_than_a_token(self, tokens, shorter):
    limits = Limits(max_prompt_tokens=4, max_response_tokens=tokens)
    found = dataclasses.replace(asked(), limits=limits)
    said = [each for (each, *_) in advice.settings(found, 'ppo', chips=4)]
    self.assertEqual(
      [each for each in said if 'limits' in each],
      [f'limits.max_response_tokens={n}' for n in shorter],
    )

  def test_what_helps_is_kept_until_it_fits(self):
    needs = {
      'stages.ppo.config.micro_batches=2': 90,
      'stages.ppo.config.micro_batches=4': 70,
      'stages.ppo.config.micro_batches=8': 72,
      'mesh.fsdp=4': 75,  # Worse with the four above.
      'model.compute_dtype=bfloat16': 40,
    }
    calls = []

    def attempt(assignments):
      calls.append(list(assignments))
      size = next(needs[a] for a in reversed(assignments) if a in needs)
      busiest = SimpleNamespace(bytes=size)
      return SimpleNamespace(busiest=busiest, fits=size <= 50)

    found = list(advice.tried(asked(), 'ppo', 4, 100, attempt))
    self.assertEqual([trial.bytes for trial in found], [90, 70, 72, 75, 40])
    self.assertEqual([t.fits for t in found], [False] * 4 + [True])
    self.assertEqual(
      calls[-1],
      ['stages.ppo.config.micro_batches=4', 'model.compute_dtype=bfloat16'],
    )

  def test_rows_that_do_not_divide_are_said(self):
    def attempt(assignments):
      raise RowsError('not shared')

    trials = advice.tried(asked(), 'ppo', 4, 100, attempt)
    self.assertEqual(next(trials).why, 'not shared')


if __name__ == '__main__':
  absltest.main()
