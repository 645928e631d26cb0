"""A tiny file of each public format, and the record that must come of it."""

import gzip
import json
import pathlib
import tempfile

from absl.testing import absltest, parameterized

from rlhf_jax.data import fields, formats
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt, Rated


def asked(*texts, kind='', where='f.jsonl:1', system=None, answer=''):
  roles = ('user', 'assistant')
  turns = [Message(roles[i % 2], text) for i, text in enumerate(texts)]
  if system is not None:
    turns.insert(0, Message('system', system))
  return Prompt(tuple(turns), kind, where, answer=answer)


def chat(*texts):
  return [m._asdict() for m in asked(*texts).messages]


def parts(*texts):
  return [{'type': 'text', 'text': text} for text in texts]


HH = '\n\nHuman: hi\n\nAssistant: Yes?\n\nHuman: Say it.\n\nAssistant: '
PAIR = Comparison(asked('q'), ('good', 'bad'))
FARM = {'instruction': 'q', 'input': None, 'output_1': 'bad'} | {
  'output_2': 'good'
}
PKU = {
  'prompt': 'q',
  'prompt_source': 'x',
  'response_0': 'bad',
  'response_1': 'good',
  'is_response_0_safe': False,
  'is_response_1_safe': True,
  'response_0_harm_category': {'Violence': True},
  'better_response_id': 1,
  'safer_response_id': 0,
}
SUMMARIES = [
  {'text': 'bad', 'policy': 'p', 'note': None},
  {'text': 'good', 'policy': 'r', 'note': None},
]
POST = {'id': 'x', 'post': 'words', 'title': 't', 'subreddit': 's'}
SUMMARY = {'summaries': SUMMARIES, 'choice': 1, 'worker': 'w'} | {
  'batch': 'b',
  'split': 'train',
  'extra': {'confidence': 5},
}
SCORED = {'score_chosen': 8.5, 'score_rejected': 6}
ULTRA = {
  'prompt': 'q',
  'prompt_id': 'f0',
  'chosen': chat('q', 'good'),
  'rejected': chat('q', 'bad'),
  'messages': chat('q', 'good'),
}
SCORED_PAIR = PAIR._replace(margin=2.5, scores=(8.5, 6.0))


def message(text, role, *replies, rank=None, **more):
  return {'message_id': text, 'text': text, 'role': role, 'lang': 'de'} | {
    'rank': rank,
    'replies': list(replies),
    **more,
  }


