"""Formats of several answers to a prompt, in an order or with scores."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from rlhf_jax.data import fields, readers
from rlhf_jax.data.formats.format import Format
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.readers import LeftOut, Row, one_turn
from rlhf_jax.types import Comparison, Message, Prompt

MESSAGE = {
  'text': fields.text,
  'role': fields.text,
  'lang': fields.TEXT_OR_EMPTY,
  'rank': fields.or_null(fields.number),
  'deleted': fields.or_null(fields.flag, False),
} | fields.ignored(
  'message_id parent_id user_id created_date review_count review_result '
  'synthetic model_name detoxify message_tree_id tree_state emojis labels '
  'events'
)


def _node(value: Any) -> dict[str, Any]:
  """A message of a tree, with those that reply to it."""
  return _message(value)


_message = fields.object_of(
  MESSAGE | {'replies': fields.Optional(fields.list_of(_node), ())}
)


def _tree(row: Row, where: str) -> Iterator[Comparison | LeftOut]:
  yield from _below((), row['prompt'], where)


def _below(
  before: tuple[Message, ...], node: Row, where: str
) -> Iterator[Comparison | LeftOut]:
  role = 'assistant' if node['role'] == 'assistant' else 'user'
  said = (*before, Message(role, node['text']))
  if node['deleted'] or not fields.visible(node['text']):
    yield LeftOut(where, 'a message was deleted, with all that replies to it')
    return
  there = [reply for reply in node['replies'] if not reply['deleted']]
  if role == 'user' and len(there) > 1:
    yield _ranked(Prompt(said, node['lang'], where), there)
  for reply in node['replies']:
    yield from _below(said, reply, where)


def _ranked(prompt: Prompt, replies: list[Row]) -> Comparison | LeftOut:
  ranks = [reply['rank'] for reply in replies]
  if None in ranks or len(set(ranks)) < len(ranks):
    return LeftOut(prompt.where, 'replies to a message are not all ranked')
  best_first = sorted(replies, key=lambda reply: reply['rank'])
  return Comparison(prompt, tuple(reply['text'] for reply in best_first))


# Köpf et al. 2023: a comparison for every prompt with ranked answers. The
# language is the prompt's kind.
OASST_TREES = Format(
  'OASST trees',
  {
    'message_tree_id': fields.anything,
    'tree_state': fields.IGNORED,
    'origin': fields.IGNORED,
    'prompt': _node,
  },
  _tree,
)


def _ranking(row: Row, where: str) -> Iterator[Comparison]:
  ranks = [response['rank'] for response in row['responses']]
  for k, (better, worse) in enumerate(pairwise(ranks), start=2):
    if worse <= better:
      raise DataError(
        f"{where}: field 'responses' item {k} is of rank {worse:g} and the "
        f'one before it of rank {better:g}; ranks must grow from the best, '
        'which comes first.'
      )
  texts = tuple(response['text'] for response in row['responses'])
  yield Comparison(Prompt(row['prompt'], row['lang'], where), texts)


# The replies of a prompt of such a tree, the best first. The language is the
# prompt's kind.
OASST_RANKED = Format(
  'ranked replies',
  fields.ignored('id tree_id source')
  | {
    'lang': fields.TEXT_OR_EMPTY,
    'prompt': fields.turns,
    'responses': fields.list_of(
      fields.object_of(
        {
          'text': fields.filled,
          'rank': fields.number,
          'synthetic': fields.IGNORED,
        }
      ),
      least=2,
    ),
  },
  _ranking,
)


def _by_score(
  prompt: Prompt,
  scored: Iterable[tuple[str, float]],
  models: Iterable[str] = (),
) -> Iterator[Comparison]:
  """Of (response, score), best first; the margin is of the first two scores."""
  texts, scores = zip(*scored, strict=True)
  for k, (better, worse) in enumerate(pairwise(scores), start=2):
    if worse > better:
      raise DataError(
        f"{prompt.where}: field 'responses' item {k} scores {worse:g}, more "
        f'than the one before it ({better:g}); put the best first.'
      )
  yield Comparison(
    prompt,
    texts,
    scores[0] - scores[1],
    scores,
    models=readers.all_named(*models),
  )


def _scoring(row: Row, where: str) -> Iterator[Comparison]:
  prompt = one_turn(row['instruction'], row['dataset'], where)
  scored = ((one['output'], one['score']) for one in row['responses'])
  return _by_score(prompt, scored, (one['model'] for one in row['responses']))


# Outputs of many models that a judge scored, the best first.
SCORED_OUTPUTS = Format(
  'scored outputs',
  {
    'id': fields.IGNORED,
    'dataset': fields.TEXT_OR_EMPTY,
    'instruction': fields.filled,
    'responses': fields.list_of(
      fields.object_of(
        {
          'model': fields.NAME,
          'output': fields.filled,
          'score': fields.number,
        }
        | fields.ignored('v1_win cot_win')
      ),
      least=2,
    ),
    'extra_responses': fields.IGNORED,
  },
  _scoring,
)
TIERS = Format(
  'outputs of models of known strength', readers.TIERS, readers.tier
)


def _answers(row: Row, where: str) -> Iterator[Comparison]:
  prompt = one_turn(row['question'], row['category'], where)
  scored = ((one['text'], one['mean_score']) for one in row['answers'])
  return _by_score(prompt, scored, (one['model'] for one in row['answers']))


# Chiang et al. 2023: answers of models, the mean of a judge's scores.
VICUNA_ANSWERS = Format(
  'Vicuna answers',
  {
    'question_id': fields.IGNORED,
    'category': fields.TEXT_OR_EMPTY,
    'question': fields.filled,
    'answers': fields.list_of(
      fields.object_of(
        {
          'model': fields.NAME,
          'text': fields.text,
          'mean_score': fields.number,
          'n_scores': fields.IGNORED,
        }
      ),
      least=2,
    ),
    'reviews': fields.IGNORED,
  },
  _answers,
)


def _replies(row: Row, where: str) -> Iterator[Comparison]:
  # The speakers take turns and the last to speak is answered: the user.
  turns = row['history']
  turns = turns[1 - len(turns) % 2 :]
  spoken = tuple(
    Message(('user', 'assistant')[i % 2], turn) for i, turn in enumerate(turns)
  )
  prompt = Prompt((Message('system', row['fact']), *spoken), where=where)
  scored = ((one['text'], one['scores']['overall']) for one in row['responses'])
  return _by_score(prompt, scored, (one['system'] for one in row['responses']))


# Mehri and Eskenazi 2020: replies to a dialogue about a fact, which the system
# tells. Of an even number of turns the first, an answer to nothing, is left.
TOPICAL_CHAT = Format(
  'Topical-Chat replies',
  {
    'id': fields.IGNORED,
    'history': fields.list_of(fields.filled, least=1),
    'fact': fields.filled,
    'responses': fields.list_of(
      fields.object_of(
        {
          'system': fields.NAME,
          'text': fields.text,
          'scores': fields.object_of(
            {'overall': fields.number}
            | fields.ignored(
              'understandability naturalness coherence engagingness '
              'groundedness'
            )
          ),
        }
      ),
      least=2,
    ),
  },
  _replies,
)


def _predictions(row: Row, where: str) -> Iterator[Comparison | LeftOut]:
  passages = '\n\n'.join(' '.join(p['sentences']) for p in row['passages'])
  prompt = one_turn(f'{passages}\n\n{row["question"]}', where=where)
  for verdict in row['preferences']:
    pair = [_prediction(row, verdict[side], where) for side in ('a', 'b')]
    if verdict['label'] not in (1, 2):
      yield LeftOut(where, 'nobody preferred one of the two')
      continue
    if verdict['label'] == 2:
      pair.reverse()
    yield Comparison(prompt, tuple(pair))


def _prediction(row: Row, number: float, where: str) -> str:
  if number not in range(1, len(row['predictions']) + 1):
    raise fields.Fault(
      f'names prediction {number:g} of {len(row["predictions"])}.',
      "field 'preferences'",
    )
  return row['predictions'][int(number) - 1]


# Wu et al. 2023: sampled answers that people compared two by two.
QA_FEEDBACK = Format(
  'QA-Feedback',
  {
    'id': fields.IGNORED,
    'question': fields.filled,
    'passages': fields.list_of(
      fields.object_of(
        {'title': fields.IGNORED, 'sentences': fields.list_of(fields.text)}
      )
    ),
    'predictions': fields.list_of(fields.text, least=2),
    'preferences': fields.list_of(
      fields.object_of(
        {'a': fields.number, 'b': fields.number, 'label': fields.number}
      )
    ),
  }
  | fields.ignored('gold errors missing corrected'),
  _predictions,
)
