"""Records as whoever reads other ids than their policy has them."""

from absl.testing import absltest, parameterized

from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Message,
  Prompt,
  Rated,
  Response,
  Sampled,
  responses_of,
  without_ids,
)

PROMPT = Prompt((Message('user', 'q'),))
CUT = Response('a b', ended=False, ids=(1, 2))


class WithoutIdsTest(parameterized.TestCase):
  @parameterized.parameters(
    (Demonstration(PROMPT, CUT, weight=2.0),),
    (Rated(PROMPT, CUT, (1.0, None)),),
    (Comparison(PROMPT, (CUT, 'c'), margin=1.0, target=CUT),),
    (Sampled(PROMPT, (CUT, 'c'), (False, True), (2, 1), (-1.0, -2.0)),),
  )
  def test_the_text_and_whether_it_ended_stay(self, record):
    found = without_ids(record)
    self.assertEqual(found, record)  # Texts compare as plain ones.
    first = responses_of(found)[0]
    self.assertIsNone(first.ids)
    self.assertFalse(first.ended)
    if isinstance(record, Comparison):
      self.assertIsNone(found.target.ids)

  def test_prompts_and_what_has_no_target(self):
    self.assertEqual(without_ids(PROMPT), PROMPT)
    self.assertIsNone(without_ids(Comparison(PROMPT, ('a', 'b'))).target)


if __name__ == '__main__':
  absltest.main()
