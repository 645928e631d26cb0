"""Time and memory of text to ids, against the tokenizer alone.

Run: python -m tests.benchmarks.encoding --tokenizer FOLDER --data FOLDER
     python -m tests.benchmarks.encoding … --rows 100000

The comparisons are the HH pairs of the data folder, repeated, each with its
number in the prompt, in a file of their own. Prints JSON:

- `ratio`: of the first COMPARED blocks, in turn, the seconds that encoding and
  keeping takes, over those of `encode_batch` alone on the texts that encoding
  hands to it; and over those on whole conversations, one for each response.
- `one_by_one`: seconds a thousand records, encoded each alone.
- `first`, `second`: in processes of their own, the file as a source that is
  read and encoded, and once more when all is there: seconds, and MiB in memory
  at most above what they are once all is imported and the tokenizer is loaded.
"""

import argparse
import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from unittest import mock

from rlhf_jax.data import (
  chat_templates,
  encoded,
  encoding,
  files,
  jsonl,
  limits,
  readers,
  sources,
)
from rlhf_jax.data.templates import Format
from rlhf_jax.data.tokens import Tokenizer, load
from rlhf_jax.types import Comparison

LIMITS = limits.Limits(
  max_prompt_tokens=1024, max_response_tokens=512, overlong=limits.keep_end
)
BLOCK = 2048
COMPARED = 10  # Blocks at most.
FILE = 'pairs.jsonl'


def write(data: pathlib.Path, place: pathlib.Path, rows: int) -> None:
  """Writes so many of the pairs, each with a number in its prompt."""
  pairs = [row.fields for name in sources.HH for row in jsonl.read(data / name)]
  numbered = enumerate(itertools.islice(itertools.cycle(pairs), rows))
  with (place / FILE).open('w') as file:
    for number, pair in numbered:
      first, *others = pair['prompt']
      first = first | {'content': f'{number}: {first["content"]}'}
      file.write(json.dumps(pair | {'prompt': [first, *others]}) + '\n')


def blocks(place: pathlib.Path) -> Iterator[list[Comparison]]:
  """The comparisons of the file."""
  pairs = iter(readers.pairs.stream(place / FILE))
  while block := list(itertools.islice(pairs, BLOCK)):
    yield block


def compare(
  place: pathlib.Path, tokenizer: Tokenizer, template: Format
) -> dict[str, float]:
  """Seconds of encoding and of the tokenizer, which take turns."""
  found = dict.fromkeys(('ours', 'encode_batch', 'conversations'), 0.0)
  some = itertools.islice(blocks(place), COMPARED)
  for number, block in enumerate(some):
    began = time.perf_counter()
    encoded.keep(place / f'block-{number}', block, tokenizer, template, LIMITS)
    found['ours'] += time.perf_counter() - began
    found['encode_batch'] += alone(block, tokenizer, template)
    found['conversations'] += conversations(block, tokenizer, template)
  return found


def alone(
  block: Sequence[Comparison], tokenizer: Tokenizer, template: Format
) -> float:
  """Seconds of `encode_batch` on the texts that encoding hands to it."""
  spent, batch = 0.0, tokenizer.marks.backend.encode_batch

  def timed(texts):
    nonlocal spent
    began = time.perf_counter()
    found = batch(texts, add_special_tokens=False)
    spent += time.perf_counter() - began
    return [one.ids for one in found]

  with mock.patch.object(Tokenizer, 'encode_all', lambda _, texts: timed(texts)):
    for first in range(0, len(block), encoding.CHUNK):
      some = block[first : first + encoding.CHUNK]
      template.encode_all([(o.prompt, o.responses) for o in some], tokenizer)
  return spent


def conversations(
  block: Sequence[Comparison], tokenizer: Tokenizer, template: Format
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
  place: pathlib.Path, tokenizer: Tokenizer, template: Format, rows: int = 250
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
  began = time.perf_counter()
  corpus = source.load(place / 'source')
  read = time.perf_counter()
  records = corpus.datasets['comparisons']
  ids = place / 'ids'
  encoded.keep(ids, records, corpus.tokenizer, corpus.template, LIMITS)
  examples = encoded.learnable(ids, records)
  return {
    'seconds': time.perf_counter() - began,
    'of_them_reading': read - began,
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
    write(options.data, place, options.rows)
    seconds = compare(place, tokenizer, template)
    said = {
      'rows': options.rows,
      'seconds': seconds,
      'ratio': seconds['ours'] / seconds['encode_batch'],
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
