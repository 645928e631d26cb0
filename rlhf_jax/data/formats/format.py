"""Formats of files, and reading a file in the first format that it fits."""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from rlhf_jax.data import arrow, fields, jsonl, names, readers
from rlhf_jax.data.formats.conversations import Unusable
from rlhf_jax.data.formats.learnable import Learnable
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.readers import LeftOut, Records, Stream, collected
from rlhf_jax.types import Record


@dataclasses.dataclass(frozen=True)
class Format:
  """The fields of a kind of file, and the records that its rows give.

  Attributes:
    name: what people call it.
    schema: its fields. A row has all of them that are not Optional, and no
      others. Null in an Optional field means that it is left out, as in
      exported tables; elsewhere null is refused, unless the field's own parser
      takes it.
    records: (parsed fields, 'file:line') -> records; it may leave some out, or
      raise Unusable for the whole row.
    asks: whether its rows hold prompts and no answers. Then a column that is
      not known may hold the answers, so that the format does not fit.
  """

  name: str
  schema: fields.Schema
  records: readers.Rows
  asks: bool = False

  def __call__(self, path: str | pathlib.Path) -> Records:
    """Reads a file of this format."""
    return collected(self.stream(path))

  def stream(self, path: str | pathlib.Path) -> Stream:
    """As a call, a record at a time."""
    return stream_as(path, (self,))

  @functools.cached_property
  def parse(self) -> fields.Parser:
    """The parser of a row."""
    return fields.object_of(
      {
        name: fields.or_null(parser.parser, parser.default)
        if isinstance(parser, fields.Optional)
        else parser
        for name, parser in self.schema.items()
      }
    )

  @property
  def required(self) -> list[str]:
    """The fields that every row has."""
    return [
      name
      for name, parser in self.schema.items()
      if not isinstance(parser, fields.Optional)
    ]

  def uses(self, name: str) -> bool:
    """Whether the records depend on one of its fields."""
    parser = self.schema[name]
    return getattr(parser, 'parser', parser) is not fields.anything

  def distance(self, given: Iterable[str]) -> int:
    """How many fields a row lacks, and has that are not known."""
    given = set(given)
    return len(set(self.required) - given) + len(given - set(self.schema))

  def fits(self, given: Any) -> bool:
    """Whether a row has the fields of this format, with allowed values."""
    try:
      self.parse(given)
    except fields.Fault:
      return False
    return True


def stream_as(
  path: str | pathlib.Path,
  formats: Sequence[Format],
  columns: Mapping[str, str] | None = None,
) -> Stream:
  """Reads a file in the first of some formats that its first row fits.

  All else is as of `formats.read`, but errors of rows come as they are read.
  """
  return stream_of(rows_of(path), pathlib.Path(path).name, formats, columns)


def rows_of(path: str | pathlib.Path) -> Iterator[jsonl.Row]:
  """The rows of a table, of JSON lines or of a JSON array."""
  is_table = pathlib.Path(path).suffix in arrow.SUFFIXES
  return arrow.read(path) if is_table else jsonl.read_any(path)


def first_record(
  rows: Iterator[jsonl.Row],
  formats: Sequence[Format],
  columns: Mapping[str, str] | None = None,
) -> Record | None:
  """The first record of rows, whether or not anything can be learnt from it.

  None where there is none. Arguments and errors are as of `stream_of`.
  """
  form, rows, _ = _begun(rows, formats, columns)
  found = (r for r in _records(form, rows) if not isinstance(r, LeftOut))
  return next(found, None)


def stream_of(
  rows: Iterator[jsonl.Row],
  file: str,
  formats: Sequence[Format],
  columns: Mapping[str, str] | None = None,
) -> Stream:
  """As `stream_as`, of the rows of a file, one or more."""
  form, rows, unread = _begun(rows, formats, columns)
  return Learnable(_records(form, rows), file, form.name, unread)


