"""Win rates of published annotations, as AlpacaEval's own code has them."""

import collections
import gzip
import json
import pathlib

import pytest

from rlhf_jax.evaluation import win_rate
from rlhf_jax.types import Message, Prompt

FILE = pathlib.Path(
  __file__, '../../../../shared/data/alpacafarm_ranked.jsonl.gz'
).resolve()
# What `alpaca_eval.metrics.get_winrate` of commit cd543a1 of
# tatsu-lab/alpaca_eval (pandas 3.1.1) says of the file's annotations, a
# preference being 1 more than the credit: {(field, model): rows, win_rate and
# standard_error in points}.
THEIRS = {
  ('score', 'claude'): (644, 16.278268824751553, 1.281974959810851),
  ('score', 'vicuna-13b-v1.5'): (631, 6.192935741458004, 0.8490958873906773),
  ('score', 'falcon-7b-instruct'): (
    644,
    1.9064603420652173,
    0.4944615017258035,
  ),
  ('score', 'FuseChat-Gemma-2-9B-Instruct'): (
    639,
    70.52188316641627,
    1.4976656959977805,
  ),
  ('v1_win', 'claude-2'): (627, 92.34449760765551, 1.0626865724973784),
  ('v1_win', 'text_davinci_001'): (
    629,
    15.659777424483307,
    1.4348523381479847,
  ),
  ('cot_win', 'alpaca-7b'): (628, 2.229299363057325, 0.5895963540378657),
}


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
            found[name, response['model']].append((prompt, response[name]))
  for key, (count, expected, error) in THEIRS.items():
    prompts, credits = zip(*found[key], strict=True)
    rate = win_rate.estimate(credits, prompts)
    assert rate.count == count, key
    assert 100 * rate.value == pytest.approx(expected, abs=1e-9), key
    assert 100 * rate.standard_error == pytest.approx(error, abs=1e-9), key
