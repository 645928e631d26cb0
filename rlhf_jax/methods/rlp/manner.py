"""What keeps a policy's manner while agreement tells its reward what is right.

Not in the paper. Synthetic pairs differ in what is said and in how, and a
reward that learns from them puts more of its spread on what is said. Put on the
scale of the first by all of that spread, as by `scale`, it pays less for manner
than it did, and so does the policy. Two ways out: pairs that differ in nothing
but what is said (`restated_pairs`), and the scale of the first on responses
that say the same (`alike` and `stages`).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chex
import jax.numpy as jnp
import optax

from rlhf_jax.feedback import sampled_pairs
from rlhf_jax.feedback import similarity as similarities
from rlhf_jax.methods.rlp import scale, synthetic
from rlhf_jax.stages import DatasetMethod, DatasetStage, RecordBatch, Stage
from rlhf_jax.training.state import whole
from rlhf_jax.types import (
  Comparison,
  Comparisons,
  Mean,
  Metrics,
  Models,
  Params,
  Response,
  Sampled,
  TrainState,
  flatten_candidates,
)
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

# (a response, another) -> what the first would be if it said what the other
# says, or None where it cannot.
Restate = Callable[[str, str], str | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Restated(synthetic.Config):
  """RLP-SPG's pairs, and how a response is made to say what another does.

  Attributes:
    restate: in the words of the data, of which this package knows nothing.
  """

  restate: Restate


def restated_pairs(
  records: Sequence[Sampled], queries: Any, *, config: Restated
) -> RecordBatch:
  """RLP-SPG's pairs; the preferred response, saying the other, is rejected.

  Where it cannot say that, there is no pair.
  """
  made = synthetic.by_consistency(records, queries, config=config)
  found, kept = [], []
  for pair in made:
    chosen, rejected = pair.responses
    text = config.restate(chosen, rejected)
    kept.append(float(text is not None and text != chosen))
    if kept[-1]:
      other = Response(text, ended=Response.of(chosen).ended)
      found.append(pair._replace(responses=(chosen, other)))
  facts = sampled_pairs.averaged([{'restated': each} for each in kept])
  return RecordBatch(found, made.facts | facts)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Alike:
  """Which responses say the same.

  Attributes:
    similarity: of feedback.similarity.
    count: None; what there is.
    batch_size: comparisons at a time.
  """

  similarity: similarities.Similarity
  count: Count | None = None
  batch_size: Count | None = 256


def alike(
  records: Sequence[Comparison], queries: Any, *, config: Alike
) -> RecordBatch:
  """The Comparisons whose responses all say the same, as they are."""
  similar = config.similarity(
    [record.prompt for record in records],
    [record.responses for record in records],
    queries,
  )
  same = [bool(matrix.all()) for matrix in similar]
  return RecordBatch(
    [record for record, kept in zip(records, same, strict=True) if kept],
    sampled_pairs.averaged([{'alike': float(each)} for each in same]),
  )


def update(
  state: TrainState,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  optimizer: optax.GradientTransformation,
  config: scale.Config,
) -> tuple[TrainState, Metrics]:
  """Folds a and b of `matched_within` into the head; as `scale.update`."""
  del key, optimizer, config
  tokens, mask = flatten_candidates((batch.tokens, batch.attention_mask))
  model = whole(state.params, frozen)['reward']
  own = models.reward.scores(model, tokens, mask)[:, 0]
  factor, shift = matched_within(
    own.reshape(batch.candidate_mask.shape),
    models.scorer(frozen, batch),
    batch.candidate_mask,
  )
  reward = state.params['reward']
  head = {
    'kernel': factor * reward['head']['kernel'],
    'bias': factor * reward['head']['bias'] + shift,
  }
  metrics = {'scale': Mean.of(factor), 'shift': Mean.of(shift)}
  return (
    state.replace(
      step=state.step + 1, params={'reward': reward | {'head': head}}
    ),
    metrics,
  )


def matched_within(
  own: chex.Array, like: chex.Array, there: chex.Array
) -> tuple[chex.Array, chex.Array]:
  """a and b, with which own scores [B, K] spread as others within a prompt.

  a is the ratio of the deviations from each prompt's mean, over the responses
  `there` [B, K] bool; b makes the means of all equal.
  """
  own_mean, like_mean = (
    jnp.mean(scores, axis=1, where=there, keepdims=True)
    for scores in (own, like)
  )
  factor, _ = scale.matched(own - own_mean, like - like_mean, there)
  shift = jnp.mean(like, where=there) - factor * jnp.mean(own, where=there)
  return factor, shift


def stages(
  *,
  trained: Mapping[str, Stage | DatasetStage],
  like: str = 'reward_model',
  data: str,
  name: str,
) -> dict[str, Stage | DatasetStage]:
  """`trained`, then {name}: as `scale.stages`, by the spread within a prompt.

  Args:
    trained, like, name: as there.
    data: comparisons of responses that say the same, of `alike`.
  """
  made = scale.stages(
    scale.Config(), trained=trained, like=like, data=data, name=name
  )
  return made | {name: made[name]._replace(update=update)}


# Pairs of samples that most agree on, which differ in that alone.
pair_stages = DatasetMethod(
  name='restated',
  data='policy_samples',
  reads=(Sampled,),
  build=restated_pairs,
  builds=Comparison,
  frozen={'reward': 'reward'},
)


# Of annotated pairs those that differ in manner alone.
alike_stages = DatasetMethod(
  name='alike',
  data='preferences',
  reads=(Comparison,),
  build=alike,
  builds=Comparison,
)
