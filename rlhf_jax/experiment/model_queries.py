"""The queries that a dataset stage works with: its policy and its judges."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax import processes
from rlhf_jax.data.encoding import Example
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.experiment.datasets import WHOLE, Data, with_room_for
from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.experiment.sampled import sampled
from rlhf_jax.experiment.text_reading import (
  MOST_ROWS,
  by_comparison,
  mean_hidden,
  of_batches,
  ratings,
  rows_for,
)
from rlhf_jax.experiment.trained import Trained
from rlhf_jax.feedback import scoring
from rlhf_jax.kernels import logps as kernels
from rlhf_jax.learners import ranking
from rlhf_jax.stages import DatasetStage, Frozen, Queries
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Models,
  Prompt,
  Rated,
  Response,
  Sampled,
)


class ModelQueries:
  """The queries that a dataset stage works with, batch by batch.

  Its methods are those of `stages.Queries`, which says what they return.

  Attributes:
    batch_size: records of a batch.
    unscored: responses that could not be scored since the batch began.
  """

  def __init__(
    self,
    name: str,
    stage: DatasetStage,
    examples: Sequence[Example],
    *,
    data: Data,
    models: Models,
    trained: Trained,
    reward: Frozen | None,
    key_of: Callable[[str], jax.Array],
  ):
    """Of a stage on examples; `models` score by what it freezes as a reward.

    `reward` is that, as of `Run.scored_by`; `key_of` gives the key of a
    purpose, as `Run.key` does.
    """
    self._name, self._stage, self._examples = name, stage, examples
    self._data, self._models, self._trained = data, models, trained
    self.batch_size = stage.config.batch_size or len(examples)
    self._rows = min(self.batch_size, MOST_ROWS, data.max_rows)
    self._frozen = trained.frozen(stage)
    self._read_by = {
      role: trained.read_by(data, source, role)
      for role, source in stage.frozen.items()
    }
    self._key_of, self._key = key_of, key_of(name)
    self._reward, self.unscored = reward, 0

  def batch(self, number: int) -> tuple[list[Any], Queries]:
    """The records of a batch, and queries that are about these."""
    self.unscored = 0
    first, count = number * self.batch_size, len(self._examples)
    last = first + self.batch_size
    if self._stage.config.count is None:
      last = min(last, count)
    places = range(first, last)
    some = [self._examples[place % count] for place in places]

    def sample(*, samples, sampling, ended=False, prompts=None):
      asked = some if prompts is None else self._encoded(prompts)
      found = []
      for part, rollouts in self._rollouts(asked, first, samples, sampling):
        found += self._data.responses([e.prompt for e in part], rollouts)
      return [[t for t in row if t.ended or not ended] for row in found]

    def draw(*, samples, sampling):
      parts = self._rollouts(some, first, samples, sampling)
      return [drawn for part in parts for drawn in self._drawn(*part)]

    # Not those of the samples, which are folded from the stage's own key.
    key = self._key_of(f'{self._name} seeds')
    bits = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i)))
    seeds = np.asarray(bits(np.arange(first, last))).tolist()
    queries = Queries(
      sample=sample,
      draw=draw,
      score=self.score,
      prefer=self.prefer,
      rate=self.rate,
      embed=self.embed,
      logps=self.logps,
      response_logps=self.response_logps,
      seeds=seeds,
    )
    return [example.record for example in some], queries

  def score(self, comparisons: Sequence[Comparison]) -> list[np.ndarray]:
    self._judge('reward')
    # What a response was conditioned on is not for its judge to see.
    asked = [
      (c.prompt._replace(condition=''), text)
      for c in comparisons
      for text in c.responses
    ]
    if not asked:
      return []
    if callable(self._reward):
      prompts, texts = zip(*asked, strict=True)
      flat = scoring.ask(self._reward, prompts, texts).astype(np.float32)
    else:
      singles = [Comparison(prompt, (text,)) for prompt, text in asked]
      score = functools.partial(self._models.scorer, self._frozen)
      flat = self._read(score, singles, self._rows)[:, 0]
    self.unscored += int(np.sum(~np.isfinite(flat)))
    return by_comparison(flat, comparisons)

  def prefer(self, pairs: Sequence[Comparison]) -> np.ndarray:
    self._judge('ranker')
    if not pairs:
      return np.zeros(0, np.float32)
    most = self._data.at_a_time(self._rows, 2)  # Each is read both ways.
    rows = rows_for(len(pairs), most)
    return self._read_by_scalar('ranker', ranking.log_odds, pairs, rows)

  def rate(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> np.ndarray:
    self._judge('attributes')
    rated = [
      Rated(prompt._replace(condition=''), response, ())
      for prompt, response in zip(prompts, responses, strict=True)
    ]
    return self._read_by_scalar('attributes', ratings, rated, self._rows)

  def embed(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> np.ndarray:
    if not isinstance(self._judge('reward'), str):
      raise ExperimentError(
        f'stage {self._name!r} asks for hidden states, which only a single '
        'reward model that a stage trained has; freeze one'
      )
    said = [
      Demonstration(prompt._replace(condition=''), response)
      for prompt, response in zip(prompts, responses, strict=True)
    ]
    rows = rows_for(len(said), self._rows)
    return self._read_by_scalar('reward', mean_hidden, said, rows)

  def logps(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> np.ndarray:
    said = [
      Demonstration(prompt, Response(response, ended=False))
      for prompt, response in zip(prompts, responses, strict=True)
    ]
    # Whatever is asked here is no prompt of the experiment's, nor as short.
    whole = dataclasses.replace(self._data, limits=WHOLE)
    examples, _ = whole.encode_all(said)
    read = jax.jit(kernels.response_logps, static_argnums=0)
    return of_batches(
      functools.partial(read, self._models.policy, self._policy()),
      with_room_for(whole, examples),
      examples,
      rows_for(len(examples), self._rows),
    )

  def response_logps(
    self, comparisons: Sequence[Comparison], role: str
  ) -> list[np.ndarray]:
    if role == 'policy':
      model, params = self._models.policy, self._policy()
    else:
      model = self._trained.models(self._judge(role)).policy
      params = self._frozen[role]
    singles = [
      c._replace(responses=(text,), scores=None, models=())
      for c in comparisons
      for text in c.responses
    ]
    read = jax.jit(kernels.response_logps, static_argnums=0)
    flat = self._read(
      functools.partial(read, model, params),
      singles,
      rows_for(len(singles), self._rows),
    )
    return by_comparison(flat[:, 0], comparisons)

  def _rollouts(self, asked, first, samples, sampling):
    """`sampled`; places, which keys are folded from, count from `first`."""
    return sampled(
      self._data,
      self._models.sampler,
      self._loaded,
      asked,
      self._key,
      first=first,
      samples=samples,
      sampling=sampling,
      at_a_time=self._data.at_a_time(self._rows, samples),
    )

  def _drawn(self, examples, rollouts):
    """A Sampled of each example's rollouts."""
    mask, logps, ended = processes.on_host(
      (rollouts.responses[1], rollouts.logps, rollouts.ended)
    )
    logps = np.where(mask, logps, 0.0).sum(-1)
    texts = self._data.responses([e.prompt for e in examples], rollouts)
    columns = [texts, *(x.tolist() for x in (ended, mask.sum(-1), logps))]
    drawn = [
      Sampled(example.prompt, *map(tuple, row))
      for example, *row in zip(examples, *columns, strict=False)
    ]
    if 'reward' not in self._stage.frozen:
      return drawn
    asked = [Comparison(d.prompt, d.responses) for d in drawn]
    if callable(self._reward) or any(d.prompt.condition for d in drawn):
      scores = self.score(asked)
    else:  # The very tokens that were sampled.
      scores = processes.on_host(self._models.scorer(self._frozen, rollouts))
      scores = scores[: len(drawn)]
      self.unscored += int(np.sum(~np.isfinite(scores)))
    return [
      d._replace(scores=tuple(row.tolist()))
      for d, row in zip(drawn, scores, strict=True)
    ]

  def _encoded(self, records):
    """Examples of all records; none may be too long."""
    try:
      examples, _ = self._data.encode_all(records)
    except DataError as error:
      raise DataError(f'stage {self._name!r}: {error}') from error
    if len(examples) < len(records):
      raise ExperimentError(
        f'stage {self._name!r} has prompts that are longer than '
        'max_prompt_tokens; drop them from its data, or raise the limit'
      )
    return examples

  @functools.cached_property
  def _loaded(self):
    """The policy's parameters as its sampler reads them."""
    return self._models.sampler.load(self._policy())

  def _policy(self):
    if self._stage.policy is None:
      raise ExperimentError(
        f'stage {self._name!r} samples responses and names no policy to sample '
        'from; give it one'
      )
    return self._trained.params(self._stage.policy, 'policy')

  def _judge(self, role):
    if role not in self._stage.frozen:
      raise ExperimentError(
        f'stage {self._name!r} asks a {role} that it does not name; give it '
        f"frozen={{'{role}': …}}"
      )
    return self._stage.frozen[role]

  def _read(self, function, records, rows) -> np.ndarray:
    """`function` of batches of the records, `rows` at a time, row by row."""
    return of_batches(function, self._data, self._encoded(records), rows)

  def _read_by_scalar(self, role, function, records, rows) -> np.ndarray:
    """`function` of the model frozen in a role, its parameters and batches."""
    model = self._trained.scalar(self._stage.frozen[role], role)
    read = functools.partial(
      jax.jit(function, static_argnums=0), model, self._frozen[role]
    )
    data = self._read_by[role]  # Of the model's own tokenizer, if it has one.
    if data is self._data:
      return self._read(read, records, rows)
    examples, _ = data.encode_all(records)
    return of_batches(read, data, examples, rows)
