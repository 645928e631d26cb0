"""What was sampled is encoded as it was, and many texts in one call."""

import copy
import pickle
from unittest import mock

import numpy as np
from absl.testing import absltest

from rlhf_jax.data import responses, templates, tokens
from rlhf_jax.types import Message, Prompt, Response

ASKED, OTHER = (Prompt((Message('user', text),)) for text in ('a', 'he'))


class DecodedTest(absltest.TestCase):
  def test_whatever_was_sampled_is_encoded_as_it_was(self):
    words = ['he he hello', 'a bé 漢', 'the then there']
    tokenizer = tokens.train_bpe(words * 9, vocab_size=300)
    coded, differ = (tokenizer, templates.CHAT), 0
    random, drawn = np.random.default_rng(0), []
    for _ in range(300):
      ended = bool(random.integers(2))
      ids = random.integers(5, tokenizer.vocab_size, random.integers(1, 6))
      drawn.append((ids.tolist() + [tokenizer.eos_id] * ended, ended))
    asked = [(ASKED, drawn[:2]), (OTHER, drawn[2:])]
    batch = mock.Mock(wraps=tokenizer.marks.backend)
    with mock.patch.object(tokenizer.marks, 'backend', batch):
      found = responses.decoded(asked, *coded)
    self.assertEqual(list(map(len, found)), [2, 298])
    self.assertEqual(batch.encode_batch_fast.call_count, 1)
    batch.encode.assert_not_called()
    said = [*found[0], *found[1]]
    unsampled = [(ASKED, [one] * (one.ids is None)) for one in said]
    encoded = templates.CHAT.encode_all(unsampled, tokenizer)
    for text, one, (ids, ended) in zip(said, encoded, drawn, strict=True):
      own = responses.response_ids(text, one, tokenizer.eos_id)
      self.assertEqual(own, ids)
      self.assertEqual(text.ended, ended)
      # Ids are kept where the text does not say them, and only there.
      alone = tokenizer.encode(text) + [tokenizer.eos_id] * ended
      self.assertEqual(text.ids, None if alone == ids else tuple(ids))
      differ += text.ids is not None
    self.assertBetween(differ, 1, 299)

  def test_a_response_is_a_text_that_can_be_copied(self):
    said = Response('b', ended=False, ids=(1,))
    self.assertEqual(said, 'b')
    self.assertEqual({said: 1}['b'], 1)
    for copied in (copy.copy(said), pickle.loads(pickle.dumps(said))):
      self.assertEqual((copied, copied.ended, copied.ids), ('b', False, (1,)))
