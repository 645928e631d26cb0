"""Levels, mixes, plans, and batches that follow them."""

import dataclasses
import functools
import itertools

import chex
import jax
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.data import (
  batches,
  curriculum,
  encoding,
  jsonl,
  limits,
  orders,
  packing,
  templates,
  tokens,
)
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt

WORDS = [f'w{i}' for i in range(40)]
TOKENIZER = tokens.word_level(WORDS)
LIMITS = limits.Limits(
  max_prompt_tokens=6, max_response_tokens=5, buckets=(4, 7)
)
ONLY_HARD = functools.partial(curriculum.only, level=1)


def prompt(i):
  return Prompt((Message('user', WORDS[i]),))


def levels(level):
  return curriculum.Curriculum(level=level, mix=curriculum.uniform)


def comparisons(*gaps):
  """Comparison i has gap i, and its margin is i to be known by."""
  return [
    Comparison(prompt(i), ('w0', 'w1', 'w2'), float(i), (gap, 0.5 * gap, 0.0))
    for i, gap in enumerate(gaps)
  ]


def examples(records):
  return encoding.encode(records, TOKENIZER, templates.PLAIN, LIMITS)[0]


def make(records, mix, edges=(2.0,), **options):
  level = functools.partial(curriculum.by_gap, edges=edges)
  settings = {'batch_size': 6, 'seed': 0, 'steps': 20} | options
  return batches.Batches(
    examples(records),
    pad_id=TOKENIZER.pad_id,
    limits=LIMITS,
    curriculum=curriculum.Curriculum(level=level, mix=mix),
    **settings,
  )


class LevelTest(parameterized.TestCase):
  @parameterized.parameters(
    (5.0, 0), (2.0, 0), (1.9, 1), (1.0, 1), (0.9, 2), (0.0, 2)
  )
  def test_large_gaps_are_easy(self, gap, expected):
    (scored,) = comparisons(gap)
    told = Comparison(prompt(0), ('a', 'b'), gap)
    for edges in ((2.0, 1.0), (1.0, 2.0)):
      for one in (scored, told):
        self.assertEqual(curriculum.by_gap(one, edges=edges), expected)

  def test_the_gap_is_the_scores_where_there_are_some(self):
    one = Comparison(prompt(0), ('a', 'b', 'c'), 0.0, (3.0, 3.0, 1.0))
    self.assertEqual(curriculum.by_gap(one, edges=(2.0,)), 0)


class MixTest(parameterized.TestCase):
  def test_two_levels_cross_linearly(self):
    for progress in (0.0, 0.3, 0.5, 1.0):
      np.testing.assert_allclose(
        curriculum.easy_to_hard(progress, 2), [1.0 - progress, progress]
      )

  @parameterized.parameters(
    (0.0, [1, 0, 0, 0]),
    (1 / 6, [0.5, 0.5, 0, 0]),
    (1 / 3, [0, 1, 0, 0]),
    (0.75, [0, 0, 0.75, 0.25]),
    (1.0, [0, 0, 0, 1]),
  )
  def test_more_levels_are_passed_one_by_one(self, progress, expected):
    np.testing.assert_allclose(
      curriculum.easy_to_hard(progress, 4), expected, atol=1e-12
    )
    np.testing.assert_allclose(
      curriculum.hard_to_easy(progress, 4),
      curriculum.easy_to_hard(1.0 - progress, 4),
    )

  def test_a_mix_that_stays(self):
    for progress in (0.0, 0.4, 1.0):
      np.testing.assert_allclose(curriculum.uniform(progress, 4), [0.25] * 4)
      np.testing.assert_array_equal(ONLY_HARD(progress, 3), [0, 1, 0])

  @parameterized.parameters(-1, 2)
  def test_a_level_that_is_not_there_is_refused(self, level):
    with self.assertRaisesRegex(ValueError, 'must be one of 0 to 1'):
      curriculum.only(0.5, 2, level=level)


