"""Time and memory of text to ids, against the tokenizer alone.

Run: python -m tests.benchmarks.encoding --tokenizer FOLDER --data FOLDER
     python -m tests.benchmarks.encoding … --rows 100000
     python -m tests.benchmarks.encoding … --rows 1000000 --words 4

The comparisons are the HH pairs of the data folder, repeated, each with its
number in the prompt, in a file of their own. With `--words`, of a prompt its
first turn is left, and so many words of each text. How far it is it says as it
goes, and at the end prints JSON:

- `ratio`: of the first COMPARED blocks, in turn, the seconds that encoding and
  keeping takes, over those of `encode_batch` alone on the same texts: every
  prompt and every response once, as encoding hands them to it. This is the one
  to hold to a target.
- `ratio_to_fast`: over those of `encode_batch_fast` on the same texts, which
  gives ids and no more.
- `ratio_to_conversations`: over those of `encode_batch` on whole conversations,
  one a response, which is what a caller without our pieces would encode.
- `one_by_one`: seconds a thousand records, encoded each alone.
- `first`, `second`: in processes of their own, the file as a source that is
  read and encoded, and once more when all is there: seconds, those of them that
  DRAWN batches of like length take, and MiB in memory at most above what they
  are once all is imported and the tokenizer is loaded.
"""

import argparse
import collections
import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from unittest import mock

from rlhf_jax import progress
from rlhf_jax.data import (
  batches,
  chat_templates,
  encoded,
  encoding,
  files,
  jsonl,
  limits,
  orders,
  readers,
  sources,
)
from rlhf_jax.data.templates import ChatFormat
from rlhf_jax.data.tokens import Tokenizer, load
from rlhf_jax.types import Comparison

LIMITS = limits.Limits(
  max_prompt_tokens=1024, max_response_tokens=512, overlong=limits.keep_end
)
BLOCK = 8192
COMPARED = 3  # Blocks at most.
DRAWN, ROWS = 100, 64  # Batches, and rows of each.
FILE = 'pairs.jsonl'


def write(
  data: pathlib.Path, place: pathlib.Path, rows: int, words: int | None
) -> None:
  """Writes so many of the pairs, each with a number in its prompt."""
  pairs = [row.fields for name in sources.HH for row in jsonl.read(data / name)]
  some = itertools.islice(itertools.cycle(pairs), rows)
  numbered = enumerate(shown(some, 'writing', rows))
  with (place / FILE).open('w') as file:
    for number, whole in numbered:
      pair = whole if words is None else shortened(whole, words)
      first, *others = pair['prompt']
      first = first | {'content': f'{number}: {first["content"]}'}
      file.write(json.dumps(pair | {'prompt': [first, *others]}) + '\n')


def shown(items: Iterable[Any], name: str, total: int) -> Iterator[Any]:
  """The items, with how far they are."""
  return progress.track(items, name, total, out=sys.stderr, unit='record')


def shortened(pair: dict[str, Any], words: int) -> dict[str, Any]:
  """A pair of which the first turn is left, and some words of each text."""

  def some(text: str) -> str:
    return ' '.join(text.split()[:words])

  first = pair['prompt'][0]
  said = {side: some(pair[side]) for side in ('chosen', 'rejected')}
  return pair | {'prompt': [first | {'content': some(first['content'])}]} | said


def blocks(place: pathlib.Path) -> Iterator[list[Comparison]]:
  """The comparisons of the file."""
  pairs = iter(readers.pairs.stream(place / FILE))
  while block := list(itertools.islice(pairs, BLOCK)):
    yield block


def compare(
  place: pathlib.Path, tokenizer: Tokenizer, template: ChatFormat
) -> dict[str, float]:
  """Seconds of encoding and of the tokenizer, which take turns."""
  found: dict[str, float] = collections.defaultdict(float)
  backend = tokenizer.marks.backend
  some = itertools.islice(blocks(place), COMPARED)
  for number, block in enumerate(some):
    print(f'comparing, block {number + 1}', file=sys.stderr)
    began = time.perf_counter()
    encoded.keep(place / f'block-{number}', block, tokenizer, template, LIMITS)
    found['ours'] += time.perf_counter() - began
    for batch in (backend.encode_batch, backend.encode_batch_fast):
      found[batch.__name__] += alone(block, tokenizer, template, batch)
    found['conversations'] += conversations(block, tokenizer, template)
  return found


