"""Lines of JSON, and one clear sentence for each fault."""

import gzip
import json
import pathlib
import tempfile

from absl.testing import parameterized

from rlhf_jax.data import jsonl


class JsonlTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def write(self, content, name='a.jsonl'):
    if isinstance(content, str):
      content = content.encode()
    (self.folder / name).write_bytes(content)
    return self.folder / name

  def fault(self, path):
    with self.assertRaises(jsonl.DataError) as caught:
      list(jsonl.read(path))
    return str(caught.exception)

  def test_reads_objects_with_file_and_line(self):
    path = self.write('{"a": "é"}\n\n  \n{"a": 2}')
    self.assertEqual(
      list(jsonl.read(path)),
      [('a.jsonl:1', {'a': 'é'}), ('a.jsonl:4', {'a': 2})],
    )

  def test_reads_gzip(self):
    content = gzip.compress(b'{"a": 1}\n{"a": 2}\n')
    path = self.write(content, 'a.jsonl.gz')
    self.assertEqual(
      [row.where for row in jsonl.read(path)], ['a.jsonl.gz:1', 'a.jsonl.gz:2']
    )

  def test_what_is_read_before_a_fault_is_good(self):
    rows = jsonl.read(self.write('{"a": 1}\n{"a":\n'))
    self.assertEqual(next(rows).fields, {'a': 1})
    with self.assertRaises(jsonl.DataError):
      next(rows)

  @parameterized.parameters(
    ('{"a": 1}\n{"a" 2}\n', 'a.jsonl:2: not JSON at column 6'),
    ('{"a": 1}\n\n[1, 2]\n', 'a.jsonl:3: a JSON list where an object'),
    ('"text"', 'a.jsonl:1: a JSON str where an object'),
    (b'{"a": 1}\n{"a": "\xff"}', 'a.jsonl:2: not UTF-8 (byte 8 of the line)'),
    ('\n \n', 'a.jsonl holds no data'),
    ('', 'a.jsonl holds no data'),
  )
  def test_a_fault_is_placed(self, content, sentence):
    self.assertIn(sentence, self.fault(self.write(content)))

  def test_objects_of_an_array_in_one_line_are_counted(self):
    rows = jsonl.read_any(self.write('[{"a": 1}, {"a": 2},\n{"a": 3}, 4]'))
    found = [next(rows).where for _ in range(3)]
    self.assertEqual(found, ['a.jsonl:1', 'a.jsonl:1 (item 2)', 'a.jsonl:2'])
    with self.assertRaisesRegex(
      jsonl.DataError, r'a.jsonl:2 \(item 4\): a JSON int where an object'
    ):
      next(rows)

  def test_a_missing_file_lists_what_is_there(self):
    self.write('{}', 'train.jsonl')
    self.write('{}', 'notes.txt')
    said = self.fault(self.folder / 'trian.jsonl')
    self.assertIn(f'no file trian.jsonl in {self.folder}', said)
    self.assertIn('notes.txt, train.jsonl', said)
    self.assertIn("did you mean 'train.jsonl'?", said)

  def test_a_missing_folder_is_named(self):
    said = self.fault(self.folder / 'data' / 'a.jsonl')
    self.assertIn(f'no folder {self.folder / "data"}', said)

  def test_a_plain_file_named_gz(self):
    said = self.fault(self.write('{"a": 1}', 'a.jsonl.gz'))
    self.assertIn('a.jsonl.gz: not a whole gzip file after line 0', said)

  def test_a_gzip_file_cut_short(self):
    rows = ''.join(json.dumps({'a': i}) + '\n' for i in range(9999))
    whole = gzip.compress(rows.encode())
    said = self.fault(self.write(whole[: len(whole) // 2], 'a.jsonl.gz'))
    self.assertRegex(said, r'a.jsonl.gz: not a whole gzip file after line \d+')
