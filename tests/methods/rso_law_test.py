"""RSO's responses against the law that they are meant to follow.

π*(y) = π_ref(y) exp(r(y) / β) / Z, on a policy whose responses can all be
listed. Textbook rejection sampling (`selection.accept`) follows it to within
sampling error. The paper's algorithm 1, which `methods/rso.py` runs, does not:
it measures scores against the largest of a pool, and takes without replacement
as many as are asked for. How far off it is, as a total variation (half the sum
of the absolute differences), is stated here.

Source: Liu et al. 2024 (RSO), §3.1 and algorithm 1.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import selection
from rlhf_jax.methods import rso
from tests import toy

PROMPT, BETA = 0, 0.5
RESPONSES = toy.responses()
# Not so sharp that some response would never be seen.
REFERENCE = jax.tree.map(lambda x: 0.4 * x, toy.POLICY.init(jax.random.key(3)))
SCORES = np.random.default_rng(6).uniform(-1.0, 1.0, len(RESPONSES))


def base():
  """π_ref [15], in numpy."""
  table = np.asarray(REFERENCE['embedding'], np.float64)
  return np.array([toy.probability(table, PROMPT, y) for y in RESPONSES])


def law(beta=BETA):
  """π* [15], by its definition."""
  tilted = base() * np.exp(SCORES / beta)
  return tilted / tilted.sum()


POOLS, POOL = 4000, 64


@functools.cache
def drawn():
  """[4000, 64] places in RESPONSES of samples of the policy's own decoder."""
  rollouts = toy.MODELS.sampler.sample(
    REFERENCE,
    toy.prompts(1),
    jax.random.key(0),
    samples=POOLS * POOL,
    sampling=Sampling(temperature=1.0),
  )
  tokens = np.asarray(rollouts.tokens)[0, :, -toy.LONGEST :]
  digits = toy.VOCABULARY ** np.arange(toy.LONGEST)
  places = np.full(toy.VOCABULARY**toy.LONGEST, -1)
  for place, response in enumerate(RESPONSES):
    filled = [*response, *[toy.PAD] * (toy.LONGEST - len(response))]
    places[digits @ filled] = place
  found = places[tokens @ digits]
  assert (found >= 0).all()
  return found.reshape(POOLS, POOL)


def frequencies(places):
  return np.bincount(np.ravel(places), minlength=len(RESPONSES)) / np.size(
    places
  )


def total_variation(a, b):
  return 0.5 * np.abs(a - b).sum()


class AcceptTest(parameterized.TestCase):
  def accepted(self, beta):
    """Which of the samples are accepted, against the true bound."""
    places = drawn().ravel()
    uniforms = np.random.default_rng(1).uniform(size=len(places))
    scores = SCORES.astype(np.float32)
    taken = selection.accept(
      scores[places], scores.max(), uniforms.astype(np.float32), beta=beta
    )
    return places[np.asarray(taken)]

  def chi_square(self, places):
    expected = law() * len(places)
    self.assertGreater(expected.min(), 5.0)
    counts = np.bincount(places, minlength=len(RESPONSES))
    return ((counts - expected) ** 2 / expected).sum()

  def test_what_is_accepted_follows_the_law(self):
    kept, samples = self.accepted(BETA), POOLS * POOL
    # 14 degrees of freedom, p of 0.001.
    self.assertLess(self.chi_square(kept), 36.1)
    # A share Z exp(−max r / β) of the samples.
    share = (base() * np.exp((SCORES - SCORES.max()) / BETA)).sum()
    deviation = np.sqrt(share * (1.0 - share) / samples)
    self.assertLess(abs(len(kept) / samples - share), 5.0 * deviation)

  def test_another_beta_would_be_noticed(self):
    self.assertGreater(self.chi_square(self.accepted(1.1 * BETA)), 60.0)

  def test_nothing_rejected_is_the_base(self):
    expected = base()
    deviation = np.sqrt(expected * (1.0 - expected) / drawn().size)
    error = np.abs(frequencies(drawn()) - expected)
    np.testing.assert_array_less(error, 5.0 * deviation)


class SequentialTest(parameterized.TestCase):
  """Algorithm 1 as the paper runs it: 8 kept of 64."""

  # Acceptance is 26%, 14% and 9% of a pool: 17 responses, 9 and 5.5. As long as
  # one pass finds the 8, they are as good as drawn from π*; where it takes
  # more, ever worse ones are let in. Sampling error alone makes 0.006.
  @parameterized.parameters(
    (0.5, 0.0, 0.015), (0.25, 0.02, 0.06), (0.1, 0.2, 0.28)
  )
  def test_its_distance_from_the_law(self, beta, least, most):
    @jax.jit
    @jax.vmap
    def keep(key, scores):
      return selection.rejection_sample(
        key, scores, jnp.ones(POOL, bool), beta=beta, count=8
      )

    keys = jax.random.split(jax.random.key(2), POOLS)
    kept, known = keep(keys, np.float32(SCORES[drawn()]))
    self.assertTrue(np.asarray(known).all())
    chosen = np.take_along_axis(drawn(), np.asarray(kept), axis=1)
    distance = total_variation(frequencies(chosen), law(beta))
    self.assertBetween(distance, least, most)
    # Where nothing is rejected it is far larger: 0.39, 0.65 and 0.84.
    self.assertLess(distance, 0.3 * total_variation(base(), law(beta)))

  def test_equal_texts_count_once_and_that_matters_where_they_are_many(self):
    # The paper's code does so as well. There are 15 texts here, and about as
    # many in each pool, of which 8 are kept, however probable each was.
    config = rso.Pairs(
      select=functools.partial(selection.rejection_sample, beta=BETA)
    )
    kept = []
    pools = [list(dict.fromkeys(pool)) for pool in drawn()[:400].tolist()]
    chosen = rso.accepted(
      [SCORES[texts] for texts in pools], range(400), config
    )
    for texts, places in zip(pools, chosen, strict=True):
      self.assertLen(set(places), 8)
      kept += [texts[place] for place in places]
    distance = total_variation(frequencies(kept), law())
    self.assertBetween(distance, 0.27, 0.37)
