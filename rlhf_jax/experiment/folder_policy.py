"""Language models in folders of transformers, asked without an experiment."""

import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax import processes, progress, sharding
from rlhf_jax.addressing import describe, digest
from rlhf_jax.data import chat_templates, tokens
from rlhf_jax.data.limits import Limits, columns_of
from rlhf_jax.data.sources import Corpus
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.experiment.models import AnsweredPrompts, models_of, respond
from rlhf_jax.feedback.endpoint import Answer
from rlhf_jax.generation.draws import greedy
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.models import huggingface
from rlhf_jax.types import Message, Params, Prompt

MAX_ROWS = 256  # Responses sampled at a time.
ROWS = 8  # Conversations read at a time.


def fingerprint(folder: str | pathlib.Path, limits: Limits) -> str:
  """Changes when a folder's content, or the limits, do."""
  texts = [path.read_text() for path in tokens.files(folder)]
  return digest(huggingface.fingerprint(folder), texts, describe(limits))


class FolderPolicy:
  """A language model in a folder, with its own tokenizer and chat template.

  Attributes:
    name: of the folder, as reports have it.
  """

  def __init__(
    self,
    folder: str | pathlib.Path,
    *,
    limits: Limits,
    console: TextIO,
    trained: Callable[[jax.sharding.Mesh], Params] | None = None,
  ):
    """Reads the folder.

    Args:
      folder: with config.json, safetensors and a tokenizer.
      limits: of tokens in prompts and responses.
      console: where progress is shown.
      trained: mesh -> parameters that began as the folder's, and that answer in
        their place.

    Raises:
      CheckpointError: it is not whole.
      ExperimentError: it holds a reward model.
      VocabularyError: it has no tokenizer.
    """
    self.name = pathlib.Path(folder).resolve().name
    self._folder, self._console = str(folder), console
    self._mesh = sharding.make_mesh(devices=processes.devices())
    if huggingface.open_folder(folder).scores is not None:
      raise ExperimentError(
        f'{folder} holds a reward model, which says nothing; give the folder '
        'of a language model'
      )
    self._tokenizer = tokens.load(folder)
    if trained is None:
      self._config, self._params = huggingface.read(folder, self._mesh)
    else:
      self._config = huggingface.config_of(folder)
      self._params = trained(self._mesh)
    self._template = chat_templates.of(self._tokenizer)
    self._data = Data(
      corpus=Corpus(self._tokenizer, self._template, {}),
      written={},
      limits=limits,
      mesh=self._mesh,
      max_rows=MAX_ROWS,
      console=console,
    )
    self._models = models_of(
      self._config, self._tokenizer, max_response=limits.max_response_tokens
    )

  def refusals(self, prompts: Sequence[Prompt]) -> list[str | None]:
    """Why each prompt is too long to be answered; None where it is not.

    Of what the limits allow, and of what the folder's config.json says that a
    row, with the longest response, has at most.
    """
    limits, most = self._data.limits, self._data.limits.max_prompt_tokens
    room = huggingface.longest(self._folder)
    if room is not None:
      most = min(most, room - limits.max_response_tokens)
    asked = [(prompt, ()) for prompt in prompts]
    found = self._template.encode_all(asked, self._tokenizer)
    why = (
      f'longer than the {most} tokens that {self.name} reads, with '
      f'{limits.max_response_tokens} to reply'
    )
    return [why if len(one.prompt_ids) > most else None for one in found]

  def respond(
    self, prompts: Sequence[Prompt], key: jax.Array, **how: Any
  ) -> Iterator[AnsweredPrompts]:
    """Its answers to prompts; further arguments as of `models.respond`."""
    with jax.set_mesh(self._mesh):
      yield from respond(
        self._data, self._models, self._params, prompts, key, **how
      )

  def option_logps(
    self, prompts: Sequence[Prompt], options: Sequence[str]
  ) -> np.ndarray:
    """[N, K] log-probs that a response begins as each of K options does, nats.

    Of the first token in which the options differ.

    Raises:
      ExperimentError: a conversation is longer than the model reads, or two
        options begin alike.
    """
    found = self._template.encode_all(
      [(prompt, options) for prompt in prompts], self._tokenizer
    )
    asked = [
      _opened(
        [[*one.prompt_ids, *one.response_ids(option)] for option in options],
        options,
      )
      for one in found
    ]
    longest = self._config.longest
    for prompt, (ids, _) in zip(prompts, asked, strict=True):
      if longest is not None and len(ids) > longest:
        raise ExperimentError(
          f'{prompt.place} is asked about in {len(ids)} tokens, and '
          f'{self._folder} reads {longest}'
        )
    logps = np.zeros((len(asked), len(options)), np.float32)
    order = sorted(range(len(asked)), key=lambda i: len(asked[i][0]))
    parts = [order[i : i + ROWS] for i in range(0, len(order), ROWS)]
    for some in progress.track(
      parts, f'{self.name} reads', len(parts), out=self._console, unit='batch'
    ):
      logps[some] = self._next_logps([asked[i] for i in some])
    return logps

  def _next_logps(self, asked):
    """[N, K] log-probs of next tokens, of at most ROWS conversations."""
    columns = columns_of(max(len(ids) for ids, _ in asked))
    if self._config.longest is not None:  # None of them is longer.
      columns = min(columns, self._config.longest)
    ids = np.zeros((ROWS, columns), np.int32)
    mask = np.zeros((ROWS, columns), bool)
    mask[:, 0] = True  # Rows that are not filled have a token too.
    for row, (said, _) in enumerate(asked):
      ids[row, : len(said)] = said
      mask[row, : len(said)] = True
    batch = sharding.place_batch((ids, mask), self._mesh)
    logps = np.asarray(self._read(self._params, *batch))
    return [logps[row, first] for row, (_, first) in enumerate(asked)]

  @functools.cached_property
  def _read(self):
    """(parameters, ids [B, T], mask) -> log-probs [B, V] of what comes next."""
    model = self._models.policy

    @jax.jit
    def read(params, ids, mask):
      hidden = model.hidden(params, ids, mask)
      last = jnp.sum(mask, axis=-1) - 1
      ends = hidden[jnp.arange(len(ids)), last]
      logits = model.logits(params, ends)
      return jax.nn.log_softmax(logits.astype(jnp.float32))

    return read


