"""Running a stage that writes a dataset, going on where a file breaks off."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax.data.encoding import Example
from rlhf_jax.experiment import records as lines
from rlhf_jax.experiment.chain import Chain
from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.learners import ranking
from rlhf_jax.stages import DatasetStage, Tools, Written
from rlhf_jax.training import metrics
from rlhf_jax.types import Comparison, Prompt, Rated

MOST_ASKED = 20  # Prompts asked for each record, before a stage gives up.
MOST_ROWS = 256  # Prompts or responses in the models at a time.


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
  size = bench.turn_size
  turn, found = len(done), sum(len(row['records']) for row in done)
  progress = metrics.Progress(
    name,
    config.count or len(examples),
    start=found if config.count else asked_by(config, size, examples, turn),
    out=chain.console,
  )
  with partial.open('a') as file, jax.set_mesh(chain.mesh):
    while not finished(config, size, examples, turn, found):
      records, tools = bench.turn(turn)
      written = stage.write(records, tools, config=config)
      if not isinstance(written, Written):
        written = Written(written, {})
      made = list(map(lines.row, written.records))
      done.append({'records': made, 'facts': dict(written.facts)})
      file.write(json.dumps(done[-1]) + '\n')
      file.flush()
      turn, found = turn + 1, found + len(made)
      asked = asked_by(config, size, examples, turn)
      if config.count and asked > MOST_ASKED * max(found, size):
        raise ExperimentError(too_few(name, stage, asked, found))
      progress.show(min(found, config.count) if config.count else asked, {})
  rows = [line for row in done for line in row['records']][: config.count]
  if not rows:
    raise ExperimentError(
      f'stage {name!r} wrote no record out of {len(examples)} of '
      f'{stage.data!r}; look at what its config keeps'
    )
  lines.write(folder / 'records.jsonl', rows)
  partial.unlink()
  asked = asked_by(config, size, examples, turn)
  told = {name: fact for row in done for name, fact in row['facts'].items()}
  return told | {'records': len(rows), 'asked': asked}


def asked_by(config, size, examples, turn) -> int:
  """How many records the turns before this one, of `size`, went over."""
  asked = turn * size
  return asked if config.count else min(asked, len(examples))


def finished(config, size, examples, turn, found) -> bool:
  """Whether there are `count` records or, without one, all were asked once."""
  if config.count is None or config.batch_size is None:
    return asked_by(config, size, examples, turn) >= len(examples)
  return found >= config.count


def too_few(name, stage, asked, found) -> str:
  """What is said of a stage that would never end."""
  if stage.policy is None:
    return (
      f'stage {name!r} went over {asked} records of {stage.data!r} and made '
      f'{found} of them; look at what its config asks of a record'
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
    self.turn_size = self._stage.config.batch_size or len(examples)
    self._rows = min(self.turn_size, MOST_ROWS)
    self._models = chain.models(self._stage.frozen)
    self._frozen = chain.frozen(self._stage)
    self._key = chain.key(name)

  def turn(self, turn: int) -> tuple[list[Any], Tools]:
    """The records of a turn, and tools that are about these."""
    first, count = turn * self.turn_size, len(self._examples)
    last = first + self.turn_size
    if self._stage.config.count is None:
      last = min(last, count)
    places = range(first, last)
    some = [self._examples[place % count] for place in places]

    def sample(*, samples, sampling, ended=False, prompts=None):
      asked = some if prompts is None else self._encoded(prompts)
      texts = []
      for begin in range(0, len(asked), self._rows):
        part = asked[begin : begin + self._rows]
        rollouts = self._models.sampler(
          self._policy(),
          self._chain.prompts(part, first + begin, self._rows),
          self._key,
          samples=samples,
          sampling=sampling,
        )
        texts += self._texts(rollouts, ended)[: len(part)]
      return texts

    bits = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(self._key, i)))
    seeds = np.asarray(bits(np.arange(first, last))).tolist()
    tools = Tools(sample, self.score, self.prefer, self.rate, seeds)
    return [example.record for example in some], tools

  def score(self, comparisons: Sequence[Comparison]) -> list[np.ndarray]:
    """[K] scores of each comparison's responses, by the frozen reward."""
    reward = self._judge('reward')
    # What a response was conditioned on is not for its judge to see.
    asked = [
      (c.prompt._replace(condition=''), text)
      for c in comparisons
      for text in c.responses
    ]
    if not asked:
      return []
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

  def rate(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> np.ndarray:
    """[N, M] ratings of responses by the frozen attribute model."""
    self._judge('attributes')
    rated = [
      Rated(prompt._replace(condition=''), response, ())
      for prompt, response in zip(prompts, responses, strict=True)
    ]
    read = jax.jit(self._models.reward.scores)
    params = self._frozen['attributes']
    parts = [
      np.asarray(read(params, batch.tokens, batch.attention_mask))[:used]
      for batch, used in self._batches(rated, self._rows)
    ]
    return np.concatenate(parts)

  def _texts(self, rollouts, ended):
    texts = self._chain.texts(rollouts)
    if not ended:
      return texts
    return [
      [text for text, whole in zip(*pair, strict=True) if whole]
      for pair in zip(texts, np.asarray(rollouts.ended), strict=True)
    ]

  def _encoded(self, records):
    """Examples of all records; none may be too long."""
    examples, _ = self._chain.encode(records)
    if len(examples) < len(records):
      raise ExperimentError(
        f'stage {self._name!r} has prompts that are longer than '
        'max_prompt_tokens; drop them from its data, or raise the limit'
      )
    return examples

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
    examples = self._encoded(comparisons)
    for first in range(0, len(examples), rows):
      some = examples[first : first + rows]
      yield self._chain.batch(some, rows), len(some)


def fitting(count: int, most: int) -> int:
  """Rows for `count` of them, from few sizes: each is compiled once."""
  return min(most, max(8, 1 << (count - 1).bit_length()))
