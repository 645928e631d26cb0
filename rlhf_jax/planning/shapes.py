"""What a stage works on as shapes: nothing is read, drawn or computed."""

from collections.abc import Sequence
from typing import Any

import jax

from rlhf_jax.data.examples import Example, StoredRecord
from rlhf_jax.data.limits import Limits
from rlhf_jax.experiment.trained import Trained, as_they_are
from rlhf_jax.models import huggingface, lora
from rlhf_jax.stages import folder_of
from rlhf_jax.training import state as training
from rlhf_jax.types import Comparison, Params, Prompt, Sampled

RATINGS = 5  # Of a rated response.


class StandIn:
  """Stands in for a tokenizer and its template: texts are not needed.

  Every id of the model is a token, and one of them ends a response.
  """

  pad_id = 0

  def absent_ids(self, rows: int) -> tuple[int, ...]:
    """None of so many ids."""
    del rows
    return ()

  def stop_ids(self, tokenizer: Any) -> tuple[int, ...]:
    """One id."""
    del tokenizer
    return (1,)


class Shapes(Trained):
  """`Trained` with shapes in place of arrays, each with its shards.

  Of a model in a folder config.json is enough.
  """

  folder_shapes = staticmethod(huggingface.described_params)

  def _load(self, name, role, cast):
    if folder_of(name) is not None:
      return self._shapes(self.abstract_params(name), role, cast)[role]
    moved = self._shapes(self.abstract_trained(name), role, cast)
    return self.cast(cast, training.whole(moved, self.base(name))[role])

  def cast(self, cast, params):
    if cast is as_they_are:
      return params  # These very arrays.
    return self.placed(jax.eval_shape(cast, params))

  def merged(self, params: Params) -> Params:
    merged = jax.eval_shape(lora.merge, params)
    if jax.tree.structure(merged) == jax.tree.structure(params):
      return params  # There is nothing to merge: these very arrays.
    return self.placed(merged)


def longest(
  kind: type, limits: Limits, rows: int, *, responses: int = 2
) -> Sequence[Example]:
  """Examples as long as the limits let them be.

  Args:
    kind: of their records.
    limits: of tokens.
    rows: how many.
    responses: of each comparison, or of a policy's samples.
  """
  count = {Prompt: 0, Comparison: responses, Sampled: responses}.get(kind, 1)
  prompt = [0] * limits.max_prompt_tokens
  responses = ([0] * limits.max_response_tokens,) * count
  held = StoredRecord((), 0, kind, ratings=(0.0,) * RATINGS)
  return [Example(held, prompt, responses, i) for i in range(rows)]
