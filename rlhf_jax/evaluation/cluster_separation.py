"""How far a policy's latents lie from the SFT policy's: InfoRM's measure.

Source: Miao et al. 2024 (InfoRM), the cluster separation index (CSI).
"""

import numpy as np
from scipy import sparse
from scipy.spatial import distance

NOISE = -1


def dbscan(
  points: np.ndarray, *, radius: float, min_samples: int
) -> np.ndarray:
  """Clusters of points that lie close, however many; numbered from 0.

  A core point has `min_samples` points within the radius, itself included. Core
  points within it of each other are in one cluster, another point in that of
  the nearest core point within it, and one without any is noise.

  Args:
    points: [N, d].
    radius: in the points' unit, > 0.
    min_samples: 1 or more.

  Returns:
    [N] int, in the order of the clusters' first core points; −1 of noise.

  Source: Ester et al. 1996 (DBSCAN).
  """
  distances = distance.cdist(points, points)
  core = np.flatnonzero(np.sum(distances <= radius, axis=1) >= min_samples)
  labels = np.full(len(points), NOISE)
  if not core.size:
    return labels
  among = distances[np.ix_(core, core)] <= radius
  _, clusters = sparse.csgraph.connected_components(among, directed=False)
  nearest = np.argmin(distances[:, core], axis=1)
  reached = distances[np.arange(len(points)), core[nearest]] <= radius
  return np.where(reached, clusters[nearest], NOISE)


def cluster_separation(
  latents: np.ndarray,
  reference_latents: np.ndarray,
  *,
  radius: float,
  min_samples: int,
) -> float:
  """Σ over clusters of their size × their centroid's distance to the reference.

  The distance is that to the nearest reference latent. It grows with the number
  of samples: compare as many of each policy. Noise is in no cluster.

  Args:
    latents: [N, d] of a policy's samples.
    reference_latents: [M, d] of the SFT policy's, by the same reward model.
    radius: of `dbscan`.
    min_samples: of `dbscan`.

  Returns:
    In the latents' unit; 0 where all is noise.
  """
  labels = dbscan(latents, radius=radius, min_samples=min_samples)
  total = 0.0
  for cluster in range(labels.max(initial=NOISE) + 1):
    members = latents[labels == cluster]
    centroid = members.mean(axis=0, keepdims=True)
    total += len(members) * distance.cdist(centroid, reference_latents).min()
  return float(total)
