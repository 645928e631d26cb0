"""Rankers and attribute models whose tokenizer is not the policy's."""

import io
import json
import shutil

import numpy as np
from absl.testing import absltest

from rlhf_jax import experiment as experiments
from rlhf_jax.data.limits import Limits
from rlhf_jax.experiment import ExperimentError, Pretrained, running
from rlhf_jax.experiment.addresses import stage_addresses
from rlhf_jax.methods import attribute_writer, ranker
from rlhf_jax.training.metrics import read_jsonl
from rlhf_jax.types import Comparison, Response
from tests.experiment import other_tokenizer, small
from tests.experiment.other_tokenizer import PROMPTS, SAID, SCORES

RANKER = ranker.Config(steps=1, batch_size=small.RECORDS)


class TextReadersTest(other_tokenizer.Case):
  def odds(self, prompt, first, second):
    one, other = (
      self.scores('ranker', prompt, *texts)[0]
      for texts in ((first, second), (second, first))
    )
    return one, other

  def test_an_attribute_model_reads_text_its_own_way(self):
    chain = self.chain(attributes=str(self.root / 'rater'))
    found = self.queries(chain).rate(PROMPTS, SAID)
    self.assertEqual(found.shape, (3, SCORES))
    for prompt, text, row in zip(PROMPTS, SAID, found, strict=True):
      expected = self.scores('rater', prompt, text)
      np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-6)

  def test_a_ranker_of_a_stage_reads_text_its_own_way(self):
    folder = Pretrained(str(self.root / 'trunk'))
    stages = ranker.stages(RANKER, data='comparisons', start=folder, name='own')
    chain = self.chain(stages, ranker='own')
    chain.loaded['own'] = {'ranker': self.params['ranker']}
    pairs = [
      Comparison(prompt, (text, 'it'))
      for prompt, text in zip(PROMPTS, SAID, strict=True)
    ]
    found = self.queries(chain).prefer(pairs)
    for pair, odds in zip(pairs, found, strict=True):
      one, other = self.odds(pair.prompt, *pair.responses)
      self.assertAlmostEqual(odds, 0.5 * (one - other), 5)

  def test_a_ranker_learns_from_its_own_ids(self):
    start = {'ranker': str(self.root / 'ranker')}
    stages = ranker.stages(RANKER, data='comparisons', start=start, name='own')
    stages['own'] = stages['own']._replace(
      log_every=1, update=other_tokenizer.measured(ranker)
    )
    limits = Limits(max_prompt_tokens=80, max_response_tokens=100)
    chain = self.chain(stages, limits)
    pairs = [
      c._replace(responses=tuple(Response(t, ids=(1, 2)) for t in c.responses))
      for c in chain.data.records('comparisons')
    ]
    chain = small.holding(chain, comparisons=pairs)
    running.run_stage(chain, 'own')
    (row,) = read_jsonl(chain.folders['own'].path / 'metrics.jsonl')
    losses = []
    for pair in pairs:
      one, other = self.odds(pair.prompt, *pair.responses)
      losses += [np.log1p(np.exp(-one)), np.log1p(np.exp(other))]
    np.testing.assert_allclose(row['preference'], np.mean(losses), rtol=1e-4)

  def test_a_writer_of_attributes_is_asked_as_a_policy_is(self):
    folder = Pretrained(str(self.root / 'trunk'))
    stages = attribute_writer.stages(
      attribute_writer.Config(steps=1), data='demonstrations', start=folder
    )
    with self.assertRaisesRegex(
      ExperimentError, "'attribute_writer' takes its policy .*another tokenizer"
    ):
      self.chain(stages)

  def test_the_address_covers_the_tokenizer(self):
    folder = self.root / 'other'
    shutil.copytree(self.root / 'rater', folder)
    chain = self.chain(attributes=str(folder))
    before = stage_addresses(chain.experiment)
    path = folder / 'tokenizer_config.json'
    said = json.loads(path.read_text()) | {'chat_template': '{{ messages }}'}
    path.write_text(json.dumps(said))
    after = stage_addresses(chain.experiment)
    self.assertNotEqual(before['made'], after['made'])
    self.assertEqual(before['sft'], after['sft'])
    # A template that cannot be followed is told before anything runs.
    with self.assertRaisesRegex(ValueError, 'template'):
      experiments.prepare(
        chain.experiment, self.root / 'stages', console=io.StringIO()
      )


if __name__ == '__main__':
  absltest.main()
