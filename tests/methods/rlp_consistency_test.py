"""The pair of a prompt's samples: which are compared, and when none are."""

import collections
import functools
import itertools

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.methods.rlp import consistency
from rlhf_jax.methods.rlp.consistency import Pair, Rejected

LOW, AGREE = Rejected.LOW_CONFIDENCE, Rejected.ALL_AGREE
TIE, EMPTY = Rejected.TIE, Rejected.EMPTY


def spread(*sizes):
  """Labels of groups of such sizes, and rewards that rise sample by sample."""
  labels = [g for g, size in enumerate(sizes) for _ in range(size)]
  return labels, [0.1 * i for i in range(len(labels))]


def pair(labels, rewards, *, texts=None, gamma=0.5, seed=0, **how):
  """The pair of samples that are called after their groups."""
  if texts is None:
    texts = [f'says {label}' for label in labels]
  return consistency.pair(
    labels,
    texts,
    rewards,
    gamma=gamma,
    generator=np.random.default_rng(seed),
    **how,
  )


# What is said, a word a sample; '-' stands for nothing. The reward of each is
# the digit after it. Then gamma, and the indices of the chosen one and of all
# that may be rejected, and whether groups tied; or why there is no pair.
CASES = {
  'the best of the largest': ('a1 b9 a3 a2', 0.5, (2, {1}, False)),
  'any other may be rejected': (
    'a1 b9 a3 c2 a0 b4',
    0.5,
    (2, {1, 3, 5}, False),
  ),
  'equal rewards take the first': ('b5 a3 a3 a1', 0.5, (1, {0}, False)),
  'duplicates each count': ('a1 a1 a1 b2 c3 d4', 0.5, (0, {3, 4, 5}, False)),
  'all agree': ('a1 a2 a3', 0.5, AGREE),
  'all agree for any gamma': ('a1 a2 a3', 0.0, AGREE),
  'a single sample agrees': ('a1', 0.5, AGREE),
  'too few agree': ('a1 a2 b3 c4 d5', 0.5, LOW),
  'all different': ('a1 b2 c3', 0.5, LOW),
  'all different for no gamma': ('a1 b3 c2', 0.0, (1, {0, 2}, True)),
  'a tie goes to the best sample': ('a1 b9 a3 b0', 0.5, (1, {0, 2}, True)),
  'a tie goes by reward not by order': ('b2 a9 a0 b3', 0.5, (1, {0, 3}, True)),
  'a tie of three': ('a1 b2 c7 a3 b4 c0', 0.3, (2, {0, 1, 3, 4}, True)),
  'an empty one counts among all': ('a1 a2 b3 -9 -9', 0.5, LOW),
  'an empty one is in no pair': ('a1 a2 a0 b3 -9', 0.5, (1, {3}, False)),
  'empty ones are no group': ('-9 -9 -9 a1 b2', 0.2, (4, {3}, True)),
  'nothing else than the empty': ('a1 a2 a3 -0', 0.5, AGREE),
  'one that says something': ('-1 -2 a3', 0.0, AGREE),
  'all empty': ('-1 -2 -3', 0.0, EMPTY),
  'of all, whatever gamma': ('-1 -2 -3', 1.0, EMPTY),
  'gamma 1 wants all': ('a1 a2 a3 b4', 1.0, LOW),
}


