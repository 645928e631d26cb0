"""Kinds of bad files, each a sentence from every reader."""

import gzip
import json
import os
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from rlhf_jax.data import formats, jsonl, readers, sources

TURN = [{'role': 'user', 'content': 'q'}]
PAIR = {'prompt': TURN, 'chosen': 'a', 'rejected': 'b'}
SCORES = {'score_chosen': 2, 'score_rejected': 1}
# Every reader, and a row that it reads.
READERS = {
  'pairs': (readers.pairs, PAIR),
  'chosen': (readers.chosen, PAIR),
  'scored_pairs': (formats.ULTRAFEEDBACK, PAIR | SCORES | {'prompt': 'q'}),
  'instructions': (
    readers.instructions,
    {'instruction': 'q', 'output': 'a'},
  ),
  'problems': (readers.problems, {'question': 'q', 'answer': '#### 2'}),
  'tiers': (
    readers.tiers,
    {'instruction': 'q', 'outputs': {'gpt4': 'a', 'chatgpt': 'b'}},
  ),
  'ranked': (
    formats.OASST_RANKED,
    {'prompt': TURN}
    | {'responses': [{'text': 'a', 'rank': 0}, {'text': 'b', 'rank': 1}]},
  ),
  'scored': (
    formats.SCORED_OUTPUTS,
    {'instruction': 'q'}
    | {'responses': [{'output': 'a', 'score': 1}, {'output': 'b', 'score': 0}]},
  ),
  'labelled': (
    formats.LABELLED,
    {'prompt': TURN, 'response': 'a', 'desirable': True},
  ),
  'oasst': (
    formats.OASST_RATED,
    {'prompt': TURN, 'response': 'a', 'attributes': {'quality': 1}},
  ),
  'hanna': (
    formats.HANNA,
    {'prompt': 'q', 'story': 'a', 'attributes': {'empathy': 1}},
  ),
  'any': (formats.read, PAIR),
  'named': (formats.TRL_PREFERENCE, PAIR),
}
DEEP = b'[' * 100_000 + b']' * 100_000
# What stands in the second line, after a good one, and what is said of it.
LINES = {
  'NUL bytes': (b'\0\0\0', 'not JSON'),
  'binary': (bytes(range(128, 256)), 'not UTF-8 (byte 1 of the line)'),
  'Latin-1': ('{"a": "é"}'.encode('latin-1'), 'not UTF-8 (byte 8'),
  'half a line': (b'{"prompt": ', 'not JSON'),
  'two objects': (b'{} {}', 'not JSON'),
  'a number': (b'3', 'a JSON int where an object'),
  'null': (b'null', 'a JSON NoneType where an object'),
  'CSV': (b'prompt,chosen', 'not JSON'),
  'deep lists': (b'{"id": ' + DEEP + b'}', 'too deep'),
  '5000 digits': (b'{"id": ' + b'9' * 5000 + b'}', 'too many digits'),
  'a field twice': (b'{"id": 1, "x": 2, "id": 3}', "the field 'id' twice"),
  'a field twice inside': (
    b'{"id": {"k": {"y": 1, "y": 1}}}',
    "the field 'y' twice",
  ),
  'an unknown field': (b'{"xyz": 1}', "unknown field 'xyz'"),
  'no field': (b'{}', 'has no field'),
}
# Whole files, and what is said of them beside their names.
FILES = {
  'empty': (b'', 'holds no data'),
  'blank': (b'\n \n', 'holds no data'),
  'BOM': (b'\xef\xbb\xbf{}', 'f.jsonl:1: begins with a byte order mark'),
  'UTF-16': ('{}'.encode('utf-16'), 'f.jsonl:1: not UTF-8'),
  'gzip called plain': (gzip.compress(b'{}'), 'f.jsonl:1: not UTF-8'),
}


class BadFilesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def fault(self, read, content=None, name='f.jsonl'):
    path = self.folder / name
    if content is not None:
      path.write_bytes(content)
    with self.assertRaises(jsonl.DataError) as caught:
      read(path)
    said = str(caught.exception)
    self.assertNotIn('\n', said)
    self.assertLess(len(said), 600)
    return said

  @parameterized.product(reader=list(READERS), kind=list(LINES))
  def test_a_line(self, reader, kind):
    read, row = READERS[reader]
    line, sentence = LINES[kind]
    said = self.fault(read, json.dumps(row).encode() + b'\n' + line + b'\n')
    self.assertStartsWith(said, 'f.jsonl:2: ')
    self.assertIn(sentence, said)

  @parameterized.product(reader=list(READERS), kind=list(FILES))
  def test_a_file(self, reader, kind):
    content, sentence = FILES[kind]
    said = self.fault(READERS[reader][0], content)
    self.assertIn('f.jsonl', said)
    self.assertIn(sentence, said)

  @parameterized.parameters(*READERS)
  def test_a_good_row_is_read(self, reader):
    read, row = READERS[reader]
    (self.folder / 'f.jsonl').write_text(json.dumps(row))
    self.assertLen(read(self.folder / 'f.jsonl'), 1)

  @parameterized.parameters(*READERS)
  def test_what_is_no_file(self, reader):
    read = READERS[reader][0]
    (self.folder / 'folder').mkdir()
    (self.folder / 'loop').symlink_to(self.folder / 'loop')
    os.mkfifo(self.folder / 'pipe')
    for name, sentence in (
      ('nowhere', 'there is no file nowhere in'),
      ('no/where', 'there is no folder'),
      ('folder', 'is a folder'),
      ('loop', 'loop: Too many levels of symbolic links'),
      ('pipe', 'is a pipe or a device'),
      ('x' * 5000, 'File name too long'),
      ('x\0y', 'null'),
    ):
      self.assertIn(sentence, self.fault(read, name=name))

  @parameterized.parameters(*READERS)
  def test_gzip_that_is_not_whole(self, reader):
    read, row = READERS[reader]
    packed = gzip.compress(json.dumps(row).encode() * 99)
    for content in (
      b'{}',
      packed[:-20],
      packed[:40] + bytes([255 - packed[40]]) + packed[41:],
      packed + b'rubbish',
    ):
      said = self.fault(read, content, 'f.jsonl.gz')
      self.assertIn('f.jsonl.gz', said)

  def test_what_may_not_be_read(self):
    # As root there is none such, so the system is played.
    path = self.folder / 'f.jsonl'
    path.write_text('{}')
    refused = PermissionError(13, 'Permission denied')
    opened = self.enterContext(mock.patch('builtins.open', side_effect=refused))
    said = self.fault(readers.pairs)
    opened.assert_called()
    self.assertIn(f'{path} cannot be read: Permission denied', said)

  def test_a_fingerprint_says_the_same(self):
    files = sources.Files(('folder',), readers.pairs)
    (self.folder / 'folder').mkdir()
    with self.assertRaisesRegex(jsonl.DataError, 'is a folder'):
      files.contents(self.folder)

  @parameterized.parameters(
    ('[', 'not JSON'),
    ('[{}, {}', 'f.jsonl:1: the array breaks off'),
    ('[{}\n{}]', 'f.jsonl:2: the array breaks off, or a comma is missing'),
    ('[{},\n]', 'f.jsonl:2: not JSON'),
    ('[{},\n\n 3]', 'f.jsonl:3: a JSON int where an object'),
    ('[{}]\n{}', 'f.jsonl:1: more follows the end of the array'),
    ('[{},\n{"a": 1,\n "a": 2}]', "f.jsonl:2: an object has the field 'a' twi"),
    ('[]', 'holds no data'),
    ('[{}, "\xff"]', 'f.jsonl:1: not UTF-8'),
    ('\n[{},\n {"a"\n 3}]', 'f.jsonl:4: not JSON at column 2'),
  )
  def test_an_array(self, text, sentence):
    (self.folder / 'f.jsonl').write_bytes(text.encode('latin-1'))
    with self.assertRaises(jsonl.DataError) as caught:
      list(jsonl.read_any(self.folder / 'f.jsonl'))
    self.assertIn(sentence, str(caught.exception))

  def test_an_array_is_refused_where_lines_are_due(self):
    said = self.fault(readers.pairs, b'[{}]')
    self.assertIn('f.jsonl:1: a JSON list where an object', said)

  @parameterized.parameters(
    ('\u200b', True),
    ('\u3164\n\t', True),
    ('\ufe0f\u0301', True),
    ('\0', True),
    ('.', False),
    ('é', False),
    ('\u200b😀', False),
  )
  def test_a_text_that_shows_nothing_is_empty(self, text, empty):
    row = {'instruction': 'q', 'output': text}
    (self.folder / 'f.jsonl').write_text(json.dumps(row))
    if empty:
      said = self.fault(readers.instructions)
      self.assertIn("f.jsonl:1: field 'output' is empty", said)
    else:
      self.assertLen(readers.instructions(self.folder / 'f.jsonl'), 1)

  @parameterized.parameters('9' * 400, '1e400', '-1e39', 'NaN', 'Infinity')
  def test_a_number_that_no_array_holds(self, number):
    row = PAIR | SCORES | {'prompt': 'q'}
    text = json.dumps(row).replace(
      '"score_chosen": 2', f'"score_chosen": {number}'
    )
    said = self.fault(formats.ULTRAFEEDBACK, text.encode())
    told = "f.jsonl:1: as UltraFeedback binarized, field 'score_chosen' must be"
    self.assertIn(told, said)

  @parameterized.parameters({'quality': None}, {})
  def test_ratings_of_nothing(self, **attributes):
    row = {'prompt': TURN, 'response': 'a', 'attributes': attributes}
    said = self.fault(formats.OASST_RATED, json.dumps(row).encode())
    self.assertIn("field 'attributes' rates none of quality, toxicity", said)


if __name__ == '__main__':
  absltest.main()
