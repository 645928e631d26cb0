"""What authors write against the probabilities that describe them."""

import dataclasses

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sandbox
from rlhf_jax.sandbox import authors, grammar

COUNT = 4000
STEADY = dataclasses.replace(authors.DEMONSTRATOR, slip=0.0)


def written(author, seed=0):
  """Every prompt at least once: (what it asks, the response's parts)."""
  prompts = sandbox.prompts()
  for i in range(COUNT):
    # 3 has no factor in common with the number of prompts: all are visited.
    prompt = prompts[(i * 3) % len(prompts)]
    text = authors.compose(author, prompt, (seed, i))
    yield sandbox.read(prompt), grammar.parse(text)


class AuthorsTest(parameterized.TestCase):
  def assert_share(self, events, probability):
    """Four standard errors from a probability at most."""
    events = list(events)
    error = np.sqrt(probability * (1.0 - probability) / len(events))
    self.assertGreater(len(events), 100)
    self.assertAlmostEqual(np.mean(events), probability, delta=4 * error)

  @parameterized.named_parameters(
    ('demonstrator', authors.DEMONSTRATOR, 0.65),
    ('strong', authors.STRONG, 0.92),
    ('medium', authors.MEDIUM, 0.8),
    ('weak', authors.WEAK, 0.45),
  )
  def test_are_right_so_often(self, author, probability):
    answered = [(a, p) for a, p in written(author) if p.answers]
    right = [p.answers[0] == a.question.answer for a, p in answered]
    self.assert_share(right, probability)

  def test_easy_questions_are_answered_better_than_hard_ones(self):
    right = {True: [], False: []}
    for asked, parts in written(STEADY):
      easy = asked.question.difficulty < 0.5
      right[easy].append(parts.answers[0] == asked.question.answer)
    # Half of the spread to either side, averaged over a half.
    self.assert_share(right[True], 0.65 + 0.15)
    self.assert_share(right[False], 0.65 - 0.15)

  def test_the_right_answer_is_the_most_frequent_for_every_question(self):
    for question in sandbox.questions.questions():
      right = STEADY.chance_right(question)
      wrong = 1.0 - right
      others = wrong * (1.0 - STEADY.tempted) / (len(question.pool) - 2)
      self.assertGreater(right, max(wrong * STEADY.tempted, others) + 0.05)

  def test_writes_as_it_is_described(self):
    seen = list(written(STEADY))
    wrong = [
      (a, p) for a, p in seen if p.answers[0] != a.question.answer
    ]  # fmt: skip
    self.assert_share(
      (p.answers[0] == a.question.tempting for a, p in wrong), STEADY.tempted
    )
    self.assert_share(
      (p.of('answer')[0].phrase.hedged for _, p in seen), STEADY.hedged
    )
    self.assert_share((bool(p.of('opener')) for _, p in seen), STEADY.opener)
    self.assert_share(
      (p.of('opener')[0].phrase.tone < 0 for _, p in seen if p.of('opener')),
      STEADY.rude,
    )
    reasons = [(a, p.of('reason')) for a, p in seen]
    for style in ('brief', 'full'):
      self.assert_share(
        (bool(r) for a, r in reasons if a.style == style),
        getattr(STEADY, f'reason_{style}'),
      )
    self.assert_share(
      (not r[0].phrase.kinds for _, r in reasons if r), STEADY.excuse
    )
    for count, probability in enumerate(STEADY.closers):
      self.assert_share(
        (len(p.of('closer')) == count for _, p in seen), probability
      )

  def test_reasons_fit_the_question(self):
    for asked, parts in written(STEADY):
      for part in parts.of('reason'):
        if part.phrase.kinds:
          self.assertIn(asked.question.kind, part.phrase.kinds)
          self.assertEqual(part.answers, parts.answers[:1])

  def test_slips_contradict_or_cut_short(self):
    clumsy = dataclasses.replace(STEADY, slip=1.0, excuse=0.0, hedged=0.0)
    for _, parts in written(clumsy):
      if parts.of('reason'):
        self.assertLen(set(parts.answers), 2)
    cut = [
      any(p.form == grammar.BROKEN for p in parts.parts)
      for _, parts in written(clumsy)
      if not parts.of('reason')
    ]
    self.assertGreater(np.mean(cut), 0.5)

  def test_without_slips_every_text_is_whole(self):
    for _, parts in written(STEADY):
      self.assertEmpty([p for p in parts.parts if p.form == grammar.BROKEN])

  def test_are_ordered_by_strength(self):
    prompts = sandbox.prompts()
    worths = []
    for author in (authors.STRONG, authors.MEDIUM, STEADY, authors.WEAK):
      texts = [
        authors.compose(author, p, (1, i)) for i, p in enumerate(prompts)
      ]
      worths.append(sandbox.gold(prompts, texts))
    for better, worse in zip(worths, worths[1:], strict=False):
      gap = better - worse
      error = gap.std() / np.sqrt(len(gap))
      self.assertGreater(gap.mean(), 4 * error)

  def test_a_text_depends_on_its_own_seed_alone(self):
    prompts = sandbox.prompts()[:200]
    one = [authors.compose(STEADY, p, (7, i)) for i, p in enumerate(prompts)]
    backwards = [
      authors.compose(STEADY, prompts[i], (7, i)) for i in reversed(range(200))
    ]
    self.assertEqual(one, backwards[::-1])
    other = [authors.compose(STEADY, p, (8, i)) for i, p in enumerate(prompts)]
    self.assertLess(sum(map(str.__eq__, one, other)), 20)

  def test_refuses_probabilities_beyond_one(self):
    with self.assertRaisesRegex(ValueError, 'spread is 0.3'):
      dataclasses.replace(STEADY, right=0.9)


if __name__ == '__main__':
  absltest.main()