class FolderChat:
  """A model in a folder, asked as one behind an endpoint is.

  Where options are offered it is not sampled: their log-probs are read. A
  question that is too long is refused, and the others are answered. What it
  once replied it replies again.

  Attributes:
    name: of the folder.
    temperature: that it is sampled at; 0 is greedy.
  """

  def __init__(self, policy: FolderPolicy, *, temperature: float = 0.0):
    """Asks `policy`, whose limits count, at a temperature; 0 is greedy."""
    self.name, self._policy = policy.name, policy
    self.temperature = temperature
    self._key, self._known = jax.random.key(0), {}
    self._sampling = sampling_at(temperature)

  def answers(
    self,
    conversations: Sequence[Sequence[Message]],
    *,
    options: Sequence[str] = (),
  ) -> list[Answer]:
    """Its replies to N conversations; equal ones have one, now and later."""
    asked = _asked(conversations, options)
    new = [one for one in dict.fromkeys(asked) if one not in self._known]
    prompts = [Prompt(said) for said, _ in new]
    why = self._policy.refusals(prompts) if new else []
    short = [x for x, said in zip(prompts, why, strict=True) if said is None]
    replies = iter(self._replies(short, options) if short else [])
    said = [next(replies) if x is None else Answer('', refusal=x) for x in why]
    self._known |= zip(new, said, strict=True)
    return [self._known[one] for one in asked]

  def kept(
    self,
    conversations: Sequence[Sequence[Message]],
    *,
    options: Sequence[str] = (),
  ) -> list[Answer | None]:
    """What it replied in this process; and, in any, what it refuses to."""
    asked = _asked(conversations, options)
    why = self._policy.refusals([Prompt(tuple(x)) for x in conversations])
    return [
      self._known.get(one) if said is None else Answer('', refusal=said)
      for one, said in zip(asked, why, strict=True)
    ]

  def _replies(self, prompts, options):
    """Its replies to prompts of which none is too long."""
    if options:
      rows = self._policy.option_logps(prompts, options)
      return [
        Answer(
          options[int(np.argmax(row))],
          dict(zip(options, row.tolist(), strict=True)),
        )
        for row in rows
      ]
    parts = self._policy.respond(
      prompts,
      self._key,
      samples=1,
      sampling=self._sampling,
      batch_size=min(len(prompts), ROWS),
    )
    return [Answer(str(texts[0])) for part in parts for texts in part.texts]


def _asked(conversations, options):
  """What tells questions apart."""
  return [(tuple(one), tuple(options)) for one in conversations]


def sampling_at(temperature: float) -> Sampling:
  """Sampling at a temperature; 0 is greedy."""
  if temperature:
    return Sampling(temperature=temperature)
  return Sampling(temperature=None, draw=greedy)


def _opened(rows, options):
  """What a conversation's ids have in common, and the next id of each."""
  places = enumerate(zip(*rows, strict=False))
  shared = next((i for i, ids in places if len(set(ids)) > 1), None)
  following = [] if shared is None else [ids[shared] for ids in rows]
  if len(set(following)) < len(rows):
    raise ExperimentError(
      f'the options {" and ".join(options)} begin with the same token; give '
      'options that differ from the first letter on'
    )
  return rows[0][:shared], following
