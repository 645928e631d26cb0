"""Formats of answers to a prompt, one of two of which is the better one."""

import itertools
from collections.abc import Iterator
from typing import Any

from rlhf_jax.data import fields, readers
from rlhf_jax.data.formats import conversations
from rlhf_jax.data.formats.conversations import Unusable
from rlhf_jax.data.formats.format import Format
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.readers import Row, one_turn
from rlhf_jax.types import Comparison, Prompt


def _either(
  prompt: Prompt,
  responses: tuple[str, str],
  winner: Any,
  models: tuple[str, ...] = (),
):
  """A comparison of two, of which `winner` (0 or 1; None for a tie) is best."""
  if winner is None:
    raise Unusable('nobody preferred one of the two')
  responses, models = (
    given[::-1] if winner else given for given in (responses, models)
  )
  yield Comparison(prompt, responses, models=models)


def _one_of(*values: Any, tie: tuple[Any, ...] = ()) -> fields.Parser:
  """The place of a value among some, or None for one that says a tie."""

  def parse(value: Any) -> int | None:
    known = () if isinstance(value, bool | list | dict) else (*values, *tie)
    if value not in known:
      given = f'{value}'[:20] if type(value) in (int, float) else ''
      raise fields.Fault(
        f'must be {", ".join(map(str, values[:-1]))} or {values[-1]}, not '
        f'{given or fields.kind(value)}.'
      )
    return values.index(value) if value in values else None

  return parse


def _hh(row: Row, where: str) -> Iterator[Comparison]:
  asked, said = [], []
  for name in ('chosen', 'rejected'):
    turns = conversations.alternating(row[name])
    before, answer = conversations.answered(turns)
    asked.append(before)
    said.append(answer)
  if asked[0] != asked[1]:
    raise Unusable('the two conversations differ before the last answer')
  yield Comparison(Prompt(asked[0], where=where), tuple(said))


# Bai et al. 2022: both whole conversations, as text.
HH_RLHF = Format(
  'HH-RLHF',
  {'chosen': conversations.dialogue, 'rejected': conversations.dialogue},
  _hh,
)


def _scored(row: Row, where: str) -> Iterator[Comparison]:
  messages, responses = conversations.pair(row)
  scores = (row['score_chosen'], row['score_rejected'])
  margin = scores[0] - scores[1]
  if margin < 0.0:
    raise DataError(
      f'{where}: the rejected response scores {-margin:g} more than the chosen '
      'one; swap them.'
    )
  yield Comparison(Prompt(messages, where=where), responses, margin, scores)


# Cui et al. 2023, as Tunstall et al. 2023 made pairs of it: a judge's scores.
ULTRAFEEDBACK = Format(
  'UltraFeedback binarized',
  fields.ignored('id source prompt_id')
  | {
    'prompt': fields.Optional(conversations.said),
    'chosen': conversations.said,
    'rejected': conversations.said,
    'messages': fields.IGNORED,
    'score_chosen': fields.number,
    'score_rejected': fields.number,
  },
  _scored,
)


def _preference(row: Row, where: str) -> Iterator[Comparison]:
  messages, responses = conversations.pair(row)
  prompt = Prompt(messages, row['subset'], where)
  models = readers.all_named(row['chosen_model'], row['rejected_model'])
  yield Comparison(prompt, responses, row['margin'], models=models)


# Plain or conversational, the prompt given or what the two begin with.
TRL_PREFERENCE = Format(
  'TRL preference',
  {
    'id': fields.IGNORED,
    'subset': fields.TEXT_OR_EMPTY,
    'prompt_id': fields.IGNORED,
    'prompt': fields.Optional(conversations.said),
    'chosen': conversations.said,
    'rejected': conversations.said,
    'margin': fields.Optional(fields.number, 0.0),
    'tools': fields.Optional(conversations.absent),
    'chosen_model': fields.NAME,  # As RewardBench has them.
    'rejected_model': fields.NAME,
  },
  _preference,
)


def _each_against_each(row: Row, where: str) -> Iterator[Comparison]:
  prompt = one_turn(row['prompt'], row['subset'], where)
  for pair in itertools.product(row['chosen'], row['rejected']):
    yield Comparison(prompt, pair)


# Malik et al. 2025: right completions, of which there are several to questions
# that have several answers, each better than each wrong one.
REWARD_BENCH_2 = Format(
  'RewardBench 2',
  {
    'id': fields.IGNORED,
    'prompt': fields.filled,
    'chosen': fields.list_of(fields.text, least=1),
    'rejected': fields.list_of(fields.text, least=1),
    'subset': fields.TEXT_OR_EMPTY,
  }
  | fields.ignored(
    'num_correct num_incorrect total_completions models additional_metadata'
  ),
  _each_against_each,
)


def _task(row: Row, where: str, kind: str = '') -> Prompt:
  """The prompt of an instruction and its input."""
  task = readers.with_input(row['instruction'], row.get('input') or '')
  return one_turn(task, kind, where)


def _alpaca_farm(row: Row, where: str) -> Iterator[Comparison]:
  responses = (row['output_1'], row['output_2'])
  models = readers.all_named(row['generator_1'], row['generator_2'])
  yield from _either(_task(row, where), responses, row['preference'], models)


