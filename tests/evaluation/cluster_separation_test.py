"""Clusters by density, and how far they are from where samples were before."""

import collections

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import cluster_separation as measures

LINE = np.array([0.0, 1.0, 2.0, 3.5, 10.0, 11.0, 12.0, 30.0])[:, None]


def grown(points, radius, min_samples):
  """Clusters of core points by flooding, one point after the other."""
  near = [
    [j for j in range(len(points)) if np.linalg.norm(p - points[j]) <= radius]
    for p in points
  ]
  core = [len(found) >= min_samples for found in near]
  labels, count = {}, 0
  for first in range(len(points)):
    if not core[first] or first in labels:
      continue
    queue = collections.deque([first])
    while queue:
      i = queue.popleft()
      if i not in labels:
        labels[i] = count
        queue.extend(j for j in near[i] if core[j])
    count += 1
  return labels, core, near


class DbscanTest(parameterized.TestCase):
  @parameterized.parameters(
    # 1 and 11 are core points of three, whose neighbours join them.
    (1.0, 3, (0, 0, 0, -1, 1, 1, 1, -1)),
    (1.5, 3, (0, 0, 0, 0, 1, 1, 1, -1)),
    (1.0, 1, (0, 0, 0, 1, 2, 2, 2, 3)),
    (1.0, 4, (-1,) * 8),
    (9.0, 3, (0, 0, 0, 0, 0, 0, 0, -1)),
  )
  def test_by_hand(self, radius, min_samples, expected):
    found = measures.dbscan(LINE, radius=radius, min_samples=min_samples)
    np.testing.assert_array_equal(found, expected)

  @parameterized.parameters(0, 1, 2)
  def test_matches_flooding(self, seed):
    draw = np.random.default_rng(seed)
    points = np.concatenate(
      [draw.normal(size=(40, 2)) + at for at in ([0, 0], [5, 0], [2, 6])]
    )
    found = measures.dbscan(points, radius=0.7, min_samples=4)
    labels, core, near = grown(points, 0.7, 4)
    for i, point in enumerate(points):
      if core[i]:
        self.assertEqual(found[i], labels[i])
        continue
      cores = [j for j in near[i] if core[j]]
      nearest = min(
        cores, key=lambda j: np.linalg.norm(point - points[j]), default=None
      )
      self.assertEqual(found[i], -1 if nearest is None else labels[nearest])
    self.assertGreater(found.max(), 1)


class ClusterSeparationTest(absltest.TestCase):
  def test_worked_example(self):
    # Centroids 1 and 11, of 3 each; the nearest before are 1.5 and 8.
    before = np.array([[1.5], [8.0], [40.0]])
    found = measures.cluster_separation(LINE, before, radius=1.0, min_samples=3)
    self.assertAlmostEqual(found, 3 * 0.5 + 3 * 3.0)

  def test_of_noise_alone_it_is_nothing(self):
    found = measures.cluster_separation(LINE, LINE, radius=0.1, min_samples=2)
    self.assertEqual(found, 0.0)

  def test_grows_as_samples_leave(self):
    draw = np.random.default_rng(0)
    before, after = draw.normal(size=(2, 60, 8))
    found = [
      measures.cluster_separation(
        after + away, before, radius=5.0, min_samples=4
      )
      for away in (0.0, 3.0, 6.0)
    ]
    self.assertGreater(found[1], 2.0 * found[0])
    self.assertGreater(found[2], 1.5 * found[1])


if __name__ == '__main__':
  absltest.main()
