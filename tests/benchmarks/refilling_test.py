"""The benchmark of refilling: both forms write what is asked for."""

import gzip
import json

import numpy as np

from rlhf_jax.models import language_model, presets
from tests.benchmarks import refilling


def test_lengths_are_of_the_last_response(tmp_path):
  path = tmp_path / 'dialogues.jsonl.gz'
  said = '\n\nHuman: hi\n\nAssistant: a b c\n\nHuman: so?\n\nAssistant: yes'
  with gzip.open(path, 'wt') as file:
    for text in (said, said + ' it is'):
      file.write(json.dumps({'chosen': text}) + '\n')
  assert set(refilling.lengths_of(path, 20, 9)) == {1, 3}
  assert set(refilling.lengths_of(path, 20, 2)) == {1, 2}


def test_both_forms_are_timed():
  lengths = np.array([3, 1, 6, 2, 2, 1, 1, 4])
  # It checks itself that responses are so long.
  found = refilling.seconds_of(
    language_model(presets.sandbox(16)), lengths, slots=2, longest=6, rounds=2
  )
  assert {name: len(seconds) for name, seconds in found.items()} == {
    'waves': 2,
    'refilled': 2,
  }
