"""What policies answer to a benchmark, kept as it comes."""

import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from launch import policies
from rlhf_jax import progress
from rlhf_jax.addressing import digest
from rlhf_jax.data import limits
from rlhf_jax.evaluation import model_outputs
from rlhf_jax.evaluation import questions as asking
from rlhf_jax.experiment.folder_policy import sampling_at
from rlhf_jax.storage import files
from rlhf_jax.training import stopping


class Answered(NamedTuple):
  """A policy's answers to N questions.

  Attributes:
    name: of the policy.
    texts: N, as a judge is shown them.
  """

  name: str
  texts: list[str]


def check(place: str) -> None:
  """Refuses what is neither a policy nor a file of answers.

  Raises:
    OptionError: it is neither.
  """
  if not pathlib.Path(place).is_file():
    policies.named(place)


def of(
  place: str,
  questions: Sequence[Any],
  options,
  *,
  first: Callable[[], None],
) -> Answered:
  """The answers of a policy, or those that a file holds.

  Args:
    place: of the policy, as of `policies.named`, or a file as AlpacaEval has
      them.
    questions: what is asked.
    options: of the command line; where its --out is, answers are kept.
    first: called before anything is sampled, to refuse what would fail later.

  Raises:
    OptionError: it is neither, or what `first` raises.
  """
  path = pathlib.Path(place)
  if path.is_file():
    texts, name = model_outputs.read(place, questions)
    return Answered(name, texts)
  policy = policies.named(place)
  answers: list[list[str]] = [[] for _ in questions]
  for turn in range(max(1 + len(q.later) for q in questions)):
    rows = [i for i, q in enumerate(questions) if turn <= len(q.later)]
    prompts = [asking.following(questions[i], answers[i]) for i in rows]
    texts = _answers(policy, prompts, options, first)
    for i, text in zip(rows, texts, strict=True):
      answers[i].append(text)
  pairs = zip(questions, answers, strict=True)
  texts = [asking.transcript(*pair) for pair in pairs]
  return Answered(policy.name, texts)


def _answers(policy, prompts, options, first) -> list[str]:
  """A policy's answers to prompts: those that are kept, or sampled now."""
  how = options.temperature, options.seed, options.at_a_time
  asked = [prompt.messages for prompt in prompts]
  known = digest(policy.fingerprint(_limits(options)), how, asked)
  path = options.out / f'answers-{known}.jsonl'
  rows = files.whole_rows(path, {'place': int, 'response': str})
  kept = {row['place']: row['response'] for row in rows}
  parts = [
    range(i, min(i + options.at_a_time, len(prompts)))
    for i in range(0, len(prompts), options.at_a_time)
  ]
  waiting = [part for part in parts if not all(i in kept for i in part)]
  if waiting:
    first()
    files.make_folder(options.out)
    sampled = _sampled(policy, prompts, waiting, options)
    for rows in progress.track(
      sampled,
      f'{policy.name} answers',
      len(waiting),
      out=sys.stderr,
      unit='round',
    ):
      files.append_lines(path, rows)
      kept |= {row['place']: row['response'] for row in rows}
      stopping.check()
  return [kept[i] for i in range(len(prompts))]


def _sampled(policy, prompts, parts, options) -> Iterator[list[dict[str, Any]]]:
  """The rows of answers to parts of the prompts, each of a key of its own."""
  answering = policy.opened(_limits(options), sys.stderr)
  sampling = sampling_at(options.temperature)
  key = jax.random.key(options.seed)
  for part in parts:
    (answered,) = answering.respond(
      [prompts[i] for i in part],
      jax.random.fold_in(key, part.start),
      samples=1,
      sampling=sampling,
      batch_size=options.at_a_time,
    )
    yield [
      {'place': i, 'response': str(text), 'ended': text.ended}
      for i, (text,) in zip(part, answered.texts, strict=True)
    ]


def _limits(options):
  return limits.Limits(
    max_prompt_tokens=options.max_prompt_tokens,
    max_response_tokens=options.max_tokens,
    overlong=limits.keep_end,
    buckets=tuple(
      2**n for n in range(6, 16) if 2**n < options.max_prompt_tokens
    ),
  )
