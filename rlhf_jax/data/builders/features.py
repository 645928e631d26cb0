"""The columns of records in a dataset of TFDS, for each class of records.

Numbers are of 64 bits, as files give them: TFDS would store them in 32, so they
are stored as their bytes.
"""

import numpy as np
from tensorflow_datasets import features

from rlhf_jax.types import Comparison, Demonstration, Prompt, Rated, Record


def of(kind: type[Record]) -> features.FeaturesDict:
  """The columns of `data.tfds_examples.example` for records of a class."""
  return features.FeaturesDict(_PROMPT | _OF[kind])


def _number(*shape: None, doc: str) -> features.Tensor:
  return features.Tensor(
    shape=shape, dtype=np.float64, encoding='bytes', doc=doc
  )


_RESPONSE = {
  'text': features.Text(),
  'ended': features.Scalar(np.bool_, doc='False where a limit cut it.'),
  'tokens': features.Scalar(
    np.int32, doc='How many of token_ids are its own; 0 of a plain text.'
  ),
}
_TOKEN_IDS = {
  'token_ids': features.Sequence(
    np.int32, doc='Of sampled responses, one after the other, target last.'
  )
}
_WEIGHT = {'weight': _number(doc='How much it counts beside others.')}
_PROMPT = {
  'prompt': features.Sequence(
    {'role': features.Text(), 'content': features.Text()},
    doc='Messages, oldest first; the last is the one that is answered.',
  ),
  'kind': features.Text(doc='Results are broken down by it.'),
  'condition': features.Text(doc='What a response is conditioned on.'),
  'answer': features.Text(doc='What a program checks responses against.'),
  'where': features.Text(doc='File and line that it came from.'),
}
_OF = {
  Prompt: {},
  Demonstration: {'response': _RESPONSE} | _TOKEN_IDS | _WEIGHT,
  Comparison: {
    'responses': features.Sequence(_RESPONSE, doc='Best first.'),
    'target': features.Sequence(
      _RESPONSE, doc='One to imitate beside the ranking, or none.'
    ),
    'scores': _number(None, doc='Of the responses; none if unknown.'),
    'margin': _number(doc='How much better the first is than the second.'),
    'models': features.Sequence(
      features.Text(), doc='Who gave the responses; none if unknown.'
    ),
  }
  | _TOKEN_IDS
  | _WEIGHT,
  Rated: {
    'response': _RESPONSE,
    'ratings': _number(None, doc='One an attribute; NaN where missing.'),
  }
  | _TOKEN_IDS,
}
