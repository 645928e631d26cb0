"""The world's datasets: disjoint, reproducible, within the vocabulary."""

import collections
import itertools
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sandbox
from rlhf_jax.sandbox import authors, grammar, world
from rlhf_jax.types import Comparison, Demonstration

BY_AUTHORS = (
  'strong_demonstrations',
  'strong_comparisons',
  'medium_comparisons',
  'weak_comparisons',
)


def texts(records):
  """Every response of demonstrations or comparisons."""
  for record in records:
    if isinstance(record, Demonstration):
      yield record.response
    else:
      yield from record.responses


class WorldTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.world = sandbox.World(demonstrations=400, comparisons=100, verdicts=50)
    self.corpus = self.world.load('')
    self.datasets = self.corpus.datasets

  def test_sizes(self):
    sizes = {name: len(records) for name, records in self.datasets.items()}
    self.assertEqual(
      sizes,
      {
        'demonstrations': 400,
        'test_demonstrations': 592,
        'comparisons': 100,
        'test_comparisons': 592,
        'tiers': 1480,
        'strong_demonstrations': 1480,
        'strong_comparisons': 100,
        'medium_comparisons': 100,
        'weak_comparisons': 100,
        'written': 1480,
        'rated': 100,
        'test_rated': 592,
        'verdicts': 50,
        'prompts': 1480,
        'validation_prompts': 296,
        'test_prompts': 592,
      },
    )

  def test_people_rate_a_level_off_now_and_then(self):
    true = [
      sandbox.attributes(r.prompt, r.response)
      for r in self.datasets['test_rated']
    ]
    given = [r.ratings for r in self.datasets['test_rated']]
    np.testing.assert_array_equal(given, true)
    rated = sandbox.World(comparisons=1000).load('').datasets['rated']
    seen = np.array([r.ratings for r in rated])
    true = np.array([sandbox.attributes(r.prompt, r.response) for r in rated])
    off = np.abs(seen - true)
    self.assertEqual(set(np.unique(off)), {0.0, 1.0})
    # Off by one with 0.3; where that leaves the scale, half of it is undone.
    inside = (true > 0) & (true < 4)
    self.assertAlmostEqual(off[inside].mean(), 0.3, delta=0.03)
    self.assertAlmostEqual(off[~inside].mean(), 0.15, delta=0.02)

  def test_conditions_are_spelt_in_words_that_it_may_have(self):
    spelt = sandbox.spell('<rm_score>: -1.20 ')
    self.assertEqual(spelt, '<rm_score>: - 1 . 2 0')
    said = sandbox.spell('<extra_id_2>correctness:4,verbosity:0\n')
    self.assertEqual(said, '<extra_id_2> correctness: 4 , verbosity: 0')
    words = sandbox.tokenizer(sandbox.CONDITION_WORDS)
    for text in (spelt, said):
      self.assertEqual(words.decode(words.encode(text)), text)
    plain = sandbox.tokenizer()
    prompt = self.datasets['prompts'][0].text
    self.assertEqual(words.encode(prompt), plain.encode(prompt))
    with self.assertRaises(ValueError):
      plain.encode(spelt)

  def test_held_out_prompts_are_new_and_their_questions_are_not(self):
    names = ('prompts', 'validation_prompts', 'test_prompts')
    seen = [
      collections.Counter(p.text for p in self.datasets[name]) for name in names
    ]
    everything = collections.Counter(p.text for p in sandbox.prompts())
    self.assertEqual(sum(seen, collections.Counter()), everything)
    for name, forms in zip(names, (5, 1, 2), strict=True):
      asked = collections.Counter(
        sandbox.read(p).question for p in self.datasets[name]
      )
      self.assertLen(asked, 296)
      self.assertEqual(set(asked.values()), {forms})

  def test_training_sees_training_prompts_alone(self):
    train = set(self.datasets['prompts'])
    test = set(self.datasets['test_prompts'])
    judged = {r.prompt.messages[:1] for r in self.datasets['verdicts']}
    self.assertLessEqual(judged, {p.messages for p in train})
    for name in ('demonstrations', 'comparisons', 'tiers', *BY_AUTHORS):
      self.assertLessEqual({r.prompt for r in self.datasets[name]}, train)
    for name in ('test_demonstrations', 'test_comparisons'):
      self.assertEqual({r.prompt for r in self.datasets[name]}, test)

  def test_the_first_few_are_of_every_kind(self):
    for name in ('prompts', 'validation_prompts', 'test_prompts'):
      kinds = {prompt.kind for prompt in self.datasets[name][:100]}
      self.assertEqual(kinds, set(sandbox.KINDS))

  def test_a_record_depends_on_its_index_alone(self):
    again = self.world.load('').datasets
    larger = (
      sandbox.World(demonstrations=900, comparisons=300).load('').datasets
    )
    for name in ('demonstrations', 'comparisons', 'tiers', *BY_AUTHORS):
      one = self.datasets[name]
      self.assertEqual(list(one), list(again[name]))
      self.assertEqual(one[37], larger[name][37])
      self.assertEqual(one[30:40:3], [one[30], one[33], one[36], one[39]])
      self.assertEqual(one[-1], list(one)[-1])
      with self.assertRaises(IndexError):
        one[len(one)]

  def test_another_seed_is_another_world(self):
    other = sandbox.World(seed=1, demonstrations=400).load('').datasets
    same = set(other['test_prompts']) & set(self.datasets['test_prompts'])
    # Two of eight forms each: a quarter is common by chance.
    self.assertBetween(len(same), 100, 200)
    ours = list(texts(self.datasets['demonstrations']))
    theirs = list(texts(other['demonstrations']))
    self.assertLess(sum(map(str.__eq__, ours, theirs)), 40)

  def test_all_is_in_the_vocabulary_and_fits(self):
    tokenizer, template = self.corpus.tokenizer, self.corpus.template
    for prompt in sandbox.prompts():
      ids = template.parts(prompt, tokenizer).ids
      self.assertLessEqual(len(ids), sandbox.max_prompt_tokens())
      self.assertEqual(tokenizer.decode(ids), prompt.text)
    for name in ('demonstrations', 'test_comparisons', 'tiers', *BY_AUTHORS):
      for text in texts(self.datasets[name]):
        ids = tokenizer.encode(text)
        self.assertLess(len(ids), sandbox.MAX_RESPONSE_TOKENS)
        self.assertEqual(tokenizer.decode(ids), text)

  def test_every_phrase_is_in_the_vocabulary(self):
    pool = sorted(sandbox.questions.ANSWER_WORDS)
    for phrase in grammar.PHRASES:
      words = set(grammar.say(phrase, *pool).split())
      self.assertLessEqual(words, set(sandbox.vocabulary()))
    self.assertLessEqual(set(pool), set(sandbox.vocabulary()))

  def test_the_longest_response_fits(self):
    def longest(form):
      return max(len(grammar.say(p, '1', '1').split())
                 for p in grammar.phrases(form))  # fmt: skip

    closers = sorted(
      (len(grammar.say(p).split()) for p in grammar.phrases('closer')),
      reverse=True,
    )
    most = max(
      len(author.closers) - 1
      for author in (authors.DEMONSTRATOR, authors.STRONG, authors.WEAK)
    )
    words = sum(map(longest, ('opener', 'answer', 'reason')))
    words += sum(closers[:most])
    self.assertLessEqual(words + 1, sandbox.MAX_RESPONSE_TOKENS)

  def test_comparisons_are_the_annotators(self):
    worths = np.array([
      sandbox.gold([record.prompt] * 2, record.responses)
      for record in sandbox.World(comparisons=1000).load('').datasets[
        'comparisons'
      ]
    ])  # fmt: skip
    differ = worths[:, 0] != worths[:, 1]
    agree = (worths[:, 0] > worths[:, 1])[differ].mean()
    self.assertBetween(agree, 0.68, 0.8)

  def test_tiers_are_strong_medium_weak(self):
    worths = np.array([
      sandbox.gold([record.prompt] * 3, record.responses)
      for record in self.datasets['tiers']
    ])  # fmt: skip
    strong, medium, weak = worths.mean(0)
    self.assertGreater(strong, medium + 0.3)
    self.assertGreater(medium, weak + 0.3)

  def test_written_are_four_to_each_prompt_in_no_order(self):
    records = self.datasets['written']
    self.assertEqual(
      [r.prompt for r in records], list(self.datasets['prompts'])
    )
    self.assertEqual({len(r.responses) for r in records}, {4})
    self.assertEqual({(r.scores, r.target) for r in records}, {(None, None)})

  def test_tiers_are_scored_by_rank(self):
    scores = {record.scores for record in self.datasets['tiers']}
    self.assertEqual(scores, {(2.0, 1.0, 0.0)})

  def test_strong_demonstrations_are_the_first_tier(self):
    self.assertEqual(
      list(self.datasets['strong_demonstrations']),
      [
        Demonstration(tier.prompt, tier.responses[0])
        for tier in self.datasets['tiers']
      ],
    )

  def test_comparisons_by_others_ask_the_same_in_words_of_their_own(self):
    worths = {}
    for name in ('comparisons', *BY_AUTHORS[1:]):
      records = self.datasets[name]
      self.assertEqual(
        [r.prompt for r in records],
        [r.prompt for r in self.datasets['comparisons']],
      )
      # Gumbel noise of the annotator: never seen equal.
      self.assertGreater(min(r.margin for r in records), 0.0)
      prompts = [r.prompt for r in records for _ in r.responses]
      worths[name] = np.mean(sandbox.gold(prompts, list(texts(records))))
    strong, medium, weak = (worths[name] for name in BY_AUTHORS[1:])
    self.assertGreater(strong, medium + 0.3)
    self.assertGreater(medium, worths['comparisons'])
    self.assertGreater(worths['comparisons'], weak)

  def test_every_dataset_is_a_stream_of_its_own(self):
    # One author writes all: what is alike is alike by chance.
    with mock.patch.object(world, 'TIERS', (authors.DEMONSTRATOR,) * 3):
      datasets = self.world.load('').datasets
    names = (
      'demonstrations',
      'comparisons',
      'tiers',
      *BY_AUTHORS[1:],
      'written',
    )
    first = [list(texts(datasets[name][:50])) for name in names]
    for one, other in itertools.combinations(first, 2):
      self.assertLess(sum(map(str.__eq__, one, other)), 10)

  def test_records_are_of_the_shared_types(self):
    self.assertIsInstance(self.datasets['demonstrations'][0], Demonstration)
    for name in ('comparisons', 'tiers'):
      self.assertIsInstance(self.datasets[name][0], Comparison)
    self.assertLen(self.datasets['tiers'][0].responses, 3)
    self.assertIs(self.corpus.gold, sandbox.gold)
    self.assertIs(world.World, sandbox.World)


if __name__ == '__main__':
  absltest.main()
