"""The lists of mutations move along with the code that they quote."""

import collections
import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MUTATIONS = [
  entry
  for path in sorted((ROOT / 'tests' / 'mutations').glob('*.json'))
  for entry in json.loads(path.read_text())
]


@pytest.mark.parametrize('entry', MUTATIONS, ids=lambda entry: entry['id'])
def test_its_text_stands_once_and_its_tests_are_there(entry):
  assert (ROOT / entry['file']).read_text().count(entry['find']) == 1
  assert entry['find'] != entry['replace']
  named = [name for name in entry['tests'] if name.startswith('tests/')]
  assert named
  for name in named:
    assert (ROOT / name.partition('::')[0]).exists(), name


def test_every_mutation_has_an_id_of_its_own():
  counts = collections.Counter(entry['id'] for entry in MUTATIONS)
  assert [name for name, count in counts.items() if count > 1] == []
