"""Lines of ranked, scored and labelled responses to records."""

import json
import pathlib
import tempfile

from absl.testing import absltest, parameterized

from rlhf_jax.data import formats, jsonl
from rlhf_jax.types import Comparison, Message, Prompt

TURNS = [{'role': 'user', 'content': 'q'}]


def asked(line, kind=''):
  return Prompt((Message('user', 'q'),), kind, f'r.jsonl:{line}')


def replies(*ranks):
  return [{'text': f'text {rank}', 'rank': rank} for rank in ranks]


def outputs(*scores):
  return [
    {'model': f'model {i}', 'output': f'text {i}', 'score': score}
    for i, score in enumerate(scores)
  ]


class RankedFormatsTest(parameterized.TestCase):
  def write(self, *lines):
    folder = self.enterContext(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder) / 'r.jsonl'
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return path

  def test_completions_without_two_scores_are_left_out(self):
    def row(*scores):
      given = [{'response': f'{x}', 'overall_score': x} for x in scores]
      return {'instruction': 'q', 'completions': given}

    found = formats.read(self.write(row(4, None, 4.5), row(), row(2, None)))
    self.assertEqual(
      found, [Comparison(asked(1), ('4.5', '4'), 0.5, (4.5, 4.0))]
    )
    self.assertIn(
      'r.jsonl: 2 of 3 left out: fewer than two of its completions have a '
      'score (first at r.jsonl:2)',
      found.notes,
    )

  def test_ranked_keep_their_order(self):
    path = self.write(
      {'id': 1, 'tree_id': 2, 'source': 's', 'lang': 'en', 'prompt': TURNS}
      | {'responses': replies(0, 1, 2)},
      {'prompt': TURNS, 'responses': replies(1, 4)},
    )
    self.assertEqual(
      formats.OASST_RANKED(path),
      [
        Comparison(asked(1, 'en'), ('text 0', 'text 1', 'text 2')),
        Comparison(asked(2), ('text 1', 'text 4')),
      ],
    )

  @parameterized.parameters(
    (replies(0, 2, 1), "'responses' item 3 is of rank 1 and the one before it"),
    (replies(0, 0), 'item 2 is of rank 0 and the one before it of rank 0'),
    (replies(0), "field 'responses' must hold 2 or more, and holds 1"),
    ([{'text': 'a'}] * 2, "field 'responses' item 1 has no field 'rank'"),
    (
      replies(0) + [{'text': '', 'rank': 1}],
      "field 'responses' item 2 field 'text' is empty",
    ),
  )
  def test_bad_ranks_are_told(self, responses, told):
    path = self.write({'prompt': TURNS, 'responses': responses})
    with self.assertRaisesRegex(jsonl.DataError, 'r.jsonl:1: .*' + told):
      formats.OASST_RANKED(path)

  def test_scored_have_scores_and_the_first_two_s_margin(self):
    path = self.write(
      {'dataset': 'koala', 'instruction': 'q', 'extra_responses': []}
      | {'responses': outputs(0.75, 0.5, 0.5)}
    )
    self.assertEqual(
      formats.SCORED_OUTPUTS(path),
      [
        Comparison(
          asked(1, 'koala'),
          ('text 0', 'text 1', 'text 2'),
          0.25,
          (0.75, 0.5, 0.5),
          models=('model 0', 'model 1', 'model 2'),
        )
      ],
    )

  @parameterized.parameters(
    (outputs(0.5, 0.25, 0.75), r'item 3 scores 0.75, .* before it \(0.25\)'),
    (outputs(0.5, None), "field 'responses' item 2 field 'score' must be a"),
    (outputs(0.5), 'must hold 2 or more'),
  )
  def test_bad_scores_are_told(self, responses, told):
    path = self.write(
      {'instruction': 'q', 'responses': outputs(2, 1)},
      {'instruction': 'q', 'responses': responses},
    )
    with self.assertRaisesRegex(jsonl.DataError, 'r.jsonl:2: .*' + told):
      formats.SCORED_OUTPUTS(path)

  def test_labelled_are_good_or_not(self):
    path = self.write(
      {'prompt': TURNS, 'response': 'a', 'desirable': True},
      {'id': 1, 'subset': 's', 'prompt': TURNS}
      | {'response': 'a', 'desirable': False},
    )
    self.assertEqual(
      formats.LABELLED(path),
      [
        Comparison(asked(1), ('a',), scores=(1.0,)),
        Comparison(asked(2, 's'), ('a',), scores=(-1.0,)),
      ],
    )

  @parameterized.parameters(1, 'yes', None)
  def test_a_verdict_is_true_or_false(self, verdict):
    path = self.write({'prompt': TURNS, 'response': 'a', 'desirable': verdict})
    with self.assertRaisesRegex(
      jsonl.DataError,
      'r.jsonl:1: as labelled responses, '
      "field 'desirable' must be true or false",
    ):
      formats.LABELLED(path)


if __name__ == '__main__':
  absltest.main()
