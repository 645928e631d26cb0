"""What all sides share: jobs, token ids, FLOPs, and how they wait their turn.

Each side imports this in a Python of its own, so that it needs numpy alone.
"""

import contextlib
import dataclasses
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

PAD, BOS, EOS, FIRST = 0, 1, 2, 3  # Ids below FIRST occur nowhere in the data.
GROUP = 4  # GRPO's responses to a prompt.
MINIBATCHES = 4  # PPO's.
STEPS = 10_000  # More than are ever made.
CANDIDATES = {'sft': 1, 'dpo': 2, 'reward': 2}  # In the data; else prompts.


@dataclasses.dataclass(frozen=True)
class Shape:
  """A Llama in float32: RMSNorm, RoPE, grouped queries, SwiGLU."""

  vocab: int
  layers: int
  width: int
  heads: int
  kv_heads: int
  mlp: int
  tied: bool

  @property
  def head(self) -> int:
    """The width of a head."""
    return self.width // self.heads

  @property
  def trunk(self) -> int:
    """Parameters of the layers that are factors of products."""
    attention = 2 * self.width * self.head * (self.heads + self.kv_heads)
    return self.layers * (attention + 3 * self.width * self.mlp)

  def reading(self, length: int, scored: int | None = None) -> int:
    """FLOPs of reading a row, with logits at `scored` tokens, or at all."""
    scored = length if scored is None else scored
    products = self.trunk * length + self.vocab * self.width * scored
    return 2 * products + 2 * self.layers * self.width * length**2

  def writing(self, prompt: int, response: int) -> int:
    """FLOPs of reading a prompt and decoding a response over a cache."""
    seen = sum(range(prompt + 1, prompt + response))
    token = 2 * (self.trunk + self.vocab * self.width)
    attention = 4 * self.layers * self.width * seen
    return self.reading(prompt, 1) + (response - 1) * token + attention


SMALL = Shape(4096, 4, 256, 8, 4, 704, tied=False)
MEDIUM = Shape(49152, 30, 576, 9, 3, 1536, tied=True)  # SmolLM2-135M's.
TINY = Shape(64, 2, 32, 4, 2, 64, tied=False)


@dataclasses.dataclass(frozen=True)
class Job:
  """What is timed: one step, over and over.

  Attributes:
    kind: sft, dpo, reward, generate, ppo or grpo.
    shape: of all models.
    rows: of demonstrations, of pairs or of prompts; all are full.
    prompt, response: tokens.
    cold: the seconds are those of a process from its start to its first step.
  """

  kind: str
  shape: Shape
  rows: int
  prompt: int
  response: int
  cold: bool = False

  @property
  def length(self) -> int:
    """Tokens of a row."""
    return self.prompt + self.response

  @property
  def flops(self) -> int:
    """The least of a step: 6 N a trained token, 2 N one that is read."""
    shape, rows = self.shape, self.rows
    read = shape.reading(self.length)
    if self.kind == 'sft':
      return 3 * rows * read
    if self.kind == 'dpo':  # The reference reads what the policy learns.
      return (3 + 1) * 2 * rows * read
    if self.kind == 'reward':
      return 3 * 2 * rows * shape.reading(self.length, 0)
    written = shape.writing(self.prompt, self.response)
    if self.kind == 'generate':
      return rows * written
    read = shape.reading(self.length, self.response)
    if self.kind == 'grpo':  # The reference reads; the policy learns.
      return GROUP * rows * (written + (1 + 3) * read)
    # Policy and reference read what was written, then the policy learns; the
    # reward model and the critic do likewise.
    policy, scalar = (2 + 3) * read, (2 + 3) * shape.reading(self.length, 0)
    return rows * (written + policy + scalar)

  def ids(self, candidates: int, batches: int = 8) -> np.ndarray:
    """[batches, rows, candidates, T] int32; candidates share their prompt."""
    rng = np.random.default_rng(0)
    lead = (batches, self.rows)
    vocab = self.shape.vocab
    asked = rng.integers(FIRST, vocab, (*lead, 1, self.prompt))
    said = rng.integers(FIRST, vocab, (*lead, candidates, self.response))
    said[..., -1] = EOS
    asked = np.broadcast_to(asked, (*lead, candidates, self.prompt))
    return np.concatenate([asked, said], axis=-1).astype(np.int32)

  def tiny(self) -> 'Job':
    """The same kind of job, in a second."""
    return dataclasses.replace(self, shape=TINY, rows=4, prompt=4, response=4)

  def as_argument(self) -> str:
    """As `asked` reads it."""
    return json.dumps(dataclasses.asdict(self))


JOBS = {
  'sft_s': Job('sft', SMALL, 8, 64, 192),
  'sft_m': Job('sft', MEDIUM, 4, 64, 192),
  'dpo_s': Job('dpo', SMALL, 8, 64, 192),
  'dpo_m': Job('dpo', MEDIUM, 2, 64, 192),
  'dpo_s_1024': Job('dpo', SMALL, 8, 256, 768),
  'reward_s': Job('reward', SMALL, 8, 64, 192),
  'generate_s': Job('generate', SMALL, 32, 64, 128),
  'generate_m': Job('generate', MEDIUM, 8, 64, 32),
  'ppo_s': Job('ppo', SMALL, 32, 64, 64),
  'grpo_s': Job('grpo', SMALL, 8, 64, 64),
  'sft_cold': Job('sft', SMALL, 8, 64, 192, cold=True),
  'ppo_cold': Job('ppo', SMALL, 32, 64, 64, cold=True),
}


def asked() -> Job:
  """The job that the command line names."""
  fields = json.loads(sys.argv[1])
  return Job(**fields | {'shape': Shape(**fields['shape'])})


class Gate:
  """Lets so many steps pass as the driver asks for, and tells their seconds.

  A loop of ours calls `repeat`; a trainer of others `open` before each step and
  `close` after it. What libraries print goes to stderr.
  """

  def __init__(self):
    self._left = 0
    self._out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)

  def open(self) -> None:
    """Before a step: waits to be asked for some; ends the process for none."""
    if self._left:
      return
    self._tell(ready=True)
    steps = int(sys.stdin.readline().strip() or 0)
    if not steps:
      most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
      self._tell(peak_mib=most / 1024)
      os._exit(0)
    self._steps = self._left = steps
    self._began = time.perf_counter(), time.process_time()

  def close(self, wait: Callable[[], object] = lambda: None) -> None:
    """After a step. `wait` returns once it is done; called after the last."""
    self._left -= 1
    if self._left:
      return
    wait()
    ended = time.perf_counter(), time.process_time()
    seconds, processor = (
      (b - a) / self._steps for a, b in zip(self._began, ended, strict=True)
    )
    self._tell(seconds=seconds, processor=processor)

  @contextlib.contextmanager
  def step(self) -> Iterator[None]:
    """Around a step that is done when it returns."""
    self.open()
    yield
    self.close()

  def repeat(self, step: Callable[[], Callable[[], object]]) -> None:
    """`step()` begins one, and returns what waits for it; until told to end."""
    while True:
      self.open()
      self.close(step())

  def _tell(self, **facts):
    print(json.dumps(facts), file=self._out, flush=True)
