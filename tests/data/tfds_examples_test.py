"""Records to examples of TFDS and back, with all that a text does not say."""

import math

import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized
from tensorflow_datasets.core import example_serializer

from rlhf_jax.data import tfds_examples
from rlhf_jax.data.builders import features
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Message,
  Prompt,
  Rated,
  Response,
)

WHO = Prompt(
  (Message('system', 'Sei nett. 🙂'), Message('user', 'q\x00')),
  'sums',
  'f.jsonl:1',
  'told',
  '4',
)
CUT = Response('a b', ended=False)
SAMPLED = Response('he', ids=(7, 8, 1))
RECORDS = (
  WHO,
  Prompt(()),
  Demonstration(WHO, '', 1 / 3),
  Demonstration(WHO, CUT),
  Comparison(WHO, ('x', ''), models=('a model', 'ü')),
  # No float of 32 bits is any of these.
  Comparison(WHO, ('x', 'y'), 0.1, (0.3, math.nan), '', 1e-300),
  Comparison(WHO, (CUT, 'y', SAMPLED), target=Response('z', ids=(9,))),
  Rated(WHO, CUT, (1.0, None, 0.1)),
  Rated(WHO, SAMPLED, ()),
)


def stored(record):
  """The bytes that TFDS writes of a record, and its columns read from them."""
  columns = features.of(type(record))
  serializer = example_serializer.ExampleSerializer(
    columns.get_serialized_info()
  )
  content = serializer.serialize_example(
    columns.encode_example(tfds_examples.example(record))
  )
  return columns.deserialize_example_np(content)


class ExamplesTest(parameterized.TestCase):
  @parameterized.parameters(*((record,) for record in RECORDS))
  def test_nothing_is_lost(self, record):
    found = tfds_examples.record(stored(record))
    self.assertIs(type(found), type(record))
    # By what is printed, as no NaN equals another.
    self.assertEqual(repr(found), repr(record))

  def test_what_was_cut_and_ids_return(self):
    found = tfds_examples.record(stored(RECORDS[6]))
    said = [*map(Response.of, (*found.responses, found.target))]
    self.assertEqual(
      [(one.ended, one.ids) for one in said],
      [(False, None), (True, None), (True, (7, 8, 1)), (True, (9,))],
    )
    self.assertIs(type(found.responses[1]), str)

  def test_of_a_dataset_without_the_names_of_models(self):
    record = Comparison(WHO, ('x', 'y'), models=('m', 'n'))
    found = stored(record)
    del found['models']
    self.assertEqual(tfds_examples.record(found), record._replace(models=()))

  def test_others_read_the_columns_by_their_names(self):
    found = stored(Comparison(WHO, ('x', CUT), 2.5, (8.5, 6.0)))
    self.assertEqual(found['prompt']['role'], [b'system', b'user'])
    self.assertEqual(found['responses']['text'], [b'x', b'a b'])
    self.assertEqual(found['responses']['ended'], [True, False])
    self.assertEqual(found['scores'].tolist(), [8.5, 6.0])
    self.assertEqual(found['margin'], 2.5)
    self.assertEqual(found['target']['text'], [])
    self.assertEqual(found['kind'], b'sums')

  def test_every_column_is_typed(self):
    self.assertEqual(
      list(features.of(Prompt)),
      ['prompt', 'kind', 'condition', 'answer', 'where'],
    )
    for kind, columns in (
      (Demonstration, {'response', 'token_ids', 'weight'}),
      (Rated, {'response', 'token_ids', 'ratings'}),
      (
        Comparison,
        {'responses', 'target', 'token_ids', 'scores', 'margin', 'weight'}
        | {'models'},
      ),
    ):
      found = features.of(kind)
      self.assertEqual(set(found) - set(features.of(Prompt)), columns)
      self.assertIsInstance(found, tfds.features.FeaturesDict)


if __name__ == '__main__':
  absltest.main()
