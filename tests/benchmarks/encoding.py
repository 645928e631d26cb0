"""Time and memory of text to ids, against the tokenizer alone.

Run: python -m tests.benchmarks.encoding --tokenizer FOLDER --data FOLDER
     python -m tests.benchmarks.encoding … --rows 100000

The comparisons are the HH pairs of the data folder, repeated, each with its
number in the prompt. Block by block they are encoded, and the texts that the
tokenizer was given for them are given to it once more, for `encode_batch`
alone; `conversations` are the seconds that it takes for whole conversations,
one for each response. `one_by_one` is for records that are encoded alone.
Prints JSON; memory is in MiB above what it is once all is imported.
"""

import argparse
import itertools
import json
import pathlib
import re
import time
from collections.abc import Iterator
from unittest import mock

from rlhf_jax.data import chat_templates, encoding, limits, readers, sources
from rlhf_jax.data.tokens import Tokenizer, load
from rlhf_jax.types import Comparison

LIMITS = limits.Limits(
  max_prompt_tokens=1024, max_response_tokens=512, overlong=limits.keep_end
)
BLOCK = 2048


def comparisons(folder: pathlib.Path, rows: int) -> Iterator[Comparison]:
  """So many of the pairs, each with a number of its own in its prompt."""
  pairs = [p for name in sources.HH for p in readers.pairs(folder / name)]
  for number, pair in enumerate(itertools.islice(itertools.cycle(pairs), rows)):
    first, *others = pair.prompt.messages
    first = first._replace(content=f'{number}: {first.content}')
    prompt = pair.prompt._replace(messages=(first, *others))
    yield pair._replace(prompt=prompt)


def resident() -> float:
  """MiB of this process in memory."""
  status = pathlib.Path('/proc/self/status').read_text()
  return int(re.search(r'VmRSS:\s+(\d+) kB', status)[1]) / 1024


def alone(block: list[Comparison], tokenizer: Tokenizer, template) -> float:
  """Seconds of `encode_batch` on the texts that encoding hands to it."""
  spent = 0.0
  batch = tokenizer.marks.backend.encode_batch

  def timed(texts):
    nonlocal spent
    began = time.perf_counter()
    found = batch(texts, add_special_tokens=False)
    spent += time.perf_counter() - began
    return found

  with mock.patch.object(Tokenizer, 'encodings', lambda _, texts: timed(texts)):
    for first in range(0, len(block), encoding.CHUNK):
      asked = [
        (one.prompt, one.responses)
        for one in block[first : first + encoding.CHUNK]
      ]
      template.encode_all(asked, tokenizer)
  return spent


def conversations(block: list[Comparison], tokenizer, template) -> float:
  """Seconds of `encode_batch` on whole conversations."""
  texts = [
    template.render(one.prompt, said) for one in block for said in one.responses
  ]
  began = time.perf_counter()
  for first in range(0, len(texts), encoding.CHUNK):
    tokenizer.backend.encode_batch(
      texts[first : first + encoding.CHUNK], add_special_tokens=False
    )
  return time.perf_counter() - began


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--tokenizer', type=pathlib.Path, required=True)
  parser.add_argument('--data', type=pathlib.Path, required=True)
  parser.add_argument('--rows', type=int, default=5000)
  parser.add_argument('--one-by-one', type=int, default=0, metavar='ROWS')
  options = parser.parse_args()
  tokenizer = load(options.tokenizer)
  template = chat_templates.of(tokenizer)
  rows = comparisons(options.data, options.rows)
  found = dict.fromkeys(('ours', 'encode_batch', 'conversations'), 0.0)
  tokens = 0
  while block := list(itertools.islice(rows, BLOCK)):
    began = time.perf_counter()
    examples, _ = encoding.encode_all(block, tokenizer, template, LIMITS)
    found['ours'] += time.perf_counter() - began
    tokens += sum(e.length for e in examples)
    found['encode_batch'] += alone(block, tokenizer, template)
    found['conversations'] += conversations(block, tokenizer, template)
  began = time.perf_counter()
  for one in comparisons(options.data, options.one_by_one):
    encoding.encode_all([one], tokenizer, template, LIMITS)
  found['one_by_one'] = time.perf_counter() - began
  said = {'rows': options.rows, 'tokens': tokens, 'seconds': found}
  ratio = found['ours'] / found['encode_batch']
  print(json.dumps(said | {'ratio': ratio}, indent=2))


if __name__ == '__main__':
  main()
