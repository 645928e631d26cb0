"""Responses to many prompts, some at a time: as if all were asked at once."""

import pathlib
import tempfile

import jax
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.experiment.sampled import sampled
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.types import prompt_of
from tests.experiment import small

PROMPTS = 18


class SampledTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)

  @parameterized.parameters(
    # How many the sampler is given, and writes to side by side.
    (1, 30, [(30, None)]),
    (1, 18, [(18, None)]),
    (1, 5, [(20, 5)]),  # Four waves.
    (1, 4, [(20, 4)]),  # Five: at once, not four and one.
    (1, 2, [(10, 2)] * 2),  # Nine: five and five.
    (4, 3, [(20, 4)]),  # Four devices share four.
  )
  def test_the_same_whatever_goes_at_a_time(self, devices, rows, expected):
    run = small.chain(self.folder, {}, devices=devices)
    records = [prompt_of(r) for r in run.data.records('demonstrations')]
    examples, _ = run.data.encode_all(records[:PROMPTS])
    sampler, asked = run.models().sampler, []
    ask = {'samples': 2, 'sampling': Sampling(temperature=1.0)}

    def noting(loaded, prompts, key, **how):
      asked.append((prompts.tokens.shape[0], how.get('at_a_time')))
      return sampler.sample(loaded, prompts, key, **how)

    loaded, key = sampler.load(small.params('policy')), jax.random.key(3)
    with jax.set_mesh(run.mesh):
      whole = sampler.sample(
        loaded, run.data.prompts(examples, 7, PROMPTS), key, **ask
      )
      found, size = [], run.data.shared(rows)
      for some, rollouts in sampled(
        run.data,
        sampler._replace(sample=noting),
        loaded,
        examples,
        key,
        first=7,
        at_a_time=rows,
        **ask,
      ):
        self.assertEqual(rollouts.tokens.shape[0], size)
        self.assertEqual(some, examples[len(found) :][: len(some)])
        found += self.rows(rollouts, len(some))
    self.assertEqual(asked, expected)
    self.assertEqual(found, self.rows(whole, PROMPTS))

  def rows(self, rollouts, count):
    """The place of each prompt, and the ids of its responses."""
    tokens, mask = map(np.asarray, rollouts.responses)
    return [
      (place, [t[m].tolist() for t, m in zip(*row, strict=True)])
      for place, *row in zip(
        rollouts.index[:count].tolist(), tokens, mask, strict=False
      )
    ]


if __name__ == '__main__':
  absltest.main()
