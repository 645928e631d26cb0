"""Formats of several answers to a prompt, in an order or with scores."""

from collections.abc import Iterator, Mapping
from typing import Any

from rlhf_jax.data import fields, ranked_readers
from rlhf_jax.data.formats.format import Format
from rlhf_jax.data.formats.preferences import IGNORED
from rlhf_jax.data.gathering import LeftOut
from rlhf_jax.types import Comparison, Message, Prompt, Record

Row = Mapping[str, Any]

MESSAGE = {
  'text': fields.text,
  'role': fields.text,
  'lang': fields.Optional(fields.text, ''),
  'rank': fields.Optional(fields.nullable(fields.number)),
  'deleted': fields.Optional(fields.nullable(fields.flag, False), False),
} | dict.fromkeys(
  (
    'message_id',
    'parent_id',
    'user_id',
    'created_date',
    'review_count',
    'review_result',
    'synthetic',
    'model_name',
    'detoxify',
    'message_tree_id',
    'tree_state',
    'emojis',
    'labels',
    'events',
  ),
  IGNORED,
)


def _node(value: Any) -> dict[str, Any]:
  """A message of a tree, with those that reply to it."""
  return _message(value)


_message = fields.object_of(
  MESSAGE | {'replies': fields.Optional(fields.list_of(_node), ())}
)


def _tree(row: Row, where: str) -> Iterator[Comparison | LeftOut]:
  """Every fan-out of ranked answers below a prompt."""
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
    'tree_state': IGNORED,
    'origin': IGNORED,
    'prompt': _node,
  },
  _tree,
)

OASST_RANKED = Format(
  'ranked replies', ranked_readers.RANKED, ranked_readers.ranking
)
SCORED_OUTPUTS = Format(
  'scored outputs', ranked_readers.SCORED, ranked_readers.scoring
)
TIERS = Format(
  'outputs of models of known strength',
  ranked_readers.TIERS,
  ranked_readers.tier,
)


def _by_score(
  prompt: Prompt, responses: list[Row], scores: list[float]
) -> Comparison:
  """Responses that a score puts in order, the best first in the file."""
  ranked_readers.check_falling(scores, prompt.where)
  said = tuple(response['text'] for response in responses)
  margin = scores[0] - scores[1]
  return Comparison(prompt, said, margin, tuple(scores))


def _answers(row: Row, where: str) -> Iterator[Record]:
  asked = (Message('user', row['question']),)
  scores = [answer['mean_score'] for answer in row['answers']]
  yield _by_score(Prompt(asked, row['category'], where), row['answers'], scores)


# Chiang et al. 2023: answers of models, the mean of a judge's scores.
VICUNA_ANSWERS = Format(
  'Vicuna answers',
  {
    'question_id': IGNORED,
    'category': fields.Optional(fields.text, ''),
    'question': fields.filled,
    'answers': fields.list_of(
      fields.object_of(
        {
          'model': IGNORED,
          'text': fields.text,
          'mean_score': fields.number,
          'n_scores': IGNORED,
        }
      ),
      least=2,
    ),
    'reviews': IGNORED,
  },
  _answers,
)


def _replies(row: Row, where: str) -> Iterator[Record]:
  # The speakers take turns and the last to speak is answered: the user.
  turns = row['history']
  turns = turns[1 - len(turns) % 2 :]
  spoken = tuple(
    Message(('user', 'assistant')[i % 2], turn) for i, turn in enumerate(turns)
  )
  prompt = Prompt((Message('system', row['fact']), *spoken), where=where)
  scores = [response['scores']['overall'] for response in row['responses']]
  yield _by_score(prompt, row['responses'], scores)


# Mehri and Eskenazi 2020: replies to a dialogue about a fact, which the system
# tells. Of an even number of turns the first, an answer to nothing, is left.
TOPICAL_CHAT = Format(
  'Topical-Chat replies',
  {
    'id': IGNORED,
    'history': fields.list_of(fields.filled, least=1),
    'fact': fields.filled,
    'responses': fields.list_of(
      fields.object_of(
        {
          'system': IGNORED,
          'text': fields.text,
          'scores': fields.object_of(
            {'overall': fields.number}
            | dict.fromkeys(
              (
                'understandability',
                'naturalness',
                'coherence',
                'engagingness',
                'groundedness',
              ),
              IGNORED,
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
  told = '\n\n'.join(' '.join(p['sentences']) for p in row['passages'])
  asked = (Message('user', f'{told}\n\n{row["question"]}'),)
  for verdict in row['preferences']:
    pair = [_prediction(row, verdict[side], where) for side in ('a', 'b')]
    if verdict['label'] not in (1, 2):
      yield LeftOut(where, 'nobody preferred one of the two')
      continue
    if verdict['label'] == 2:
      pair.reverse()
    yield Comparison(Prompt(asked, where=where), tuple(pair))


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
    'id': IGNORED,
    'question': fields.filled,
    'passages': fields.list_of(
      fields.object_of(
        {'title': IGNORED, 'sentences': fields.list_of(fields.text)}
      )
    ),
    'predictions': fields.list_of(fields.text, least=2),
    'preferences': fields.list_of(
      fields.object_of(
        {'a': fields.number, 'b': fields.number, 'label': fields.number}
      )
    ),
  }
  | dict.fromkeys(('gold', 'errors', 'missing', 'corrected'), IGNORED),
  _predictions,
)