class PlanTest(parameterized.TestCase):
  @parameterized.product(
    levels=(1, 2, 3, 5), steps=(1, 7, 24, 500), batch_size=(1, 6, 64)
  )
  def test_totals_are_the_integrals_of_the_shares(
    self, levels, steps, batch_size
  ):
    # Triangles on progress: half a one at both ends, whole ones between.
    areas = np.ones(levels)
    if levels > 1:
      areas = np.r_[0.5, np.ones(levels - 2), 0.5] / (levels - 1)
    areas = areas * steps * batch_size
    # A step's middle stands for the whole step: exact but where a step holds a
    # corner of a triangle of slope levels - 1, and then by up to a quarter of
    # slope / steps of its rows.
    corners = (levels - 1) * batch_size / (4 * steps) if levels > 2 else 0.0
    for mix in (curriculum.easy_to_hard, curriculum.hard_to_easy):
      rows = curriculum.plan(
        mix, levels=levels, steps=steps, batch_size=batch_size
      )
      self.assertEqual(rows.shape, (steps, levels))
      np.testing.assert_array_less(
        np.abs(rows.sum(0) - areas), 1.0 + 1e-6 + corners
      )

  @parameterized.product(
    levels=(2, 3, 4, 8), batch_size=(1, 3, 16), sparse=(False, True)
  )
  def test_at_no_step_is_a_level_far_from_its_due(
    self, levels, batch_size, sparse
  ):
    rng = np.random.default_rng([levels, batch_size, sparse])
    for _ in range(10):
      steps = int(rng.integers(1, 80))
      shares = rng.dirichlet(np.ones(levels), steps)
      if sparse:  # Halves of two levels at a time, which tie all along.
        pairs = rng.integers(0, levels, (steps, 2))
        shares = np.eye(levels)[pairs].mean(1)

      def mix(progress, levels, shares=shares, steps=steps):
        del levels
        return shares[int(progress * steps)]

      rows = curriculum.plan(
        mix, levels=levels, steps=steps, batch_size=batch_size
      )
      self.assertGreaterEqual(rows.min(), 0)
      np.testing.assert_array_equal(rows.sum(1), batch_size)
      due = batch_size * np.cumsum(shares, 0)
      given = np.cumsum(rows, 0)
      # Tijdeman's bound; as near as rounding can be where there are two.
      bound = 1.0 - 1.0 / (2 * levels - 2)
      np.testing.assert_array_less(np.abs(given - due), bound + 1e-6)

  @parameterized.product(steps=(1, 10, 33), batch_size=(2, 8))
  def test_both_directions_show_both_levels_alike(self, steps, batch_size):
    for mix in (curriculum.easy_to_hard, curriculum.hard_to_easy):
      rows = curriculum.plan(mix, levels=2, steps=steps, batch_size=batch_size)
      half = steps * batch_size // 2
      np.testing.assert_array_equal(rows.sum(0), [half, half])

  def test_a_plan_by_hand(self):
    # Shares of 1/8, 3/8, 5/8 and 7/8 of 8 rows.
    rows = curriculum.plan(
      curriculum.easy_to_hard, levels=2, steps=4, batch_size=8
    )
    np.testing.assert_array_equal(rows, [[7, 1], [5, 3], [3, 5], [1, 7]])

  def test_one_level_alone(self):
    rows = curriculum.plan(ONLY_HARD, levels=3, steps=5, batch_size=4)
    np.testing.assert_array_equal(rows, [[0, 4, 0]] * 5)

  @parameterized.parameters(
    ([0.5, 0.5, 0.0], r'shares \(3,\) for 2 levels'),
    ([0.5, 0.4], 'must sum to 1'),
    ([1.5, -0.5], 'must not be negative'),
    ([np.nan, 1.0], 'must sum to 1'),
  )
  def test_shares_that_are_none_are_refused(self, shares, told):
    with self.assertRaisesRegex(ValueError, told):
      curriculum.plan(
        lambda progress, levels: shares, levels=2, steps=3, batch_size=4
      )


class BatchesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    gaps = np.random.default_rng(0).permutation([3.0] * 11 + [1.0] * 7)
    self.gaps = gaps
    self.records = comparisons(*gaps.tolist())

  def drawn(self, subject, steps):
    """Each step's examples of either level, in the order drawn."""
    kinds = []
    for step in range(steps):
      margins = subject[step].margins.astype(int)
      easy = self.gaps[margins] == 3.0
      kinds.append((margins[easy].tolist(), margins[~easy].tolist()))
    return kinds

  @parameterized.parameters(
    curriculum.easy_to_hard, curriculum.hard_to_easy, curriculum.uniform,
    ONLY_HARD,
  )  # fmt: skip
  def test_levels_are_as_planned(self, mix):
    planned = curriculum.plan(mix, levels=2, steps=20, batch_size=6)
    kinds = self.drawn(make(self.records, mix), 20)
    np.testing.assert_array_equal(
      [(len(easy), len(hard)) for easy, hard in kinds], planned
    )

  def test_every_example_of_a_level_once_before_any_twice(self):
    kinds = self.drawn(make(self.records, curriculum.easy_to_hard), 20)
    for level, size in enumerate((11, 7)):
      own = np.flatnonzero(self.gaps == (3.0, 1.0)[level]).tolist()
      runs = list(itertools.chain(*(kind[level] for kind in kinds)))
      self.assertLen(runs, 60)
      epochs = [runs[i : i + size] for i in range(0, 60, size)]
      for epoch in epochs[:-1]:
        self.assertEqual(sorted(epoch), own)
      self.assertLen(set(epochs[-1]), len(epochs[-1]))
      self.assertLen(set(map(tuple, epochs[:-1])), len(epochs) - 1)

  def test_seeds_and_levels_have_orders_of_their_own(self):
    # Levels of equal sizes, which one order would draw alike.
    records = comparisons(*[3.0] * 12, *[1.0] * 12)
    drawn = []
    for seed in range(3):
      subject = make(
        records, curriculum.uniform, seed=seed, batch_size=24, steps=2
      )
      margins = subject[0].margins.astype(int)
      drawn += [tuple(margins[:12]), tuple(margins[12:] - 12)]
    self.assertLen(set(drawn), 6)

  def test_the_order_is_the_same_on_every_machine(self):
    # Written down once; numpy promises that these bits never change.
    self.assertEqual(batches.level_seed(3, 0), 12467808127879573787)
    self.assertEqual(batches.level_seed(3, 1), 11425928242767342472)

  def test_a_step_may_be_asked_for_alone_and_in_any_order(self):
    mix = curriculum.easy_to_hard
    in_order = [make(self.records, mix)[step] for step in range(20)]
    backwards = make(self.records, mix)
    chex.assert_trees_all_equal(
      in_order[::-1], [backwards[step] for step in reversed(range(20))]
    )
    chex.assert_trees_all_equal(in_order[7], make(self.records, mix)[7])

  @parameterized.parameters(0, 13, 20)
  def test_starts_at_any_step_and_ends_with_the_plan(self, start):
    subject = make(self.records, curriculum.easy_to_hard)
    chex.assert_trees_all_equal(
      list(subject.starting_at(start)), [subject[t] for t in range(start, 20)]
    )

  def test_there_is_no_step_outside_the_plan(self):
    subject = make(self.records, curriculum.uniform)
    for step in (-1, 20):
      with self.assertRaisesRegex(IndexError, f'step {step} is'):
        subject[step]

  @parameterized.parameters(2, 3)
  def test_rows_of_all_hosts_are_the_global_batch(self, hosts):
    whole = make(self.records, curriculum.easy_to_hard)
    parts = [
      make(
        self.records,
        curriculum.easy_to_hard,
        rows=rows,
      )
      for rows in np.split(np.arange(6), hosts)
    ]
    for step in range(20):
      together = [part[step] for part in parts]
      joined = jax.tree.map(lambda *x: np.concatenate(x), *together)
      chex.assert_trees_all_equal(joined, whole[step])

  def test_one_level_is_a_run_through_its_examples(self):
    records = comparisons(*[3.0] * 8)
    subject = make(records, curriculum.uniform)
    plain = dataclasses.replace(
      subject, curriculum=None, seed=batches.level_seed(0, 0)
    )
    for step in range(20):
      chex.assert_trees_all_equal(subject[step], plain[step])

  def test_no_curriculum_is_the_plain_order(self):
    subject = dataclasses.replace(
      make(self.records, curriculum.uniform), curriculum=None, steps=None
    )
    run = np.concatenate(
      [
        orders.at_random(orders.Epoch(np.ones(18), 6, epoch, 0))
        for epoch in range(7)
      ]
    )
    for step in range(20):
      np.testing.assert_array_equal(
        subject.indices(step), run[6 * step : 6 * step + 6]
      )

  def test_an_order_and_a_curriculum_do_not_go_together(self):
    with self.assertRaisesRegex(jsonl.DataError, 'leave out one of them'):
      make(self.records, curriculum.uniform, order=orders.of_like_length)

  def test_any_kind_of_record_has_levels(self):
    records = [
      Demonstration(prompt(i), ' '.join(WORDS[: 1 + i % 2])) for i in range(9)
    ]

    def level(record):
      return len(record.response.split()) - 1

    for made in (records, [r.prompt for r in records]):
      subject = batches.Batches(
        examples(made),
        batch_size=4,
        seed=0,
        pad_id=TOKENIZER.pad_id,
        limits=LIMITS,
        steps=3,
        curriculum=curriculum.Curriculum(
          level=level if made is records else lambda r: int(r.text[1:]) % 2,
          mix=ONLY_HARD,
        ),
      )
      drawn = np.concatenate([subject.indices(step) for step in range(2)])
      np.testing.assert_array_equal(drawn % 2, 1)


class RefusalTest(parameterized.TestCase):
  def test_a_level_without_examples(self):
    records = comparisons(3.0, 3.0, 0.0)
    with self.assertRaisesRegex(
      jsonl.DataError,
      '40 rows of level 1 and no example is of it; .* 0 to 2: 2, 0, 1',
    ):
      make(records, curriculum.uniform, edges=(2.0, 1.0))

  def test_a_level_without_examples_may_be_left_out(self):
    records = comparisons(3.0, 3.0, 0.0)
    mix = functools.partial(curriculum.only, level=2)
    subject = make(records, mix, edges=(2.0, 1.0))
    np.testing.assert_array_equal(subject[19].margins, 2.0)

  @parameterized.parameters(-1, 0.5, 'easy', None)
  def test_levels_that_are_none(self, level):
    with self.assertRaisesRegex(jsonl.DataError, 'record 0 is of level'):
      levels(lambda record: level).members(examples(comparisons(1.0)))

  @parameterized.parameters(None, 0)
  def test_steps_are_needed(self, steps):
    with self.assertRaisesRegex(jsonl.DataError, f'steps is {steps}'):
      make(comparisons(1.0), curriculum.uniform, steps=steps)

  def test_packs_have_no_level(self):
    packs = packing.pack(examples([Demonstration(prompt(0), 'w1')]), 8)
    with self.assertRaisesRegex(jsonl.DataError, 'packed'):
      levels(lambda record: 0).members(packs)


if __name__ == '__main__':
  absltest.main()
