"""A real model's sums and people's pairs, of a made file and a tiny model."""

import dataclasses
import io
import operator
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest

from experiments import half_known
from experiments.half_known import source
from launch import loading
from rlhf_jax import experiment as experiments
from rlhf_jax.data import jsonl
from tests.experiment import first_afternoon_test

ROOT = pathlib.Path(__file__).parents[2]
FILE = ROOT / 'experiments' / 'rlp' / 'real_model.py'


def by_hand(asks):
  one, sign, other = asks.split()
  does = {'+': operator.add, '-': operator.sub, '*': operator.mul}
  return does[sign](int(one), int(other))


def by_hand_of(line):
  one, sign, other = line.split(' =')[0].split()
  return sign, frozenset((one, other))


class ProblemsTest(absltest.TestCase):
  def test_each_sum_once_with_its_answer(self):
    asked = source.problems(10_000)
    self.assertLen(asked, 510)
    for prompt in asked:
      *shown, question = prompt.text.split('\n')
      for line in shown:  # What is shown is right, too.
        asks, answer = line.split(' = ')
        self.assertEqual(by_hand(asks), int(answer))
      self.assertEqual(prompt.answer, str(by_hand(question.removesuffix(' ='))))
      self.assertNotIn(by_hand_of(question), map(by_hand_of, shown))
    said = {by_hand_of(prompt.text.split('\n')[-1]) for prompt in asked}
    self.assertLen(said, 510)  # None is another turned round.
    kinds = [prompt.kind for prompt in asked]
    self.assertEqual(kinds, ['plus', 'times', 'tens'] * 170)
    self.assertEqual(source.problems(20), asked[:20])

  def test_a_right_sample_against_a_wrong_one(self):
    one, other = source.problems(2)
    said = [' 1\n', f' {one.answer}\n', f' {one.answer} !', ' x', ' 0']
    asked = [one] * 3 + [other] * 2
    (pair,) = half_known.one_of_each(asked, said)
    self.assertEqual(pair.prompt, one)
    self.assertEqual(pair.responses, (said[1], said[0]))


class RealModelTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.root = pathlib.Path(folder)
    first_afternoon_test.made(self.root)

  def built(self):
    assignments = (
      f'data={self.root}',
      f'model={self.root / "model"}',
      'trunk_layers=1',
      'samples=4',
      'data.problems=6',
      'data.test_problems=6',
      'limits.max_response_tokens=6',
      'limits.max_prompt_tokens=200',
    )
    return loading.build(loading.load(FILE), list(assignments))

  def test_its_heads_learn_what_people_prefer(self):
    # What a model that knows nothing says are no numbers: there is no pair.
    made = self.built()
    stages = {n: made.stages[n] for n in ('bradley_terry', 'inform')}
    results = experiments.run(
      dataclasses.replace(made, stages=stages),
      self.root / 'out',
      stages_dir=self.root / 'stages',
      console=io.StringIO(),
    )
    for name in stages:
      found = results['reward_models'][name]['test_helpful_pairs']
      self.assertGreater(found['accuracy']['value'], 0.8, name)
    kept = list((self.root / 'stages').glob('data-*/features-*.jsonl'))
    self.assertLen(kept, 1)  # Both heads are of one trunk.

  def test_pairs_that_agree_stand_beside_people_s(self):
    stages = self.built().stages
    for name in ('number', 'embedding'):
      learnt = stages[f'spg_by_{name}']
      self.assertEqual(learnt.data, ('helpful_pairs', f'{name}_pairs'))
      self.assertEqual(learnt.config, stages['spg_by_number'].config)
    same = stages['number_pairs'].config.similarity
    prompt = source.problems(1)[0]
    (found,) = same([prompt], [[' 12\n', ' it is 12', ' 13']], None)
    np.testing.assert_array_equal(found[0], [True, True, False])

  def test_without_the_dialogues_it_says_what_is_wanted(self):
    (self.root / source.DIALOGUES).unlink()
    with self.assertRaisesRegex(jsonl.DataError, 'a test file of HH-RLHF'):
      self.built().data.fingerprint()


if __name__ == '__main__':
  absltest.main()
