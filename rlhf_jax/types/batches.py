"""Batches: text as arrays, with the masks that say what counts."""

import chex
import flax.struct
import jax
import jax.numpy as jnp

from rlhf_jax.types.training import Mean, Metrics


@flax.struct.dataclass
class Prompts:
  """Prompts ready to be answered: [B, P], padded on the left.

  Attributes:
    tokens: [B, P] int32.
    attention_mask: [B, P] bool, True on real tokens.
    index: [B] int32, each prompt's place in its dataset; keys are folded
      from it.
  """

  tokens: chex.Array
  attention_mask: chex.Array
  index: chex.Array


@flax.struct.dataclass
class Demonstrations:
  """Prompts with responses to imitate: [B, T], padded on the right.

  Attributes:
    tokens: [B, T] int32.
    attention_mask: [B, T] bool, True on real tokens.
    response_mask: [B, T] bool, True on what is imitated, end-of-text included.
    segment_ids: [B, T] int32, which example of a packed row a token belongs
      to, from 1; None when a row is one example.
    weight: [B] float32, how much each row counts; None where all count alike.
  """

  tokens: chex.Array
  attention_mask: chex.Array
  response_mask: chex.Array
  segment_ids: chex.Array | None = None
  weight: chex.Array | None = None


@flax.struct.dataclass
class Ratings:
  """Responses with ratings of M attributes: [B, T], padded on the right.

  Attributes:
    tokens: [B, T] int32.
    attention_mask: [B, T] bool, True on real tokens.
    ratings: [B, M] float32, anything where there is none.
    rating_mask: [B, M] bool, True where there is one.
  """

  tokens: chex.Array
  attention_mask: chex.Array
  ratings: chex.Array
  rating_mask: chex.Array


@flax.struct.dataclass
class Comparisons:
  """K responses to each prompt, best first: [B, K, T], padded on the right.

  Attributes:
    tokens: [B, K, T] int32.
    attention_mask: [B, K, T] bool.
    response_mask: [B, K, T] bool, end-of-text included.
    candidate_mask: [B, K] bool, True on responses; prompts with fewer than K
      have theirs first.
    margins: [B] float32, by how much the first beats the second.
    weight: [B] float32, how much each row counts; 0 for one that only fills the
      batch.
    scores: [B, K] float32, what ranked them, 0 where there is no response; None
      where only the order is known.
    targets: Demonstrations [B, T] to imitate beside; None for the best of each.
    reference_logps: [B, K] float32, log-probs of the responses under a frozen
      reference, in nats, where they were computed beforehand.
    features: [B, K, D] float32, what a reward model's head reads of them,
      likewise; 0 where there is no response.
  """

  tokens: chex.Array
  attention_mask: chex.Array
  response_mask: chex.Array
  candidate_mask: chex.Array
  margins: chex.Array
  weight: chex.Array
  scores: chex.Array | None = None
  targets: Demonstrations | None = None
  reference_logps: chex.Array | None = None
  features: chex.Array | None = None

  @property
  def pair_weight(self) -> chex.Array:
    """[B] float32 weights of pairs: 0 where there is no second response.

    Raises:
      ValueError: K is not 2.
    """
    if self.tokens.shape[1] != 2:
      raise ValueError(
        f'pairs have two responses and these data have {self.tokens.shape[1]}; '
        'take a method for ranked lists, or make pairs of them first'
      )
    return self.weight * self.candidate_mask[:, 1]


@flax.struct.dataclass
class Samples:
  """K responses to each prompt in no order: [B, K, T], padded on the right.

  Attributes:
    tokens: [B, K, T] int32.
    attention_mask: [B, K, T] bool.
    response_mask: [B, K, T] bool, end-of-text included.
    candidate_mask: [B, K] bool, True on responses.
  """

  tokens: chex.Array
  attention_mask: chex.Array
  response_mask: chex.Array
  candidate_mask: chex.Array


@flax.struct.dataclass
class WithExtra:
  """A batch, and one of another dataset that is learnt from beside it.

  Attributes:
    batch: of the stage's data.
    extra_data: of the other dataset, of a size of its own.
  """

  batch: chex.ArrayTree
  extra_data: chex.ArrayTree


@flax.struct.dataclass
class Rollouts:
  """Sampled responses: [B, K, T], prompt padded left, response right.

  The response starts at column P = T - R of every row.

  Attributes:
    tokens: [B, K, T] int32.
    attention_mask: [B, K, T] bool.
    response_mask: [B, K, T] bool, end-of-text included.
    logps: [B, K, R] float32, log-prob of each sampled token under the policy
      that sampled it, at its temperature, over the whole vocabulary, in nats.
    truncated_logps: [B, K, R] float32, likewise after top-k, top-p and other
      cuts: the distribution that the token was really drawn from.
    ended: [B, K] bool, True where the response closed with end-of-text.
    index: [B] int32, as in Prompts.
  """

  tokens: chex.Array
  attention_mask: chex.Array
  response_mask: chex.Array
  logps: chex.Array
  truncated_logps: chex.Array
  ended: chex.Array
  index: chex.Array

  @property
  def response_length(self) -> int:
    """R, the number of response columns."""
    return self.logps.shape[-1]

  @property
  def responses(self) -> tuple[chex.Array, chex.Array]:
    """[B, K, R] response tokens and their mask."""
    start = self.tokens.shape[-1] - self.response_length
    return self.tokens[..., start:], self.response_mask[..., start:]


@flax.struct.dataclass
class Experience:
  """Rollouts with what a policy-gradient update needs: [B, K, T] and [B, K, R].

  Attributes:
    rollouts: the samples.
    logps: [B, K, R] log-probs before the update, by the trainer's own pass;
      None where the update is one step, whose own pass gives them.
    reference_logps: [B, K, R] log-probs under the frozen reference.
    values: [B, K, R] the critic's before each token; zeros without a critic.
    advantages: [B, K, R] how much better each token was, 0 where masked.
    returns: [B, K, R] the critic's targets, 0 where masked.
  """

  rollouts: Rollouts
  logps: chex.Array | None
  reference_logps: chex.Array
  values: chex.Array
  advantages: chex.Array
  returns: chex.Array


def flatten_candidates(tree: chex.ArrayTree) -> chex.ArrayTree:
  """Folds the leading [B, K] of every array into [B * K]."""
  return jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), tree)


@jax.jit
def padding(batch: chex.ArrayTree) -> Metrics:
  """{'padding': the share of its places for tokens that hold none}.

  Args:
    batch: of any kind; {} comes of one without attention masks.
  """
  masks = [
    leaf
    for path, leaf in jax.tree.flatten_with_path(batch)[0]
    if path and getattr(path[-1], 'name', None) == 'attention_mask'
  ]
  if not masks:
    return {}
  real = sum(jnp.sum(mask, dtype=jnp.float32) for mask in masks)
  places = jnp.float32(sum(mask.size for mask in masks))
  return {'padding': Mean(total=places - real, weight=places)}
