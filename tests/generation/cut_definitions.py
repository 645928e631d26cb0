"""Which tokens each cut keeps, by definition: sets, of one row in float64."""

import numpy as np


def softmax(row):
  weights = np.exp(row - row.max())
  return weights / weights.sum()


def top_k(row, k):
  return {i for i in range(len(row)) if sum(row > row[i]) < k}


def top_p(row, p):
  """Adds tokens, the likeliest first, until their mass reaches p."""
  probs, kept, mass = softmax(row), set(), 0.0
  for i in np.argsort(-row, kind='stable'):
    if mass >= p:
      break
    kept.add(i)
    mass += probs[i]
  return kept


def min_p(row, p):
  probs = softmax(row)
  return {i for i in range(len(row)) if probs[i] >= p * probs.max()}


def typical_p(row, p):
  """Adds tokens, the nearest to the entropy first, until p is reached."""
  probs = softmax(row)
  entropy = -(probs * np.log(probs)).sum()
  kept, mass = set(), 0.0
  for i in np.argsort(abs(-np.log(probs) - entropy), kind='stable'):
    if mass >= p:
      break
    kept.add(i)
    mass += probs[i]
  return kept


def epsilon(row, threshold):
  probs = softmax(row)
  return {i for i in range(len(row)) if probs[i] >= threshold}


def eta(row, threshold):
  probs = softmax(row)
  entropy = -(probs * np.log(probs)).sum()
  threshold = min(threshold, np.sqrt(threshold) * np.exp(-entropy))
  return {i for i in range(len(row)) if probs[i] >= threshold}
