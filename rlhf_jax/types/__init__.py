"""What crosses rooms: parameters, state, means, models, records and batches.

Letters: B batch, K candidates of a prompt, P prompt tokens, R response tokens,
T = P + R, V vocabulary, D width, M scores of a response.
"""

from rlhf_jax.types.batches import (
  Comparisons,
  Demonstrations,
  Experience,
  Prompts,
  Ratings,
  Rollouts,
  Samples,
  WithExtra,
  flatten_candidates,
  padding,
)
from rlhf_jax.types.models import (
  Bottleneck,
  LanguageModel,
  Models,
  Sampler,
  ScalarModel,
  Scorer,
)
from rlhf_jax.types.records import (
  Comparison,
  Demonstration,
  Message,
  Prompt,
  Rated,
  Record,
  Response,
  Reward,
  Sampled,
  prompt_of,
  responses_of,
  without_ids,
)
from rlhf_jax.types.training import Mean, Metrics, Params, Terms, TrainState
