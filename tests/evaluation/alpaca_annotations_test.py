"""Win rates of published annotations, as AlpacaEval's own code has them."""

import collections
import gzip
import json
import math
import pathlib
import statistics

import pytest

from rlhf_jax.evaluation import win_rate
from rlhf_jax.types import Message, Prompt

FILE = pathlib.Path(
  __file__, '../../../../shared/data/alpacafarm_ranked.jsonl.gz'
).resolve()


@pytest.mark.skipif(not FILE.exists(), reason=f'there is no {FILE}')
def test_mean_and_standard_error():
  found = collections.defaultdict(list)
  with gzip.open(FILE, 'rt') as lines:
    for place, line in enumerate(lines):
      row = json.loads(line)
      prompt = Prompt((Message('user', f'{place}: {row["instruction"]}'),))
      for response in row['responses']:
        for name in ('score', 'v1_win', 'cot_win'):
          if response[name] is not None:
            # AlpacaEval has a preference from 1 to 2.
            preference = 1.0 + response[name]
            found[name, response['model']].append((prompt, preference))
  assert len(found) > 30
  for (name, model), rows in found.items():
    prompts, preferences = zip(*rows, strict=True)
    if len(rows) < 30:
      continue
    rate = win_rate.estimate([p - 1.0 for p in preferences], prompts)
    expected = statistics.fmean(preferences) - 1.0
    error = statistics.stdev(preferences) / math.sqrt(len(rows))
    assert rate.value == pytest.approx(expected, abs=1e-12), (name, model)
    assert rate.standard_error == pytest.approx(error, rel=1e-9), (name, model)