class PairTest(parameterized.TestCase):
  @parameterized.named_parameters((name, name) for name in CASES)
  def test_by_the_rule(self, name):
    said, gamma, expected = CASES[name]
    texts = [word[:-1].replace('-', ' \n') for word in said.split()]
    rewards = [float(word[-1]) for word in said.split()]
    labels = [sorted(set(texts)).index(text) for text in texts]
    found = {
      pair(labels, rewards, texts=texts, gamma=gamma, seed=seed)
      for seed in range(60)
    }
    if isinstance(expected, Rejected):
      self.assertEqual(found, {expected})
      return
    chosen, others, tied = expected
    self.assertEqual(
      found, {Pair(chosen, rejected, tied) for rejected in others}
    )

  @parameterized.parameters(
    (0.5, 5, True), (0.5, 4, False), (0.7, 7, True), (0.7, 6, False),
    (0.6, 6, True), (0.3, 3, True), (0.3, 2, False), (0.29, 3, True),
    (0.31, 3, False), (0.9, 9, True), (0.0, 1, True), (1.0, 9, False),
  )  # fmt: skip
  def test_threshold_of_ten(self, gamma, size, accepted):
    # 0.7 · 10 is 7 and 0.29 · 10 is 2.9 in floating point or out of it.
    labels, rewards = spread(size, *[1] * (10 - size))
    found = pair(labels, rewards, gamma=gamma)
    self.assertEqual(isinstance(found, Pair), accepted)
    if not accepted:
      self.assertEqual(found, LOW)

  @parameterized.parameters(3, 7, 10, 13, 30, 100)
  def test_a_share_that_is_reached_exactly_is_accepted(self, count):
    # 0.1 + 0.2 > 0.3 and the like must not decide.
    for size in range(1, count):
      labels, rewards = spread(size, *[1] * (count - size))
      for gamma in (size / count, 1.0 - (count - size) / count):
        self.assertIsInstance(pair(labels, rewards, gamma=gamma), Pair)
      above = pair(labels, rewards, gamma=(size + 0.01) / count)
      self.assertEqual(above, LOW)

  def test_gamma_zero_takes_all_that_do_not_agree(self):
    rng = np.random.default_rng(0)
    for _ in range(200):
      count = int(rng.integers(2, 11))
      labels = rng.integers(4, size=count).tolist()
      found = pair(labels, rng.normal(size=count), gamma=0.0)
      if len(set(labels)) == 1:
        self.assertEqual(found, AGREE)
      else:
        self.assertIsInstance(found, Pair)

  def test_order_does_not_matter(self):
    rng = np.random.default_rng(1)
    for _ in range(100):
      labels = rng.integers(3, size=8)
      texts = [f'{label}' if rng.uniform() < 0.8 else '' for label in labels]
      rewards = rng.permutation(8).astype(float)
      places = rng.permutation(8)
      # Groups are numbered anew in the other order, as a linkage would.
      names = list(dict.fromkeys(labels[places].tolist()))
      one = pair(labels, rewards, texts=texts, gamma=0.4)
      other = pair(
        [names.index(label) for label in labels[places]],
        rewards[places],
        texts=[texts[i] for i in places],
        gamma=0.4,
      )
      self.assertEqual(isinstance(one, Pair), isinstance(other, Pair))
      if isinstance(one, Rejected):
        self.assertEqual(one, other)
        continue
      self.assertEqual(one.chosen, places[other.chosen])
      self.assertEqual(one.tied, other.tied)
      for made, of in ((one, labels), (other, labels[places])):
        self.assertNotEqual(of[made.chosen], of[made.rejected])

  def test_the_chosen_is_of_the_largest_and_the_other_is_not(self):
    rng = np.random.default_rng(2)
    for seed in range(200):
      labels = rng.integers(4, size=9).tolist()
      rewards = rng.normal(size=9)
      found = pair(labels, rewards, gamma=0.0, seed=seed)
      sizes = collections.Counter(labels)
      self.assertEqual(sizes[labels[found.chosen]], max(sizes.values()))
      self.assertNotEqual(labels[found.rejected], labels[found.chosen])
      own = rewards[np.array(labels) == labels[found.chosen]]
      self.assertEqual(rewards[found.chosen], own.max())

  def test_the_rejected_is_uniform_over_all_others(self):
    # Over samples, not over groups: the group of three comes thrice as often.
    labels, rewards = spread(5, 3, 1, 1)
    counts = collections.Counter(
      pair(labels, rewards, seed=seed).rejected for seed in range(3000)
    )
    self.assertEqual(set(counts), {5, 6, 7, 8, 9})
    for count in counts.values():
      self.assertAlmostEqual(count / 3000, 0.2, delta=0.04)

  def test_a_generator_says_which(self):
    labels, rewards = spread(5, 1, 1, 1, 1, 1)
    one, again = (
      [pair(labels, rewards, seed=seed) for seed in range(20)] for _ in range(2)
    )
    self.assertEqual(one, again)
    self.assertGreater(len(set(one)), 3)


class ChoiceTest(parameterized.TestCase):
  @parameterized.parameters(0, 1)
  def test_groups_as_large_may_give_no_pair(self, first):
    labels, rewards = spread(3, 3, 1)
    labels = [label if first == 0 else 2 - label for label in labels]
    how = {'gamma': 0.3, 'tie': consistency.none_of_tied}
    self.assertEqual(pair(labels, rewards, **how), TIE)
    # A group that is alone the largest is not tied.
    labels, rewards = spread(3, 2, 2)
    self.assertEqual(pair(labels, rewards, **how).chosen, 2)

  def test_a_tie_below_gamma_is_low_confidence(self):
    labels, rewards = spread(2, 2, 1)
    self.assertEqual(pair(labels, rewards, tie=consistency.none_of_tied), LOW)

  def test_any_member_alike(self):
    labels, rewards = spread(4, 2)
    found = [
      pair(labels, rewards, choose=consistency.any_member, seed=seed)
      for seed in range(2000)
    ]
    counts = collections.Counter(made.chosen for made in found)
    self.assertEqual(set(counts), {0, 1, 2, 3})
    for count in counts.values():
      self.assertAlmostEqual(count / 2000, 0.25, delta=0.05)
    self.assertEqual({made.rejected for made in found}, {4, 5})

  def test_any_member_still_ties_by_reward(self):
    labels, rewards = spread(3, 3)
    choose = functools.partial(pair, choose=consistency.any_member)
    self.assertEqual(
      {choose(labels, rewards, seed=s).chosen for s in range(50)}, {3, 4, 5}
    )


class GroupsTest(absltest.TestCase):
  def test_in_the_order_of_first_members_without_the_empty(self):
    texts = ['a', '', 'b', 'a', ' \t', 'c', 'b']
    self.assertEqual(
      consistency.groups_of([7, 1, 3, 7, 3, 0, 3], texts),
      [[0, 3], [2, 6], [5]],
    )
    self.assertEqual(consistency.groups_of([0, 0], ['', '\n']), [])

  def test_every_sample_that_says_something_is_in_one(self):
    for labels in itertools.product(range(3), repeat=4):
      groups = consistency.groups_of(labels, ['x'] * 4)
      self.assertEqual(sorted(sum(groups, [])), [0, 1, 2, 3])
      for group in groups:
        self.assertLen({labels[i] for i in group}, 1)


if __name__ == '__main__':
  absltest.main()
