"""Every format that is known, and readers that find a file's."""

import pathlib
from collections.abc import Mapping

from rlhf_jax.data import splits
from rlhf_jax.data.formats import answers, preferences, rankings
from rlhf_jax.data.formats.reading import Format, read_as
from rlhf_jax.data.gathering import LeftOut, Records, gather
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.types import Comparison, Demonstration, Record

# In the order that they are tried in: the more particular first.
FORMATS = (
  preferences.HH_RLHF,
  preferences.ULTRAFEEDBACK,
  preferences.TRL_PREFERENCE,
  preferences.ALPACA_FARM,
  preferences.PKU_SAFE_RLHF,
  preferences.SUMMARIES,
  preferences.LLMBAR,
  preferences.PANDALM,
  answers.CHAT,
  answers.SHAREGPT,
  answers.ALPACA,
  answers.DOLLY,
  answers.TRL_UNPAIRED,
  answers.TRL_COMPLETION,
  answers.TRL_PROMPTS,
  answers.TEXTS,
  answers.LABELLED,
  answers.HELPSTEER,
  answers.OASST_RATED,
  answers.HANNA,
  answers.PROBLEMS,
  answers.QUESTIONS,
  rankings.OASST_TREES,
  rankings.OASST_RANKED,
  rankings.SCORED_OUTPUTS,
  rankings.TIERS,
  rankings.VICUNA_ANSWERS,
  rankings.TOPICAL_CHAT,
  rankings.QA_FEEDBACK,
)


def read(
  path: str | pathlib.Path,
  *,
  format: Format | None = None,
  columns: Mapping[str, str] | None = None,
) -> Records:
  """Reads a file of JSON lines or a JSON array, whose format its fields tell.

  Args:
    path: of the file; .gz is unpacked.
    format: its format, where it is not to be found.
    columns: what the file calls the fields of the format, as in
      {'prompt': 'question'}; its other columns are not read then.

  Returns:
    Records of one kind, with notes that say as what the file was read, and what
    was left out.

  Raises:
    DataError: the file is of no format that is known, which names the nearest
      and what is missing; or a row does not fit.
  """
  return read_as(path, FORMATS if format is None else (format,), columns)


def comparisons(
  path: str | pathlib.Path,
  *,
  format: Format | None = None,
  columns: Mapping[str, str] | None = None,
) -> Records:
  """As `read`, of files that compare or label responses."""
  records = read(path, format=format, columns=columns)
  if not isinstance(records[0], Comparison):
    raise DataError(f'{records.notes[0]}; comparisons are needed here.')
  return records


def demonstrations(
  path: str | pathlib.Path,
  *,
  format: Format | None = None,
  columns: Mapping[str, str] | None = None,
) -> Records:
  """As `read`, of files with responses to imitate; of comparisons, the best."""
  records = read(path, format=format, columns=columns)
  if isinstance(records[0], Demonstration):
    return records
  if not isinstance(records[0], Comparison):
    raise DataError(f'{records.notes[0]}; demonstrations are needed here.')
  found = gather(map(_best, records))
  return Records(found, (*records.notes, *found.notes))


def prompts(
  path: str | pathlib.Path,
  *,
  format: Format | None = None,
  columns: Mapping[str, str] | None = None,
) -> Records:
  """As `read`, of any file: what is asked there, each prompt once."""
  records = read(path, format=format, columns=columns)
  return Records(splits.distinct_prompts(records), records.notes)


def columns(given: str) -> dict[str, str]:
  """Columns as a setting gives them: 'prompt=question,chosen=good'.

  Raises:
    DataError: a part of it is not FIELD=COLUMN, or a field is there twice.
  """
  pairs = [part.partition('=') for part in given.split(',')]
  found = {name.strip(): column.strip() for name, _, column in pairs}
  if len(found) < len(pairs) or not all([*found, *found.values()]):
    raise DataError(
      f'columns are given as FIELD=COLUMN, each field once, with commas '
      f'between, as in prompt=question,chosen=good; not {given!r}.'
    )
  return found


def _best(record: Comparison) -> Record | LeftOut:
  if len(record.responses) == 1 and record.scores and record.scores[0] < 0.0:
    return LeftOut(record.prompt.where, 'the response is not a good one')
  return Demonstration(record.prompt, record.responses[0])