# q has answers b > a; a's follow-up r has answers d > c; e was deleted.
TREE = {
  'message_tree_id': 't',
  'tree_state': 'ready_for_export',
  'prompt': message(
    'q',
    'prompter',
    message(
      'a',
      'assistant',
      message(
        'r',
        'prompter',
        message('c', 'assistant', rank=2),
        message('d', 'assistant', rank=0),
        message('e', 'assistant', rank=1, deleted=True),
      ),
      rank=1,
    ),
    message('b', 'assistant', rank=0),
    review_count=3,
    emojis={},
  ),
}
HELP = {'helpfulness': 4, 'correctness': 3, 'coherence': 2, 'complexity': 1} | {
  'verbosity': 0
}
# name of the case, the format that it is read as, the row, the records.
ROWS = (
  ('hh', 'HH-RLHF', {'chosen': HH + 'good\n', 'rejected': HH + 'bad'}, [
    Comparison(asked('hi', 'Yes?', 'Say it.'), ('good', 'bad'))]),
  ('hh_of_windows', 'HH-RLHF',
   {n: (HH + n).replace('\n', '\r\n') for n in ('chosen', 'rejected')},
   [Comparison(asked('hi', 'Yes?', 'Say it.'), ('chosen', 'rejected'))]),
  ('ultrafeedback', 'UltraFeedback binarized', ULTRA | SCORED, [SCORED_PAIR]),
  ('ultrafeedback_lists', 'UltraFeedback binarized',
   {'chosen': chat('q', 'good'), 'rejected': chat('q', 'bad')} | SCORED,
   [SCORED_PAIR]),
  ('ultrafeedback_texts', 'UltraFeedback binarized',
   {'id': 'x', 'prompt': 'q', 'chosen': 'good', 'rejected': 'bad'} | SCORED,
   [SCORED_PAIR]),
  ('plain', 'TRL preference',
   {'prompt': 'q', 'chosen': 'good', 'rejected': 'bad'}, [PAIR]),
  ('conversational', 'TRL preference',
   {'prompt': chat('q', 'a', 'r'),
    'chosen': [{'role': 'assistant', 'content': 'good'}],
    'rejected': [{'role': 'assistant', 'content': 'bad'}]},
   [Comparison(asked('q', 'a', 'r'), ('good', 'bad'))]),
  ('implicit', 'TRL preference',
   {'chosen': chat('q', 'a', 'r', 'good'),
    'rejected': chat('q', 'a', 'r', 'bad')},
   [Comparison(asked('q', 'a', 'r'), ('good', 'bad'))]),
  ('implicit_plain', 'TRL preference',
   {'chosen': 'The sky is blue.', 'rejected': 'The sky is black.'},
   [Comparison(asked('The sky is'), (' blue.', ' black.'))]),
  ('named_turns', 'TRL preference',
   {'prompt': HH, 'chosen': ' good', 'rejected': ' bad'},
   [Comparison(asked('hi', 'Yes?', 'Say it.'), ('good', 'bad'))]),
  ('named_turns_completed', 'TRL prompt-completion',
   {'prompt': HH, 'completion': ' good'},
   [Demonstration(asked('hi', 'Yes?', 'Say it.'), 'good')]),
  ('named_turns_asked', 'TRL prompt-only', {'prompt': HH},
   [asked('hi', 'Yes?', 'Say it.')]),
  ('a_name_that_opens_no_turn', 'TRL preference',
   {'prompt': 'Human: what is it?', 'chosen': ' good', 'rejected': ' bad'},
   [Comparison(asked('Human: what is it?'), (' good', ' bad'))]),
  ('with_margin', 'TRL preference',
   {'prompt': 'q', 'chosen': 'good', 'rejected': 'bad', 'margin': 3},
   [PAIR._replace(margin=3.0)]),
  ('a_system_turn', 'TRL preference',
   {'prompt': [{'role': 'system', 'content': 's'}, *chat('q')],
    'chosen': 'good', 'rejected': 'bad'},
   [Comparison(asked('q', system='s'), ('good', 'bad'))]),
  ('an_empty_system_turn', 'TRL preference',
   {'prompt': [{'role': 'system', 'content': ''}, *chat('q')],
    'chosen': 'good', 'rejected': 'bad'}, [PAIR]),
  ('our_pairs', 'TRL preference',
   {'id': 1, 'subset': 'k', 'prompt': chat('q'), 'chosen': 'good',
    'rejected': 'bad'}, [Comparison(asked('q', kind='k'), ('good', 'bad'))]),
  ('reward_bench_2', 'RewardBench 2',
   {'id': '7', 'prompt': 'q', 'chosen': ['good'],
    'rejected': ['bad', 'worse', 'worst'], 'num_correct': 1,
    'num_incorrect': 3, 'total_completions': 4, 'models': ['m'] * 4,
    'subset': 'Math', 'additional_metadata': {'category': None}},
   [Comparison(asked('q', kind='Math'), ('good', other))
    for other in ('bad', 'worse', 'worst')]),
  ('reward_bench_2_ties', 'RewardBench 2',
   {'id': 'ref:1', 'prompt': 'q', 'chosen': ['good', 'fine'],
    'rejected': ['bad'], 'num_correct': 2, 'num_incorrect': 1,
    'total_completions': 3, 'models': [], 'subset': 'Ties',
    'additional_metadata': None},
   [Comparison(asked('q', kind='Ties'), (right, 'bad'))
    for right in ('good', 'fine')]),
  ('alpaca_farm', 'AlpacaFarm preferences',
   FARM | {'preference': 2, 'annotator_index': 3}, [PAIR]),
  ('alpaca_farm_models', 'AlpacaFarm preferences',
   FARM | {'preference': 2, 'generator_1': 'm', 'generator_2': 7},
   [PAIR._replace(models=('7', 'm'))]),
  ('alpaca_farm_no_name', 'AlpacaFarm preferences',
   FARM | {'preference': 2, 'generator_1': 'm', 'generator_2': ['n']}, [PAIR]),
  ('pku', 'PKU-SafeRLHF', PKU, [PAIR]),
  ('pku_models', 'PKU-SafeRLHF',
   PKU | {'response_0_source': 'm', 'response_1_source': 'n'},
   [PAIR._replace(models=('n', 'm'))]),
  ('posts', 'summarize_from_feedback comparisons', {'info': POST} | SUMMARY, [
    Comparison(
      asked('SUBREDDIT: r/s\n\nTITLE: t\n\nPOST: words\n\nTL;DR:'),
      ('good', 'bad'), models=('r', 'p'))]),
  ('articles', 'summarize_from_feedback comparisons',
   {'info': {'id': 'x', 'article': 'words', 'site': 'cnn'}} | SUMMARY,
   [Comparison(
     asked('ARTICLE: words\n\nTL;DR:'), ('good', 'bad'), models=('r', 'p'))]),
  ('llmbar', 'LLMBar',
   {'id': 1, 'subset': 'k', 'instruction': 'q', 'output_1': 'bad',
    'output_2': 'good', 'label': 2},
   [Comparison(asked('q', kind='k'), ('good', 'bad'))]),
  ('pandalm', 'PandaLM',
   {'id': 1, 'instruction': 'q', 'input': 'it', 'response_1': 'good',
    'response_2': 'bad', 'model_1': 'm', 'model_2': 'n',
    'annotators': [1, 1, 0], 'label': 1},
   [Comparison(asked('q\n\nit'), ('good', 'bad'), models=('m', 'n'))]),
  ('pandalm_tie', 'PandaLM',  # Of the second nobody says who it is by.
   {'instruction': 'q', 'response_1': 'good', 'response_2': 'even',
    'model_1': 'm', 'annotators': [0, 1, 0], 'label': 0},
   [Comparison(asked('q'), ('good', 'even'), scores=(0.0, 0.0))]),
  ('choices', "people's choices",
   {'prompt': chat('q'), 'response_1': 'bad', 'response_2': 'good',
    'choice': 2, 'subset': 'k', 'pair': '0f', 'annotator': 'ann', 'left': 1,
    'seconds': 3.5, 'time': '2026-01-31T12:00:00+00:00', 'policy_1': 'sft',
    'policy_2': 'ppo'},
   [Comparison(
     asked('q', kind='k'), ('good', 'bad'), models=('ppo', 'sft'))]),
  ('unpaired', 'TRL unpaired preference',
   {'prompt': 'q', 'completion': 'bad', 'label': False},
   [Comparison(asked('q'), ('bad',), scores=(-1.0,))]),
  ('unpaired_chat', 'TRL unpaired preference',
   {'prompt': chat('q'), 'completion': chat('q', 'good')[1:], 'label': True},
   [Comparison(asked('q'), ('good',), scores=(1.0,))]),
  ('labelled', 'labelled responses',
   {'prompt': chat('q'), 'response': 'good', 'desirable': True},
   [Comparison(asked('q'), ('good',), scores=(1.0,))]),
  ('completion', 'TRL prompt-completion', {'prompt': 'q', 'completion': 'good'},
   [Demonstration(asked('q'), 'good')]),
  ('completion_chat', 'TRL prompt-completion',
   {'prompt': chat('q'), 'completion': chat('q', 'good')[1:]},
   [Demonstration(asked('q'), 'good')]),
  ('prompts', 'TRL prompt-only', {'prompt': 'q'}, [asked('q')]),
  ('prompts_chat', 'TRL prompt-only', {'prompt': chat('q', 'a', 'r'),
   'answer': '7'}, [asked('q', 'a', 'r', answer='7')]),
  ('texts', 'TRL language modelling', {'text': 'good'},
   [Demonstration(asked(), 'good')]),
  ('texts_of_a_kind', 'TRL language modelling', {'text': 'good', 'label': 1},
   [Demonstration(asked(kind='1'), 'good')]),
  ('messages', 'chat messages', {'messages': chat('q', 'a', 'r', 'good')},
   [Demonstration(asked('q', 'a', 'r'), 'good')]),
  ('messages_in_parts', 'chat messages',
   {'messages': [{'role': 'user', 'content': parts('q', '!'), 'name': None},
                 {'role': 'assistant', 'content': parts('good')}],
    'tools': None},
   [Demonstration(asked('q!'), 'good')]),
  ('sharegpt', 'ShareGPT conversations',
   {'id': 1, 'system': 's', 'conversations': [
     {'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'good'}]},
   [Demonstration(asked('q', system='s'), 'good')]),
  ('alpaca', 'Alpaca instructions',
   {'instruction': 'q', 'input': None, 'output': 'good', 'text': 'all of it'},
   [Demonstration(asked('q'), 'good')]),
  ('alpaca_input', 'Alpaca instructions',
   {'instruction': 'q', 'input': 'it', 'output': 'good'},
   [Demonstration(asked('q\n\nit'), 'good')]),
  ('alpaca_eval', 'Alpaca instructions',
   {'dataset': 'koala', 'instruction': 'q', 'output': 'good',
    'generator': 'm'},
   [Demonstration(asked('q', kind='koala'), 'good')]),
  ('dolly', 'Dolly instructions',
   {'instruction': 'q', 'context': 'it', 'response': 'good', 'category': 'k'},
   [Demonstration(asked('q\n\nit', kind='k'), 'good')]),
  ('problems', 'worked problems', {'question': 'q', 'answer': 'so\n#### 7'},
   [Demonstration(asked('q', answer='7'), 'so\n#### 7')]),
  ('questions', 'MT-bench questions',
   {'question_id': 1, 'category': 'k', 'turns': ['q'], 'reference': None},
   [asked('q', kind='k')]),
  ('helpsteer', 'HelpSteer', {'prompt': 'q', 'response': 'good'} | HELP,
   [Rated(asked('q'), 'good', (4.0, 3.0, 2.0, 1.0, 0.0))]),
  ('oasst_rated', 'rated replies',
   {'id': 1, 'lang': 'de', 'prompt': chat('q'), 'response': 'good',
    'attributes': {'quality': 1.0, 'humor': 0.25}, 'n_labels': 3, 'rank': 0},
   [Rated(asked('q', kind='de'), 'good', (4.0, None, 1.0, None, None, None))]),
  ('hanna', 'HANNA stories',
   {'id': 1, 'prompt_id': 2, 'prompt': 'q', 'model': None, 'story': 'good',
    'attributes': {'relevance': 5, 'surprise': 2}},
   [Rated(asked('q'), 'good', (4.0, None, None, 1.0, None, None))]),
  ('tree', 'OASST trees', TREE, [
    Comparison(asked('q', kind='de'), ('b', 'a')),
    Comparison(asked('q', 'a', 'r', kind='de'), ('d', 'c'))]),
  ('ranked', 'ranked replies',
   {'id': 1, 'tree_id': 2, 'source': 's', 'lang': 'de', 'prompt': chat('q'),
    'responses': [{'text': 'good', 'rank': 0, 'synthetic': False},
                  {'text': 'bad', 'rank': 1, 'synthetic': False}]},
   [Comparison(asked('q', kind='de'), ('good', 'bad'))]),
  ('scored_outputs', 'scored outputs',
   {'id': 1, 'dataset': 'k', 'instruction': 'q', 'responses': [
     {'model': 'm', 'output': 'good', 'score': 0.75, 'v1_win': 1},
     {'model': 'n', 'output': 'bad', 'score': 0.5, 'v1_win': None}],
    'extra_responses': []},
   [Comparison(asked('q', kind='k'), ('good', 'bad'), 0.25, (0.75, 0.5),
               models=('m', 'n'))]),
  ('completions', 'UltraFeedback completions',
   {'source': 's', 'instruction': 'q', 'models': ['m', 'n'], 'completions': [
     {'model': 'm', 'response': 'bad', 'overall_score': 6},
     {'model': 'n', 'response': 'good', 'overall_score': 8.5,
      'fine-grained_score': 4, 'annotations': {}}],
    'correct_answers': [], 'incorrect_answers': []},
   [SCORED_PAIR._replace(models=('n', 'm'))]),
  ('strengths', 'outputs of models of known strength',
   {'id': 1, 'instruction': 'q', 'outputs': {'instructgpt': 'bad',
                                              'gpt4': 'good'}},
   [Comparison(asked('q'), ('good', 'bad'), scores=(2.0, 0.0),
               models=('gpt4', 'instructgpt'))]),
  ('vicuna_answers', 'Vicuna answers',
   {'question_id': 1, 'category': 'k', 'question': 'q', 'answers': [
     {'model': 'm', 'text': 'good', 'mean_score': 9.5, 'n_scores': 2},
     {'model': 'n', 'text': 'bad', 'mean_score': 7.5, 'n_scores': 2}],
    'reviews': []},
   [Comparison(asked('q', kind='k'), ('good', 'bad'), 2.0, (9.5, 7.5),
               models=('m', 'n'))]),
  ('topical_chat', 'Topical-Chat replies',
   {'id': 1, 'history': ['left', 'q', 'a', 'r'], 'fact': 'f', 'responses': [
     {'system': 'm', 'text': 'good', 'scores': {'overall': 5.0}},
     {'system': 'n', 'text': 'bad', 'scores': {'overall': 5.0}}]},
   [Comparison(asked('q', 'a', 'r', system='f'), ('good', 'bad'), 0.0,
               (5.0, 5.0), models=('m', 'n'))]),
  ('qa_feedback', 'QA-Feedback',
   {'id': 1, 'question': 'q', 'passages': [
     {'title': 't', 'sentences': ['One.', 'Two.']}], 'gold': 'g',
    'predictions': ['bad', 'good'], 'preferences': [
      {'a': 1, 'b': 2, 'label': 2}], 'errors': [], 'missing': [],
    'corrected': None},
   [Comparison(asked('One. Two.\n\nq'), ('good', 'bad'))]),
)  # fmt: skip


class FormatsTest(parameterized.TestCase):
  def write(self, *rows, name='f.jsonl'):
    folder = self.enterContext(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder) / name
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return path

  @parameterized.named_parameters(*ROWS)
  def test_is_found_and_read(self, name, row, records):
    found = formats.read(self.write(row))
    self.assertEqual(list(found), records)
    self.assertStartsWith(found.notes[0], f'f.jsonl: read as {name}, ')
    self.assertContainsSubset([name], [form.name for form in formats.FORMATS])

  @parameterized.named_parameters(*ROWS)
  def test_is_read_by_its_own_reader(self, name, row, records):
    (own,) = [form for form in formats.FORMATS if form.name == name]
    self.assertEqual(list(own(self.write(row))), records)
    self.assertEqual(list(formats.read(self.write(row), format=own)), records)

  @parameterized.named_parameters(*ROWS)
  def test_null_is_as_an_optional_field_left_out(self, name, row, records):
    (own,) = [form for form in formats.FORMATS if form.name == name]
    nulls = {
      field: None
      for field, parser in own.schema.items()
      if isinstance(parser, fields.Optional)
    }
    found = formats.read(self.write(nulls | row), format=own)
    self.assertEqual(list(found), records)

  @parameterized.parameters('chosen', 'rejected')
  def test_null_in_a_field_that_every_row_has_is_refused(self, field):
    row = {'prompt': 'q', 'chosen': 'a', 'rejected': 'b', field: None}
    with self.assertRaisesRegex(
      ValueError, f"f.jsonl:1: .*field '{field}' must be a text, not null"
    ):
      formats.read(self.write(row))

  def test_every_format_has_a_row_here(self):
    self.assertEqual(
      {form.name for form in formats.FORMATS}, {name for _, name, *_ in ROWS}
    )

  def test_what_people_left_undecided_is_left_out_and_counted(self):
    pair = {'prompt': 'q', 'response_1': 'good', 'response_2': 'bad'}
    rows = [pair | {'choice': said} for said in (1, 'equal', 'skip', 'unsure')]
    found = formats.comparisons(self.write(*rows, pair, pair | {'choice': 2}))
    self.assertEqual(
      [record.responses for record in found],
      [('good', 'bad'), ('bad', 'good')],
    )
    counted = [n for n in found.notes if '1 of 6 left out' in n]
    self.assertLen(counted, 4)
    self.assertIn(
      'both responses were found equal (first at f.jsonl:2)', counted[0]
    )
    for wrong in ('0', 3, True, 'left', 1.5):
      with self.assertRaisesRegex(ValueError, 'f.jsonl:2: .*must be one of 1'):
        formats.read(self.write(rows[0], pair | {'choice': wrong}))

  @parameterized.parameters('f.json', 'f.json.gz', 'f.jsonl')
  def test_an_array_over_many_lines_is_placed_by_line(self, name):
    rows = [
      {'instruction': 'q', 'input': '', 'output': 'one'},
      {'instruction': 'r', 'input': None, 'output': 'two'},
    ]
    text = '\n' + json.dumps(rows, indent=2)
    path = self.write(name=name)
    path.write_bytes(
      gzip.compress(text.encode()) if name.endswith('gz') else text.encode()
    )
    # A blank line, [, then five lines an object.
    self.assertEqual(
      list(formats.read(path)),
      [
        Demonstration(asked('q', where=f'{name}:3'), 'one'),
        Demonstration(asked('r', where=f'{name}:8'), 'two'),
      ],
    )

  @parameterized.parameters(
    ({'prompt': 'q', 'chosen': 'good', 'rejected': 'bad'}, PAIR),
    ({'prompt': 'q', 'completion': 'a'}, Demonstration(asked('q'), 'a')),
  )
  def test_further_columns_are_let_pass_and_told(self, row, record):
    # Another format has an id and a source too, and does nothing with them.
    own = {'my_notes': 'x', 'rater': 3, 'id': 7, 'source': 'me'}
    rows = [row | own, row | {'other': None}]
    found = formats.read(self.write(*rows))
    later = record.prompt._replace(where='f.jsonl:2')
    self.assertEqual(list(found), [record, record._replace(prompt=later)])
    self.assertEndsWith(found.notes[0], '; not read: my_notes, rater, source')

  def test_columns_go_by_the_formats_names(self):
    row = {'question': 'q', 'best': 'good', 'worst': 'bad', 'who': 1, 'at': 2}
    found = formats.read(
      self.write(row),
      columns={'prompt': 'question', 'chosen': 'best', 'rejected': 'worst'},
    )
    self.assertEqual(list(found), [PAIR])
    self.assertEqual(
      found.notes,
      ('f.jsonl: read as TRL preference, 1 comparisons; not read: who, at',),
    )

  def test_columns_that_have_their_own_names_are_read_beside(self):
    row = {'prompt': 'q', 'best': 'good', 'worst': 'bad', 'who': 1}
    columns = {'chosen': 'best', 'rejected': 'worst'}
    found = formats.read(self.write(row), columns=columns)
    self.assertEqual(list(found), [PAIR])

  def test_preferences_can_be_imitated_and_asked(self):
    rows = [
      {'prompt': 'q', 'completion': 'good', 'label': True},
      {'prompt': 'q', 'completion': 'bad', 'label': False},
    ]
    path = self.write(*rows)
    self.assertLen(formats.comparisons(path), 2)
    told = formats.demonstrations(path)
    self.assertEqual(list(told), [Demonstration(asked('q'), 'good')])
    self.assertIn('1 of 2 left out: the response is not a good', told.notes[1])
    self.assertEqual(list(formats.prompts(path)), [asked('q')])

  def test_what_nothing_can_be_learnt_from_is_counted(self):
    pair = {'prompt': 'q', 'chosen': 'good', 'rejected': 'bad'}
    found = formats.read(
      self.write(
        pair,
        pair | {'rejected': 'good'},
        pair | {'rejected': ' \u200b'},
        pair | {'chosen': 'good ', 'rejected': ''},
        pair | {'prompt': '\n'},
      )
    )
    self.assertEqual(list(found), [PAIR])
    self.assertEqual(
      found.notes,
      (
        'f.jsonl: read as TRL preference, 1 comparisons',
        'f.jsonl: 1 of 5 left out: the responses are the same text (first at '
        'f.jsonl:2)',
        'f.jsonl: 2 of 5 left out: the rejected response is empty (first at '
        'f.jsonl:3)',
        'f.jsonl: 1 of 5 left out: a turn of the prompt is empty (first at '
        'f.jsonl:5)',
      ),
    )

  @parameterized.parameters(
    # The first answers differ, so the second ones answer different prompts.
    (HH.replace('Yes?', 'No?') + 'bad', 'the two conversations differ before'),
    (HH + 'bad\n\nHuman: And?', 'the conversation does not end'),
    (HH + 'bad\n\nAssistant: again', 'the turns do not alternate'),
    (HH + ' ', 'the rejected response is empty'),
    ('\n\nHuman: \n\nAssistant: bad', 'a turn of the prompt is empty'),
  )
  def test_dialogues_that_are_no_pair_are_counted(self, rejected, reason):
    good = {'chosen': HH + 'good', 'rejected': HH + 'bad'}
    found = formats.read(self.write(good, good | {'rejected': rejected}))
    self.assertLen(found, 1)
    self.assertIn(f'1 of 2 left out: {reason}', found.notes[1])

  def test_a_word_in_an_answer_starts_no_turn(self):
    row = {'chosen': HH + 'The Human: a study\nAssistant: too'}
    (pair,) = formats.read(self.write(row | {'rejected': HH + 'bad'}))
    self.assertEqual(
      pair.responses, ('The Human: a study\nAssistant: too', 'bad')
    )

  @parameterized.parameters(0, 1.5, None)
  def test_verdicts_that_tie_are_counted(self, preference):
    good = FARM | {'preference': 1}
    path = self.write(good, good | {'preference': preference})
    found = formats.read(path)
    self.assertEqual([c.responses for c in found], [('bad', 'good')])
    self.assertIn('1 of 2 left out: nobody preferred one', found.notes[1])

  def test_what_trees_lack_is_counted(self):
    unranked = message('p', 'prompter', *map(dict, TREE['prompt']['replies']))
    unranked['replies'][0]['rank'] = None
    found = formats.read(self.write(TREE, TREE | {'prompt': unranked}))
    self.assertLen(found, 3)
    self.assertIn('2 of 6 left out: a message was deleted', found.notes[1])
    self.assertIn('1 of 6 left out: replies to a message', found.notes[2])

  def test_later_turns_of_a_question_are_counted(self):
    row = {'question_id': 1, 'category': 'k', 'turns': ['q', 'r']}
    found = formats.read(self.write(row | {'reference': None}))
    self.assertEqual(list(found), [asked('q', kind='k')])
    self.assertIn('1 of 2 left out: a later turn', found.notes[1])


if __name__ == '__main__':
  absltest.main()
