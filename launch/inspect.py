"""Says what is in a dataset: `python -m launch.inspect DATA`.

What it says without a tokenizer takes seconds; with one (`--set
tokenizer=DIR`) it shows what the model will see, token by token.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import TextIO

from launch import console, reporting, settings, signals
from rlhf_jax.data import chat_jinja
from rlhf_jax.types.rules import Count, Date, Natural, ShareBetween
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings:
  """How a dataset is looked at.

  Attributes:
    tokenizer: folder of a tokenizer or of a model of transformers; '' counts
      characters and words in place of tokens.
    template_date: today for its chat template, YYYY-MM-DD.
    data_columns: what your files call the fields of their format, as in
      'prompt=question,chosen=good,rejected=bad'.
    examples: how many are read, from the beginning; all where None.
    tokenized: how many of them become tokens, evenly spread; all where None.
    max_prompt_tokens, max_response_tokens: what is longer is cut, a prompt's
      beginning and a response's end.
    batch_size: examples of a batch.
    pad_to: batches are padded to the next multiple of so many tokens.
    row_length: tokens of a row that several demonstrations share; those of both
      limits where None.
    held_out: share of the prompts that are kept out of training.
    shown: examples that are shown, evenly spread.
  """

  tokenizer: str = ''
  template_date: Date = chat_jinja.DATE
  data_columns: str = ''
  examples: Count | None = None
  tokenized: Count | None = 1000
  max_prompt_tokens: Count = 256
  max_response_tokens: Count = 256
  batch_size: Count = 8
  pad_to: Count = 64
  row_length: Count | None = None
  held_out: ShareBetween = 0.1
  shown: Natural = 2


class Parser(argparse.ArgumentParser):
  """Whose help lists the settings."""

  def print_help(self, file=None):
    super().print_help(file)
    listed = settings.listed(Settings(), Settings())
    print('\nsettings, with their defaults:', file=file)
    print('\n'.join(settings.help_lines(listed)), file=file)


def parse(arguments):
  """Reads the command line."""
  parser = Parser(
    prog='python -m launch.inspect',
    description='Say what is in a dataset: counts, lengths, what limits cut, '
    'what is there twice, what is preferred, which methods learn from it, and '
    'examples as the model will see them, with what is learnt marked.',
  )
  parser.add_argument(
    'data',
    metavar='DATA',
    help="a file, a folder of files, or a pattern of them as in 'data/hh_*', "
    'of any format of rlhf_jax.data.formats; or a prepared dataset, by its '
    'name or its folder',
  )
  parser.add_argument(
    '--set',
    action='append',
    default=[],
    metavar='NAME=VALUE',
    help='set one of the settings below; may be given many times',
  )
  parser.add_argument(
    '--traceback',
    action='store_true',
    help='show where in the code an error came from',
  )
  return parser.parse_args(arguments)


def set_by(assignments: Sequence[str]) -> Settings:
  """The settings, some of them set from `NAME=VALUE`.

  Raises:
    OverrideError: there is no such name, which lists the nearest, or it takes
      no such value.
  """
  from rlhf_jax.experiment import overrides

  own = SimpleNamespace(Settings=Settings, config=lambda settings: settings)
  return overrides.build(own, assignments)


@signals.keeps_nothing
def inspect(options) -> None:
  """Prints what is in the data, section by section.

  Raises:
    DataError, OverrideError, VocabularyError: naming what cannot be read.
  """
  from launch.inspecting import (
    contents,
    encoded,
    examples,
    methods_for,
    oddities,
    sizes,
    words,
  )
  from rlhf_jax.data import chat_templates, files, formats, tokens

  given = set_by(options.set)
  if given.tokenizer:
    tokenizer = tokens.load(given.tokenizer)
    template = chat_templates.of(tokenizer, date=given.template_date)
  folder, found = files.files_at(
    options.data, given.data_columns, read=formats.read, first=given.examples
  )
  records = found.records(folder)
  seen = contents.see(records, given.held_out)
  tell(contents.sections(seen))
  colour, odd = coloured(sys.stdout), oddities.of_records(seen)
  if given.tokenizer:
    as_tokens = encoded.encode(records, tokenizer, template, given)
    tell(encoded.sections(as_tokens, given))
    odd += oddities.of_tokens(as_tokens, given)
    shown = examples.as_tokens(
      as_tokens.examples, tokenizer, given.shown, colour=colour
    )
  else:
    tell(sizes.of_texts(records))
    shown = examples.as_text(records, given.shown, colour=colour)
  tell(methods_for.sections(seen.contents))
  tell(shown)
  for sentence in odd:
    print(words.wrapped(f'warning: {sentence}'))


def tell(sections: Iterable[str]) -> None:
  """Prints sections with a line between them."""
  for section in sections:
    print(section, end='\n\n', flush=True)


def coloured(out: TextIO) -> bool:
  """Whether marks may be colours: in a terminal, if nobody refuses them."""
  return out.isatty() and not os.environ.get('NO_COLOR')


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  options = parse(arguments)
  return signals.obeyed(lambda: reporting.report_errors(inspect, options))


if __name__ == '__main__':
  signals.leave(console.run(main))
