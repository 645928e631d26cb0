"""The grade-school recipe on made-up problems: that its parts agree."""

import pathlib
import tempfile

from absl.testing import absltest

from experiments.verifiable import grade_school
from rlhf_jax import experiment as experiments
from rlhf_jax.feedback import verifying
from tests.data import word_problems


class GradeSchoolTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    root = self.enterContext(tempfile.TemporaryDirectory())
    self.root = pathlib.Path(root)
    lines = word_problems.make(50, seed=0)
    word_problems.write(self.root / 'train.jsonl', lines[:40])
    word_problems.write(self.root / 'test.jsonl', lines[40:])

  def prepared(self, **settings):
    settings = grade_school.Settings(
      data_dir=str(self.root), vocab_size=400, **settings
    )
    return experiments.prepare(grade_school.config(settings), self.root / 'run')

  def test_solutions_earn_what_is_right(self):
    chain = self.prepared()
    reward = chain.experiment.stages['grpo'].frozen['reward']
    for name in ('demonstrations', 'test_demonstrations'):
      prompts, responses, _ = zip(*chain.corpus.datasets[name], strict=True)
      wrong = [response.rpartition('####')[0] for response in responses]
      for judge in (reward, chain.corpus.gold):
        self.assertEqual(set(judge(prompts, responses)), {1.0})
        # Unmarked, the last number is still the result; one more is not.
        self.assertEqual(set(judge(prompts, wrong)), {1.0})
        more = [f'{response}0' for response in responses]
        self.assertEqual(set(judge(prompts, more)), {0.0})

  def test_solutions_survive_the_tokenizer_and_the_limits(self):
    chain = self.prepared()
    solved = chain.corpus.datasets['demonstrations']
    examples, counts = chain.data.encode(solved)
    self.assertEqual(set(counts), {0})
    decoded = [
      chain.corpus.tokenizer.decode(e.response_ids[0]) for e in examples
    ]
    prompts = [e.prompt for e in examples]
    self.assertEqual(set(verifying.number(prompts, decoded)), {1.0})

  def test_a_test_file_is_what_is_tested_on(self):
    datasets = self.prepared(test_file='test.jsonl').corpus.datasets
    self.assertLen(datasets['prompts'], 40)
    self.assertLen(datasets['test_prompts'], 10)
    self.assertEqual(datasets['test_prompts'][0].where, 'test.jsonl:1')


if __name__ == '__main__':
  absltest.main()
