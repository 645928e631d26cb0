"""Answers to prompts: on a condition, or the best of several samples."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from rlhf_jax.data.encoding import Example
from rlhf_jax.experiment import definition
from rlhf_jax.experiment.chain import Chain
from rlhf_jax.feedback import scoring
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.stages import Ensemble, graph
from rlhf_jax.types import Comparison, Comparisons, Prompt, Rollouts


class AnsweredPrompts(NamedTuple):
  """A policy's responses to some prompts.

  Attributes:
    examples: N prompts, without a condition.
    rollouts: Rollouts [B, K, T], B at least N, of what was sampled.
    shown: what judges see of them: the rollouts themselves or, of prompts with
      a condition, Comparisons [B, K, T] of the same responses without it.
    texts: N lists of K.
    scores: [B, K] by the scoring reward model, or None without one.
  """

  examples: Sequence[Example]
  rollouts: Rollouts
  shown: Rollouts | Comparisons
  texts: list[list[str]]
  scores: np.ndarray | None


def respond(
  chain: Chain,
  variant: definition.PolicyVariant,
  records: Sequence[Prompt],
  key: jax.Array,
  *,
  samples: int,
  sampling: Sampling,
  batch_size: int,
) -> Iterator[AnsweredPrompts]:
  """Answers prompts as told, `batch_size` of them at a time.

  Args:
    chain: of the experiment.
    variant: with which policy, on what condition, the best of how many.
    records: prompts.
    key: of all; each sample's is folded from it and its prompt's place.
    samples: K, responses given to each prompt.
    sampling: of the responses.
    batch_size: B, or less where the experiment's `max_rows` says so.
  """
  examples, _ = chain.encode_all(records)
  asked = _conditioned(chain, examples, variant.condition)
  judge = scoring_model(chain.experiment, variant.policy)
  if variant.best_of > 1 and judge is None:
    raise definition.ExperimentError(
      f'the best of {variant.best_of} is chosen by a reward model, and no '
      'stage trains one'
    )
  models = chain.models({'reward': judge} if judge else None)
  policy = models.sampler.load(chain.params(variant.policy, 'policy'))
  frozen = {'reward': chain.reward_params(judge)} if judge else None
  drawn = samples * variant.best_of
  batch_size = chain.at_a_time(batch_size, drawn)
  for first in range(0, len(examples), batch_size):
    some = examples[first : first + batch_size]
    rollouts = models.sampler.sample(
      policy,
      chain.prompts(asked[first : first + batch_size], first, batch_size),
      key,
      samples=drawn,
      sampling=sampling,
    )
    shown, scores = rollouts, None
    if variant.condition is not None:
      shown = _shown(chain, some, rollouts)
    if frozen:
      scores = models.scorer(frozen, shown)
    if variant.best_of > 1:
      chosen = _best(scores, rollouts.ended, samples)
      rollouts, shown, scores = (
        _taken(tree, chosen) for tree in (rollouts, shown, scores)
      )
    prompts = [e.prompt for e in asked[first : first + batch_size]]
    yield AnsweredPrompts(
      some, rollouts, shown, chain.responses(prompts, rollouts), scores
    )


def _conditioned(chain, examples, condition):
  """The examples on a condition, all of them; as they are on none."""
  if condition is None:
    return examples
  asked, _ = chain.encode_all(
    [e.prompt._replace(condition=condition.text) for e in examples]
  )
  if len(asked) < len(examples):
    raise definition.ExperimentError(
      f'the condition {condition.text!r} makes prompts longer than '
      'max_prompt_tokens; raise the limit'
    )
  return asked


def _shown(chain, examples, rollouts):
  """The rollouts' responses to the prompts of `examples`, as Comparisons."""
  tokens, mask = map(np.asarray, rollouts.responses)
  said = [
    example._replace(
      record=Comparison(example.prompt, ('',) * len(row)),
      response_ids=tuple(t[m].tolist() for t, m in zip(row, kept, strict=True)),
    )
    for example, row, kept in zip(examples, tokens, mask, strict=False)
  ]
  return chain.batch(said, len(tokens), tokens.shape[1])


def _best(scores, ended, count):
  """[B, count] places of the best of each of `count` equal shares.

  Of responses that could be scored, and of these those that ended, where any of
  the share did.

  Raises:
    ScoringError: in a share none could be scored.
  """
  rows = scores.shape[0]
  scores = np.asarray(scores).reshape(rows, count, -1)
  ended = np.asarray(ended).reshape(scores.shape)
  scored = np.isfinite(scores)
  if not scored.any(-1).all():
    raise scoring.ScoringError(
      f'none of {scores.shape[-1]} samples of a prompt has a score, so that '
      'none is the best; are the numbers of the reward model finite?'
    )
  whole = ended & scored
  valid = np.where(whole.any(-1, keepdims=True), whole, scored)
  best = np.argmax(np.where(valid, scores, -np.inf), axis=-1)
  return best + scores.shape[-1] * np.arange(count)


def _taken(tree, chosen):
  """The chosen candidates [B, count] of every array [B, K, …] of a batch."""
  rows = np.arange(len(chosen))[:, None]
  return jax.tree.map(lambda x: x[rows, chosen] if x.ndim > 1 else x, tree)


def scoring_model(
  experiment: definition.Experiment, policy: str
) -> str | Ensemble | None:
  """Who scores a policy: the evaluation's own, or what the policy learnt from.

  Or else the chain's first reward model; None without one.
  """
  if experiment.evaluation.scored_by is not None:
    return experiment.evaluation.scored_by
  own = experiment.stages[policy].frozen.get('reward')
  if isinstance(own, str | Ensemble):
    return own
  return next(iter(graph.producing(experiment.stages, 'reward')), None)
