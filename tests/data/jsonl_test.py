"""Lines of JSON, and one clear sentence for each fault."""

import gzip
import json
import lzma
import pathlib
import sys
import tempfile
from unittest import mock

import pyarrow
from absl.testing import parameterized

from rlhf_jax.data import jsonl

# The end of a name, what people call it, and other people's packing.
PACKED = (
  ('.gz', 'gzip', gzip.compress),
  ('.xz', 'xz', lzma.compress),
  (
    '.zst',
    'zstd',
    lambda content: pyarrow.compress(content, codec='zstd', asbytes=True),
  ),
)


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

  def test_what_is_read_before_a_fault_is_good(self):
    rows = jsonl.read(self.write('{"a": 1}\n{"a":\n'))
    self.assertEqual(next(rows).fields, {'a': 1})
    with self.assertRaises(jsonl.DataError):
      next(rows)

  @parameterized.parameters(
    ('{"a": 1}\n{"a" 2}\n', 'a.jsonl:2: not JSON at column 6'),
    ('{"a": "b\n', 'a.jsonl:1: not JSON at column 7 (Unterminated string);'),
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

  @parameterized.parameters(*PACKED)
  def test_packed_files_are_read_as_what_they_hold(self, suffix, name, pack):
    del name
    path = self.write(pack(b'{"a": 1}\n{"a": 2}\n'), f'a.jsonl{suffix}')
    self.assertEqual(
      list(jsonl.read(path)),
      [(f'{path.name}:1', {'a': 1}), (f'{path.name}:2', {'a': 2})],
    )

  @parameterized.parameters(*PACKED)
  def test_packed_files_that_are_not_whole(self, suffix, name, pack):
    rows = ''.join(json.dumps({'a': i}) + '\n' for i in range(9999))
    whole, file = pack(rows.encode()), f'a.jsonl{suffix}'
    said = self.fault(self.write(whole[: len(whole) // 2], file))
    self.assertRegex(said, rf'{file}: not a whole {name} file after line \d+')
    said = self.fault(self.write('{"a": 1}', file))
    self.assertRegex(said, rf'{file}: not a whole {name} file after line 0 ')
    self.assertIn(f'drop {suffix} from the name', said)

  def test_what_unpacks_and_is_not_there_is_named(self):
    path = self.write(b'', 'a.jsonl.zst')
    with mock.patch.dict(sys.modules, {'pyarrow': None}):
      self.assertEqual(
        self.fault(path),
        'to read a.jsonl.zst, the package pyarrow is needed: pip install '
        'pyarrow',
      )
