"""Groups of similar responses against the procedures, spelt out on lists."""

import itertools

import chex
import jax
import numpy as np
from absl.testing import absltest, parameterized
from scipy.sparse import csgraph

from rlhf_jax.kernels import clustering


def numbered(names):
  """Any names of groups as numbers, in the order of their first members."""
  order = list(dict.fromkeys(names))
  return [order.index(name) for name in names]


def greedy_by_definition(similarity):
  groups = []
  for new in range(len(similarity)):
    for group in groups:
      if similarity[group[0]][new]:
        group.append(new)
        break
    else:
      groups.append([new])
  return labels_of(groups, len(similarity))


def union_by_definition(similarity):
  return numbered(csgraph.connected_components(similarity)[1].tolist())


def complete_by_definition(similarity):
  """Merges the first pair that may merge, and looks again from the start."""
  groups = [[response] for response in range(len(similarity))]

  def first_pair():
    for a, one in enumerate(groups):
      for b in range(a + 1, len(groups)):
        if similarity[np.ix_(one, groups[b])].all():
          return a, b
    return None

  while pair := first_pair():
    groups[pair[0]] += groups.pop(pair[1])
    groups.sort(key=min)
  return labels_of(groups, len(similarity))


def labels_of(groups, count):
  return [
    next(g for g, members in enumerate(groups) if i in members)
    for i in range(count)
  ]


def symmetric(count, *edges):
  similarity = np.eye(count, dtype=bool)
  for i, j in edges:
    similarity[i, j] = similarity[j, i] = True
  return similarity


def random_similarities(count, share, cases=30):
  rng = np.random.default_rng([count, int(100 * share)])
  drawn = rng.uniform(size=(cases, count, count)) < share
  upper = np.triu(drawn, 1)
  return upper | np.swapaxes(upper, 1, 2) | np.eye(count, dtype=bool)


LINKAGES = {
  'greedy': greedy_by_definition,
  'union_find': union_by_definition,
  'complete_linkage': complete_by_definition,
}
# A chain, its middle first or between; a star; two triangles and a bridge.
CHAIN = symmetric(3, (0, 1), (1, 2))
STAR = symmetric(4, (0, 1), (0, 2), (0, 3))
BRIDGE = symmetric(6, (0, 2), (0, 4), (2, 4), (1, 3), (1, 5), (3, 5), (4, 5))


class LinkageTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.product(
    linkage=tuple(LINKAGES),
    count=(1, 2, 5, 10),
    share=(0.1, 0.3, 0.6, 1.0),
  )
  def test_matches_definition(self, linkage, count, share):
    similarities = random_similarities(count, share)
    cluster = jax.vmap(getattr(clustering, linkage))
    labels = self.variant(cluster)(similarities)
    expected = [LINKAGES[linkage](similarity) for similarity in similarities]
    np.testing.assert_array_equal(labels, expected)
    self.assertEqual(labels.dtype, np.int32)

  @parameterized.named_parameters(
    ('greedy_chain', 'greedy', CHAIN, [0, 0, 1]),
    ('greedy_star', 'greedy', STAR, [0, 0, 0, 0]),
    ('greedy_bridge', 'greedy', BRIDGE, [0, 1, 0, 1, 0, 1]),
    ('union_chain', 'union_find', CHAIN, [0, 0, 0]),
    ('union_star', 'union_find', STAR, [0, 0, 0, 0]),
    ('union_bridge', 'union_find', BRIDGE, [0, 0, 0, 0, 0, 0]),
    ('complete_chain', 'complete_linkage', CHAIN, [0, 0, 1]),
    ('complete_star', 'complete_linkage', STAR, [0, 0, 1, 2]),
    ('complete_bridge', 'complete_linkage', BRIDGE, [0, 1, 0, 1, 0, 1]),
  )
  def test_worked_examples(self, linkage, similarity, expected):
    labels = getattr(clustering, linkage)(similarity)
    np.testing.assert_array_equal(labels, expected)

  @parameterized.parameters(*LINKAGES)
  def test_equal_meanings_are_one_group_in_any_order(self, linkage):
    cluster = getattr(clustering, linkage)
    rng = np.random.default_rng(0)
    for _ in range(20):
      meanings = rng.integers(4, size=9)
      labels = cluster(meanings[:, None] == meanings[None, :])
      self.assertEqual(labels.tolist(), numbered(meanings.tolist()))

  def test_the_order_matters_to_greedy(self):
    # The middle of a chain takes in both ends if it comes first.
    middle_first = CHAIN[np.ix_([1, 0, 2], [1, 0, 2])]
    np.testing.assert_array_equal(clustering.greedy(middle_first), 0)
    self.assertEqual(clustering.greedy(CHAIN).tolist(), [0, 0, 1])

  def test_the_longest_chains_are_connected(self):
    # Of all responses, and of all but the second.
    for count in (2, 3, 4, 5, 6, 9, 10, 17, 18):
      links = list(itertools.pairwise([0, *range(2, count)]))
      labels = clustering.union_find(symmetric(count, *links))
      np.testing.assert_array_equal(labels, [0, 1, *[0] * (count - 2)])
      whole = clustering.union_find(symmetric(count, (0, 1), *links))
      np.testing.assert_array_equal(whole, 0)

  @parameterized.parameters('greedy', 'complete_linkage')
  def test_later_responses_change_nothing_before(self, linkage):
    cluster = getattr(clustering, linkage)
    for similarity in random_similarities(8, 0.4):
      whole = cluster(similarity)
      np.testing.assert_array_equal(cluster(similarity[:5, :5]), whole[:5])

  @parameterized.parameters(*LINKAGES)
  def test_refuses(self, linkage):
    cluster = getattr(clustering, linkage)
    for wrong in (
      np.ones((3, 1), bool),
      np.ones((1, 3), bool),
      np.ones(3, bool),
      np.ones((3, 3), np.float32),
    ):
      with self.assertRaises(AssertionError):
        cluster(wrong)


class MeasuresTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    # Groups of 3, 2 and 1; numbers of groups need not be in order.
    labels = np.int32([7, 1, 7, 1, 7, 0])
    measures = [
      self.variant(measure)(labels)
      for measure in (
        clustering.group_sizes,
        clustering.confidence,
        clustering.semantic_entropy,
      )
    ]
    sizes, confidence, entropy = measures
    np.testing.assert_array_equal(sizes, [3, 2, 3, 2, 3, 1])
    self.assertEqual(sizes.dtype, np.int32)
    np.testing.assert_allclose(confidence, 1 / 2)
    expected = np.log(2) / 2 + np.log(3) / 3 + np.log(6) / 6
    np.testing.assert_allclose(entropy, expected, rtol=1e-6)
    chex.assert_shape([confidence, entropy], ())

  @chex.variants(with_jit=True, without_jit=True)
  def test_batches_of_prompts(self):
    labels = np.int32([[0, 0, 0, 0], [0, 1, 2, 3], [0, 1, 0, 1]])
    confidence = self.variant(jax.vmap(clustering.confidence))(labels)
    entropy = self.variant(jax.vmap(clustering.semantic_entropy))(labels)
    np.testing.assert_array_equal(confidence, [1.0, 0.25, 0.5])
    np.testing.assert_allclose(
      entropy, [0.0, np.log(4), np.log(2)], rtol=1e-6, atol=1e-7
    )

  def test_confidence_is_a_share_and_sizes_are_exact(self):
    for size in range(1, 11):
      labels = np.arange(10, dtype=np.int32)
      labels[:size] = 0
      confidence = clustering.confidence(labels)
      np.testing.assert_allclose(confidence, size / 10, rtol=2e-7)
      self.assertEqual(clustering.group_sizes(labels).max(), size)

  def test_refuses(self):
    for measure in (
      clustering.group_sizes,
      clustering.confidence,
      clustering.semantic_entropy,
    ):
      with self.assertRaises(AssertionError):
        measure(np.zeros((2, 3), np.int32))
      with self.assertRaises(AssertionError):
        measure(np.zeros(3, np.float32))


if __name__ == '__main__':
  absltest.main()