# Dubois et al. 2023.
ALPACA_FARM = Format(
  'AlpacaFarm preferences',
  {
    'instruction': fields.filled,
    'input': fields.TEXT_OR_EMPTY,
    'output_1': fields.text,
    'output_2': fields.text,
    'preference': _one_of(1, 2, tie=(0, 1.5, None)),
    'generator_1': fields.NAME,
    'generator_2': fields.NAME,
  }
  | fields.ignored(
    'raw_preference annotator annotator_index dataset datasplit generator '
    'is_inverted raw_completion price_per_example time_per_example'
  ),
  _alpaca_farm,
)


def _pku(row: Row, where: str) -> Iterator[Comparison]:
  prompt = one_turn(row['prompt'], where=where)
  responses = (row['response_0'], row['response_1'])
  models = readers.all_named(row['response_0_source'], row['response_1_source'])
  yield from _either(prompt, responses, row['better_response_id'], models)


# Ji et al. 2023. The more helpful response is preferred, safe or not.
PKU_SAFE_RLHF = Format(
  'PKU-SafeRLHF',
  {
    'prompt': fields.filled,
    'prompt_source': fields.IGNORED,
    'response_0': fields.text,
    'response_1': fields.text,
    'better_response_id': _one_of(0, 1, tie=(None,)),
    'response_0_source': fields.NAME,
    'response_1_source': fields.NAME,
  }
  | fields.ignored(
    'safer_response_id is_response_0_safe response_0_harm_category '
    'response_0_severity_level response_0_sha256 is_response_1_safe '
    'response_1_harm_category response_1_severity_level response_1_sha256'
  ),
  _pku,
)


def _summaries(row: Row, where: str) -> Iterator[Comparison]:
  info = row['info']
  if info['post'] is None and info['article'] is None:
    raise fields.Fault("has neither 'post' nor 'article'.", "field 'info'")
  said = f'ARTICLE: {info["article"]}\n\nTL;DR:'
  if info['post'] is not None:
    said = (
      f'SUBREDDIT: r/{info["subreddit"]}\n\nTITLE: {info["title"]}\n\n'
      f'POST: {info["post"]}\n\nTL;DR:'
    )
  first, second = (summary['text'] for summary in row['summaries'])
  models = readers.all_named(*(one['policy'] for one in row['summaries']))
  prompt = one_turn(said, where=where)
  yield from _either(prompt, (first, second), row['choice'], models)


def _two(value: Any) -> list[Any]:
  read = fields.list_of(
    fields.object_of(
      {'text': fields.text, 'policy': fields.NAME, 'note': fields.IGNORED}
    ),
    least=2,
  )(value)
  if len(read) > 2:
    raise fields.Fault(f'must hold 2, and holds {len(read)}.')
  return read


# Stiennon et al. 2020: posts with their title and subreddit, asked as there.
SUMMARIES = Format(
  'summarize_from_feedback comparisons',
  {
    'info': fields.object_of(
      {
        'id': fields.IGNORED,
        'post': fields.or_null(fields.filled),
        'title': fields.or_null(fields.text, ''),
        'subreddit': fields.or_null(fields.text, ''),
        'site': fields.IGNORED,
        'article': fields.or_null(fields.filled),
      }
    ),
    'summaries': _two,
    'choice': _one_of(0, 1),
  }
  | fields.ignored('worker batch split extra'),
  _summaries,
)


def _labelled(row: Row, where: str) -> Iterator[Comparison]:
  responses = (row['output_1'], row['output_2'])
  prompt = _task(row, where, row['subset'])
  yield from _either(prompt, responses, row['label'])


# Zeng et al. 2023.
LLMBAR = Format(
  'LLMBar',
  {
    'id': fields.IGNORED,
    'subset': fields.TEXT_OR_EMPTY,
    'instruction': fields.filled,
    'output_1': fields.text,
    'output_2': fields.text,
    'label': _one_of(1, 2),
  },
  _labelled,
)


def _pandalm(row: Row, where: str) -> Iterator[Comparison]:
  prompt = _task(row, where)
  responses = (row['response_1'], row['response_2'])
  models = readers.all_named(row['model_1'], row['model_2'])
  if row['label'] == _PANDALM.index(0):
    yield Comparison(prompt, responses, scores=(0.0, 0.0), models=models)
  else:
    yield from _either(prompt, responses, row['label'], models)


_PANDALM = (1, 2, 0)

# Wang et al. 2023: the majority of three people. That both are as good is a
# verdict too: to measure judges on, though nothing is learnt from it.
PANDALM = Format(
  'PandaLM',
  {
    'id': fields.IGNORED,
    'instruction': fields.filled,
    'input': fields.TEXT_OR_EMPTY,
    'response_1': fields.text,
    'response_2': fields.text,
    'label': _one_of(*_PANDALM, tie=(None,)),
    'model_1': fields.NAME,
    'model_2': fields.NAME,
    'annotators': fields.IGNORED,
  },
  _pandalm,
)