def alone(
  block: Sequence[Comparison],
  tokenizer: Tokenizer,
  template: ChatFormat,
  batch: Callable[..., Any],
) -> float:
  """Seconds of `batch` on the texts that encoding hands to the tokenizer."""
  spent = 0.0

  def timed(texts):
    nonlocal spent
    began = time.perf_counter()
    found = batch(texts, add_special_tokens=False)
    spent += time.perf_counter() - began
    return [one.ids for one in found]

  with mock.patch.object(
    Tokenizer, 'encode_all', lambda _, texts: timed(texts)
  ):
    for first in range(0, len(block), encoding.CHUNK):
      some = block[first : first + encoding.CHUNK]
      template.encode_all([(o.prompt, o.responses) for o in some], tokenizer)
  return spent


def conversations(
  block: Sequence[Comparison], tokenizer: Tokenizer, template: ChatFormat
) -> float:
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


def one_by_one(
  place: pathlib.Path,
  tokenizer: Tokenizer,
  template: ChatFormat,
  rows: int = 250,
) -> float:
  """Seconds a thousand records."""
  block = next(blocks(place))[:rows]
  began = time.perf_counter()
  for one in block:
    encoding.encode_all([one], tokenizer, template, LIMITS)
  return (time.perf_counter() - began) * 1000 / len(block)


def whole(place: pathlib.Path, folder: pathlib.Path) -> dict[str, float]:
  """Reads the file as a source and encodes it, where that was not done."""
  source = sources.Feedback(
    str(place),
    comparisons=files.Files((FILE,), readers.pairs),
    tokenizer=str(folder),
  )
  _ = load(folder).marks
  before = memory('VmRSS')
  pathlib.Path('/proc/self/clear_refs').write_text('5')  # The peak from here.
  print('reading', file=sys.stderr)
  began = time.perf_counter()
  corpus = source.load(place / 'source')
  read = time.perf_counter()
  records = corpus.datasets['comparisons']
  ids = place / 'ids'
  watched = shown(records, 'encoding', len(records))
  encoded.keep(ids, watched, corpus.tokenizer, corpus.template, LIMITS)
  examples = encoded.learnable(ids, records)
  kept = time.perf_counter()
  made = batches.Batches(
    examples,
    batch_size=ROWS,
    seed=0,
    pad_id=corpus.tokenizer.pad_id,
    limits=LIMITS,
    order=orders.of_like_length,
  )
  for step in range(DRAWN):
    _ = made[step * len(examples) // (ROWS * DRAWN)]
  drawn = time.perf_counter()
  return {
    'seconds': drawn - began,
    'of_them_reading': read - began,
    'of_them_batches': drawn - kept,
    'examples': len(examples),
    'tokens_of_the_longest': int(examples.lengths.max()),
    'mib': memory('VmHWM') - before,
  }


def memory(name: str) -> float:
  """MiB of this process."""
  status = pathlib.Path('/proc/self/status').read_text()
  return int(re.search(rf'{name}:\s+(\d+) kB', status)[1]) / 1024


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--tokenizer', type=pathlib.Path, required=True)
  parser.add_argument('--data', type=pathlib.Path, required=True)
  parser.add_argument('--rows', type=int, default=5000)
  parser.add_argument('--words', type=int)
  parser.add_argument(
    '--place', type=pathlib.Path, help='only do `first`, of the file there'
  )
  options = parser.parse_args()
  if options.place is not None:
    print(json.dumps(whole(options.place, options.tokenizer)))
    return
  tokenizer = load(options.tokenizer)
  template = chat_templates.of(tokenizer)
  with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    write(options.data, place, options.rows, options.words)
    seconds = compare(place, tokenizer, template)
    said = {
      'rows': options.rows,
      'seconds': seconds,
      'ratio': seconds['ours'] / seconds['encode_batch'],
      'ratio_to_fast': seconds['ours'] / seconds['encode_batch_fast'],
      'ratio_to_conversations': seconds['ours'] / seconds['conversations'],
      'one_by_one': one_by_one(place, tokenizer, template),
    }
    for name in ('first', 'second'):
      command = [sys.executable, '-m', __spec__.name, *sys.argv[1:]]
      ran = subprocess.run(
        [*command, '--place', folder], check=True, stdout=subprocess.PIPE
      )
      said[name] = json.loads(ran.stdout)
  print(json.dumps(said, indent=2))


if __name__ == '__main__':
  main()
