"""Lines of rated responses to records."""

import json
import pathlib
import tempfile

from absl.testing import absltest, parameterized

from rlhf_jax.data import jsonl
from rlhf_jax.data.formats import ratings
from rlhf_jax.types import Message, Prompt, Rated

FOLDER = pathlib.Path(__file__).parents[3] / 'shared' / 'data'


def reply(**attributes):
  return {
    'id': 'x',
    'lang': 'en',
    'prompt': [{'role': 'user', 'content': 'q'}],
    'response': 'a',
    'attributes': attributes,
    'n_labels': 3,
    'rank': None,
  }


class RatedFormatsTest(parameterized.TestCase):
  def write(self, *lines):
    folder = self.enterContext(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder) / 'r.jsonl'
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return path

  def test_shares_become_levels_in_the_published_order(self):
    path = self.write(
      reply(
        helpfulness=1.0,
        violence=0.0,
        creativity=0.625,
        humor=0.375,
        toxicity=0.125,
        quality=0.8,
      )
    )
    self.assertEqual(
      ratings.OASST_RATED(path),
      [
        # 3.2, and then the halves: 0.5, 1.5 and 2.5.
        Rated(
          Prompt((Message('user', 'q'),), 'en', 'r.jsonl:1'),
          'a',
          (3.0, 0.0, 2.0, 2.0, 0.0, 4.0),
        )
      ],
    )

  def test_missing_ratings_are_none(self):
    path = self.write(reply(quality=0.5, humor=None))
    self.assertEqual(
      ratings.OASST_RATED(path)[0].ratings, (2.0, None, None, None, None, None)
    )

  def test_stories_are_rated_from_1_to_5(self):
    names = ratings.HANNA_ATTRIBUTES
    path = self.write(
      {'prompt_id': 'P', 'prompt': 'q', 'model': None, 'story': 's'}
      | {
        'attributes': dict(
          zip(names, (1.0, 5.0, 4 / 3, 8 / 3, 1.5, 2.5), strict=True)
        )
      }
    )
    # 0, 4, 1/3, 5/3, 1/2 and 3/2 levels above the lowest.
    self.assertEqual(
      ratings.HANNA(path),
      [
        Rated(
          Prompt((Message('user', 'q'),), where='r.jsonl:1'),
          's',
          (0.0, 4.0, 0.0, 2.0, 0.0, 2.0),
        )
      ],
    )

  @parameterized.parameters(
    ({'quality': 1.5}, "'quality' must be between 0 and 1, not 1.5"),
    ({'quality': -0.1}, "'quality' must be between 0 and 1, not -0.1"),
    ({'quality': 'high'}, "'quality' must be a number"),
    ({'qualty': 1.0}, "unknown field 'qualty'"),
  )
  def test_what_is_no_rating_is_refused(self, attributes, message):
    with self.assertRaisesRegex(jsonl.DataError, f'r.jsonl:1: .*{message}'):
      ratings.OASST_RATED(self.write(reply(**attributes)))


@absltest.skipUnless(FOLDER.is_dir(), f'the data sets are not at {FOLDER}')
class RealDataTest(parameterized.TestCase):
  @parameterized.parameters(
    (
      ratings.OASST_RATED,
      'oasst2_attributes.jsonl.gz',
      ratings.OASST_ATTRIBUTES,
    ),
    (ratings.HANNA, 'hanna_attributes.jsonl.gz', ratings.HANNA_ATTRIBUTES),
  )
  def test_every_row_is_read_and_on_the_scale(self, read, name, names):
    path = FOLDER / name
    rows = [row.fields['attributes'] for row in jsonl.read(path)]
    rated = read(path)
    self.assertLen(rated, len(rows))
    low, high = (1, 5) if read is ratings.HANNA else (0, 1)
    for record, row in zip(rated, rows, strict=True):
      self.assertLen(record.ratings, len(names))
      for level, attribute in zip(record.ratings, names, strict=True):
        self.assertIn(level, range(5))
        # Rounding moves a rating by no more than half a level.
        exact = 4 * (row[attribute] - low) / (high - low)
        self.assertLessEqual(abs(level - exact), 0.5 + 1e-9)


if __name__ == '__main__':
  absltest.main()
