"""The published files, where they are at hand."""

import pathlib
import tempfile

import numpy as np
from absl.testing import absltest

from rlhf_jax import data
from rlhf_jax.data import formats, jsonl, readers, sources

FOLDER = pathlib.Path(__file__).parents[3] / 'shared' / 'data'
LIMITS = data.Limits(
  max_prompt_tokens=128,
  max_response_tokens=64,
  overlong=data.keep_end,
  buckets=(96, 160),
)


@absltest.skipUnless(FOLDER.is_dir(), f'the data sets are not at {FOLDER}')
class RealDataTest(absltest.TestCase):
  corpus: data.Corpus

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    # Two small files, so that the test is quick.
    source = data.Feedback(
      str(FOLDER),
      comparisons=sources.Files((sources.HH[0], sources.HH[2]), readers.pairs),
      demonstrations=sources.Files(
        ('dolly_3k.jsonl.gz',), readers.instructions
      ),
      vocab_size=1000,
    )
    with tempfile.TemporaryDirectory() as folder:
      cls.corpus = source.load(folder)

  def test_every_row_is_read(self):
    # Counts as the publisher's description of the files gives them.
    for read, name, count in (
      (readers.pairs, 'hh_harmless_base_test.jsonl.gz', 1847),
      (readers.pairs, 'hh_helpful_base_test.jsonl.gz', 1867),
      (readers.pairs, 'hh_helpful_online_test.jsonl.gz', 904),
      (readers.chosen, 'hh_helpful_rejection_sampled_test.jsonl.gz', 2168),
      (readers.instructions, 'alpaca_subset.jsonl.gz', 15110),
      (readers.instructions, 'dolly_3k.jsonl.gz', 2993),
      # Of 954 one has a response that shows nothing, a zero-width space.
      (formats.ULTRAFEEDBACK, 'ultrafeedback_pairs.jsonl.gz', 953),
      (readers.strongest, *sources.STRENGTHS, 644),
      (formats.SCORED_OUTPUTS, 'alpacafarm_ranked.jsonl.gz', 644),
      (formats.OASST_RANKED, 'oasst_ranked.jsonl.gz', 301),
    ):
      self.assertLen(read(FOLDER / name), count, name)

  def test_tiers_are_two_or_three_with_the_strongest_first(self):
    outputs = [
      row.fields['outputs'] for row in jsonl.read(FOLDER / sources.STRENGTHS[0])
    ]
    different = [
      len({said[model] for model in ('gpt4', 'chatgpt', 'instructgpt')})
      for said in outputs
    ]
    tiers = sources.TIERS.records(FOLDER)
    self.assertEqual(
      [len(tier.responses) for tier in tiers], [n for n in different if n > 1]
    )
    self.assertEqual(
      [tier.responses[0] for tier in tiers],
      [
        said['gpt4']
        for said, n in zip(outputs, different, strict=True)
        if n > 1
      ],
    )
    self.assertGreater(different.count(3), 600)

  def test_lists_are_as_long_as_published(self):
    for read, name, least, most in (
      (formats.SCORED_OUTPUTS, 'alpacafarm_ranked.jsonl.gz', 6, 19),
      (formats.OASST_RANKED, 'oasst_ranked.jsonl.gz', 2, 9),
    ):
      lengths = [len(one.responses) for one in read(FOLDER / name)]
      self.assertGreaterEqual(min(lengths), least)
      self.assertLessEqual(max(lengths), most)

  def test_the_split_is_whole_and_about_as_asked(self):
    sizes = {k: len(v) for k, v in self.corpus.datasets.items()}
    self.assertEqual(sizes['comparisons'] + sizes['test_comparisons'], 2751)
    self.assertEqual(
      sizes['demonstrations'] + sizes['test_demonstrations'], 2993
    )
    self.assertBetween(sizes['test_demonstrations'] / 2993, 0.08, 0.12)

  def test_every_text_comes_back(self):
    tokenizer = self.corpus.tokenizer
    self.assertEqual(tokenizer.vocab_size, 1000)
    for record in self.corpus.datasets['test_comparisons']:
      for text in record.responses:
        self.assertEqual(tokenizer.decode(tokenizer.encode(text)), text)

  def test_batches_hold_closed_responses_within_limits(self):
    tokenizer = self.corpus.tokenizer
    examples, counts = data.encode(
      self.corpus.datasets['comparisons'],
      tokenizer,
      self.corpus.template,
      LIMITS,
    )
    self.assertGreater(counts.truncated_prompts, 0)
    self.assertGreater(counts.truncated_responses, 0)
    self.assertEqual(counts.dropped_prompts, 0)
    batches = data.Batches(
      examples, batch_size=32, seed=0, pad_id=tokenizer.pad_id, limits=LIMITS
    )
    for step in range(4):
      batch = batches[step]
      self.assertEqual(batch.tokens.shape[:2], (32, 2))
      self.assertIn(batch.tokens.shape[2], (96, 160, 192))
      lengths = batch.response_mask.sum(-1)
      self.assertBetween(lengths.min(), 1, 64)
      self.assertLessEqual(lengths.max(), 64)
      last = np.take_along_axis(
        batch.tokens, batch.attention_mask.sum(-1, keepdims=True) - 1, -1
      )[..., 0]
      np.testing.assert_array_equal(
        (last == tokenizer.eos_id) | (lengths == 64), True
      )
      np.testing.assert_array_equal(last[lengths < 64], tokenizer.eos_id)

  def test_a_prompt_reads_as_it_was_written(self):
    tokenizer, template = self.corpus.tokenizer, self.corpus.template
    for prompt in self.corpus.datasets['test_prompts'][:200]:
      ids = template.parts(prompt, tokenizer).ids
      said = ''.join(message.content for message in prompt.messages)
      self.assertEqual(tokenizer.decode(ids), said)
      special = set(tokenizer.special_ids.values())
      turns = len(prompt.messages)
      # A marker opens each turn and the response; an end closes each answer.
      self.assertEqual(
        sum(i in special for i in ids), turns + 1 + (turns - 1) // 2
      )