def _begun(rows, formats, columns):
  """The format of rows, the rows in its terms, and columns that it leaves."""
  first = next(rows)
  unread: list[str] = []
  if columns:
    columns = _with_known(columns, first.fields, formats)
    unread = [name for name in first.fields if name not in columns.values()]
    rows = _renamed(itertools.chain([first], rows), columns)
    first = next(rows)
  rows = itertools.chain([first], rows)
  form = next((form for form in formats if form.fits(first.fields)), None)
  if form is None:
    form = _fitting_in_part(first, formats)
    unread += [name for name in first.fields if name not in form.schema]
    rows = _restricted(rows, form)
  return form, rows, unread


def _with_known(
  columns: Mapping[str, str], given: Iterable[str], formats: Sequence[Format]
) -> dict[str, str]:
  """`columns`, and the file's other columns that have the name of a field."""
  known = {
    name
    for form in formats
    if set(columns) <= set(form.schema)
    for name in form.schema
  }
  taken = {*columns, *columns.values()}
  return {n: n for n in given if n in known and n not in taken} | {**columns}


def _renamed(
  rows: Iterable[jsonl.Row], columns: Mapping[str, str]
) -> Iterator[jsonl.Row]:
  """Rows with the columns that are read, by the format's names."""
  for where, given in rows:
    for name, column in columns.items():
      if column not in given:
        raise DataError(
          f'{where}: there is no column {names.quoted(column)} to read as '
          f'{name!r}{names.nearest(column, given)} The columns are '
          f'{names.listed(given)}.'
        )
    yield jsonl.Row(where, {n: given[c] for n, c in columns.items()})


def _records(
  form: Format, rows: Iterable[jsonl.Row]
) -> Iterator[Record | LeftOut]:
  for where, given in rows:
    with fields.placed(where):
      try:
        yield from list(form.records(form.parse(given), where))
      except Unusable as reason:
        yield LeftOut(where, str(reason))


def _restricted(rows: Iterable[jsonl.Row], form: Format) -> Iterator[jsonl.Row]:
  """Rows without the columns that a format does not know."""
  for where, given in rows:
    with fields.placed(where):
      fields.check_required(form.required, given)
    yield jsonl.Row(where, {n: v for n, v in given.items() if n in form.schema})


def _fitting_in_part(row: jsonl.Row, formats: Sequence[Format]) -> Format:
  """The first format that a row fits once its own columns are left out.

  A column is the file's own if no format reads a field of its name, and no
  field of this format has a name like it.
  """
  read = {name for form in formats for name in form.schema if form.uses(name)}
  for form in formats:
    known = {n: v for n, v in row.fields.items() if n in form.schema}
    own = set(row.fields) - set(known)
    like = {n for n in own if names.nearest(n, form.schema) != '.'}
    if not form.asks and not own & read | like and form.fits(known):
      return form
  _refuse(row, formats)


def _refuse(row: jsonl.Row, formats: Sequence[Format]) -> NoReturn:
  """Raises a DataError with the format nearest to a row, and the fault."""
  nearest = min(formats, key=lambda form: form.distance(row.fields))
  known = set(nearest.schema) & set(row.fields)
  there = names.listed(row.fields) or 'none'
  if not known and len(formats) > 1:
    raise DataError(
      f'{row.where}: the fields are {there}, as of no format that is known: '
      f'{", ".join(form.name for form in formats)}. Say which column is which, '
      'as in prompt=question (a setting such as comparison_columns).'
    )
  if nearest.distance(row.fields):
    raise DataError(
      f'{row.where}: the fields are {there}; the nearest format is '
      f'{nearest.name}, {_difference(nearest, row.fields)}. Rename your '
      'columns, or say which is which, as in prompt=question (a setting such '
      'as comparison_columns).'
    )
  try:
    nearest.parse(row.fields)
  except fields.Fault as fault:
    raise DataError(f'{row.where}: as {nearest.name}, {fault}') from None
  raise AssertionError(f'{nearest.name} fits and does not')


def _difference(form: Format, given: Iterable[str]) -> str:
  """What a row lacks of a format and has beside, in words."""
  missing = [name for name in form.required if name not in given]
  unknown = [name for name in given if name not in form.schema]
  parts = []
  if missing:
    parts.append(f'which also has {names.listed(missing)}')
  if unknown:
    parts.append(f'which has no field {names.listed(unknown)}')
  return ' and '.join(parts)
