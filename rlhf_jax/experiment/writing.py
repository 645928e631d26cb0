"""Running a stage that writes a dataset, going on where a file breaks off."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax.data.encoding import Example
from rlhf_jax.experiment.chain import Chain, comparison_row
from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.learners import ranking
from rlhf_jax.stages import DatasetStage, Tools
from rlhf_jax.training import metrics
from rlhf_jax.types import Comparison

MOST_ASKED = 20  # Prompts asked for each record, before a stage gives up.


def write(chain: Chain, name: str) -> dict[str, Any]:
  """Writes records.jsonl of a dataset stage. Returns facts for people."""
  stage: DatasetStage = chain.experiment.stages[name]
  config, folder = stage.config, chain.folder(name).path
  examples, _ = chain.encode(chain.records(stage.data))
  partial = folder / 'records.partial.jsonl'
  # One line a batch, so that a line cut off by a kill costs one batch.
  done = metrics.read_jsonl(partial) if partial.exists() else []
  partial.write_text(''.join(json.dumps(row) + '\n' for row in done))
  bench = Bench(chain, name, examples)
  turn, found = len(done), sum(map(len, done))
  progress = metrics.Progress(
    name,
    config.count or len(examples),
    start=found if config.count else asked_by(config, examples, turn),
    out=chain.console,
  )
  with partial.open('a') as file, jax.set_mesh(chain.mesh):
    while not finished(config, examples, turn, found):
      records, tools = bench.turn(turn)
      written = stage.write(records, tools, config=config)
      rows = [comparison_row(record) for record in written]
      file.write(json.dumps(rows) + '\n')
      file.flush()
      done.append(rows)
      turn, found = turn + 1, found + len(rows)
      asked = asked_by(config, examples, turn)
      if config.count and asked > MOST_ASKED * max(found, config.batch_size):
        raise ExperimentError(too_few(name, stage, asked, found))
      progress.show(min(found, config.count) if config.count else asked, {})
  rows = [row for rows in done for row in rows][: config.count]
  staged = folder / 'records.whole.jsonl'
  staged.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  staged.replace(folder / 'records.jsonl')
  partial.unlink()
  return {'records': len(rows), 'asked': asked_by(config, examples, turn)}


def asked_by(config, examples, turn) -> int:
  """How many records the turns before this one went over."""
  asked = turn * config.batch_size
  return asked if config.count else min(asked, len(examples))


def finished(config, examples, turn, found) -> bool:
  """Whether there are `count` records or, without one, all were asked once."""
  if config.count is None:
    return asked_by(config, examples, turn) == len(examples)
  return found >= config.count


def too_few(name, stage, asked, found) -> str:
  """What is said of a stage that would never end."""
  if stage.policy is None:
    return (
      f'stage {name!r} went over {asked} records of {stage.data!r} and made '
      f'{found} comparisons of them; look at what its config asks of a record'
    )
  return (
    f'stage {name!r} asked {asked} prompts and could rank {found} of their '
    f'answers; is {stage.policy!r} so sure that it answers the same twice? '
    'Sample at a higher temperature'
  )


class Bench:
  """The tools that a dataset stage works with, turn by turn."""

  def __init__(self, chain: Chain, name: str, examples: Sequence[Example]):
    self._chain, self._name, self._examples = chain, name, examples
    self._stage: DatasetStage = chain.experiment.stages[name]
    self._rows = self._stage.config.batch_size
    self._models = chain.models()
    self._frozen = chain.frozen(self._stage)
    self._key = chain.key(name)

  def turn(self, turn: int) -> tuple[list[Any], Tools]:
    """The records of a turn, and tools that are about these."""
    first, count = turn * self._rows, len(self._examples)
    last = first + self._rows
    if self._stage.config.count is None:
      last = min(last, count)
    places = range(first, last)
    some = [self._examples[place % count] for place in places]
    prompts = self._chain.prompts(some, first, self._rows)

    def sample(samples, sampling):
      rollouts = self._models.sampler(
        self._policy(), prompts, self._key, samples=samples, sampling=sampling
      )
      return self._chain.texts(rollouts)[: len(some)]

    bits = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(self._key, i)))
    seeds = np.asarray(bits(np.arange(first, last))).tolist()
    tools = Tools(sample, self.score, self.prefer, seeds)
    return [example.record for example in some], tools

  def score(self, comparisons: Sequence[Comparison]) -> list[np.ndarray]:
    """[K] scores of each comparison's responses, by the frozen reward."""
    reward = self._judge('reward')
    if not comparisons:
      return []
    asked = [(c.prompt, text) for c in comparisons for text in c.responses]
    if callable(reward):
      flat = np.asarray(reward(*zip(*asked, strict=True)), np.float32)
    else:
      singles = [Comparison(prompt, (text,)) for prompt, text in asked]
      parts = [
        np.asarray(self._models.scorer(self._frozen, batch))[:used, 0]
        for batch, used in self._batches(singles, self._rows)
      ]
      flat = np.concatenate(parts)
    ends = np.cumsum([len(c.responses) for c in comparisons])[:-1]
    return np.split(flat, ends)

  def prefer(self, pairs: Sequence[Comparison]) -> np.ndarray:
    """[N] log-odds that the frozen ranker prefers each pair's first."""
    self._judge('ranker')
    if not pairs:
      return np.zeros(0, np.float32)
    log_odds = jax.jit(ranking.log_odds, static_argnums=0)
    params = self._frozen['ranker']
    return np.concatenate(
      [
        np.asarray(log_odds(self._models.reward, params, batch))[:used]
        for batch, used in self._batches(pairs, fitting(len(pairs), self._rows))
      ]
    )

  def _policy(self):
    if self._stage.policy is None:
      raise ExperimentError(
        f'stage {self._name!r} samples responses and names no policy to sample '
        'from; give it one'
      )
    return self._chain.params(self._stage.policy, 'policy')

  def _judge(self, role):
    if role not in self._stage.frozen:
      raise ExperimentError(
        f'stage {self._name!r} asks a {role} that it does not name; give it '
        f"frozen={{'{role}': …}}"
      )
    return self._stage.frozen[role]

  def _batches(self, comparisons, rows) -> Iterator[tuple[Any, int]]:
    """Batches of one shape, and how many of their rows are comparisons."""
    examples, _ = self._chain.encode(comparisons)
    if len(examples) < len(comparisons):
      raise ExperimentError(
        f'stage {self._name!r} has prompts too long to be judged; drop them '
        'from its data'
      )
    for first in range(0, len(examples), rows):
      some = examples[first : first + rows]
      yield self._chain.batch(some, rows), len(some)


def fitting(count: int, most: int) -> int:
  """Rows for `count` of them, from few sizes: each is compiled once."""
  return min(most, max(8, 1 << (count - 1).bit_length()))
