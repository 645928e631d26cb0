"""Samples of a sandbox chain that has been run."""

from typing import NamedTuple

import jax
import numpy as np

from rlhf_jax import sandbox
from rlhf_jax.experiment import PolicyVariant, answering
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.types import Prompt

PROMPTS = 64  # At a time.


class Sampled(NamedTuple):
  """A policy's samples to P held-out prompts, K each.

  Attributes:
    prompts: P of them.
    gold: [P, K] gold reward.
    scores: {reward model: [P, K] its scores}.
    texts: P lists of K.
  """

  prompts: list[Prompt]
  gold: np.ndarray
  scores: dict[str, np.ndarray]
  texts: list[list[str]]


def sample(
  chain: Run, policy: str, samples: int, *, rewards: tuple[str, ...] = ()
) -> Sampled:
  """Samples a policy, under a key that evaluation does not use.

  Args:
    chain: that has been run.
    policy: the stage that trained it.
    samples: K.
    rewards: stages of the reward models that score.
  """
  how = chain.experiment.evaluation
  records = list(chain.data.records(how.prompts))[: how.count]
  golds, listed = [], []
  scores = {reward: [] for reward in rewards}
  with jax.set_mesh(chain.mesh):
    for part in answering.respond_as(
      chain,
      PolicyVariant(policy=policy),
      records,
      chain.key('samples of scripts'),
      samples=samples,
      sampling=Sampling(temperature=1.0),
      batch_size=PROMPTS,
    ):
      count = len(part.examples)
      asked = [e.prompt for e in part.examples for _ in range(samples)]
      texts = [text for row in part.texts for text in row]
      golds.append(sandbox.gold(asked, texts).reshape(count, samples))
      listed.extend(part.texts)
      for reward in rewards:
        frozen = {'reward': chain.trained.params(reward, 'reward')}
        score = chain.trained.scorer(reward)
        scored = np.asarray(score(frozen, part.rollouts))[:count]
        scores[reward].append(scored)
  return Sampled(
    prompts=records,
    gold=np.concatenate(golds),
    scores={r: np.concatenate(parts) for r, parts in scores.items()},
    texts=listed,
  )
