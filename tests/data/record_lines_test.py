"""Records as lines of JSON and back, with all that a text does not say."""

import json
import math

from absl.testing import absltest, parameterized

from rlhf_jax.data import record_lines as records
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Message,
  Prompt,
  Rated,
  Response,
  Sampled,
)

WHO = Prompt((Message('user', 'what ?'),), 'sums', 'f:1', 'told', '4')
CUT = Response('a b', ended=False)
OTHER = Response('he', ids=(7, 8, 1))


def there_and_back(record):
  line = json.dumps(records.row(record), allow_nan=False)
  return line, records.parse(json.loads(line), WHO.where)


class RecordsTest(parameterized.TestCase):
  @parameterized.parameters(
    (Demonstration(WHO, 'x', 0.5),),
    (Comparison(WHO, ('x', 'y'), 1.5, (2.0, 1.0), 'z'),),
    (Comparison(WHO, ('x', 'y')),),
    (Rated(WHO, 'x', (1.0, None)),),
    (Sampled(WHO, ('x', 'y'), (True, False), (2, 3), (-1.0, -2.0)),),
  )
  def test_plain_records_return_and_are_plain(self, record):
    line, found = there_and_back(record)
    self.assertEqual(found, record)
    self.assertNotIn('ended": ', line.replace('"ended": [true', ''))

  def test_what_was_cut_and_other_ids_return(self):
    said = Comparison(WHO, (CUT, OTHER, 'x'), target=OTHER)
    line, found = there_and_back(said)
    self.assertEqual(found, said)
    one, two, three = map(Response.of, found.responses)
    self.assertEqual((one.ended, one.ids), (False, None))
    self.assertEqual((two.ended, two.ids), (True, (7, 8, 1)))
    self.assertEqual((three.ended, three.ids), (True, None))
    self.assertEqual(found.target.ids, (7, 8, 1))
    responses = json.loads(line)['responses']
    self.assertEqual(responses[0], {'text': 'a b', 'ended': False})
    self.assertEqual(responses[2], 'x')

  def test_a_score_that_is_none_is_null(self):
    said = Sampled(WHO, ('x', 'y'), (True, True), (2, 2), (-1.0, -1.0))
    line, found = there_and_back(said._replace(scores=(math.nan, 1.0)))
    self.assertEqual(json.loads(line)['scores'], [None, 1.0])
    self.assertTrue(math.isnan(found.scores[0]))
    self.assertEqual(found.scores[1], 1.0)


if __name__ == '__main__':
  absltest.main()
