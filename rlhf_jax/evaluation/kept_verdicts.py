"""Verdicts kept in a file as they come: an interrupted evaluation goes on."""

import functools
import hashlib
import json
import math
import os
import pathlib
from typing import TextIO

import numpy as np

from rlhf_jax import progress
from rlhf_jax.evaluation import judges
from rlhf_jax.evaluation.judges import Judge
from rlhf_jax.storage import files

CREDITS = {'pair': str, 'credit': int | float | None}  # Null where none came.


def kept(
  judge: Judge,
  path: str | os.PathLike,
  identity: str,
  *,
  out: TextIO,
  at_a_time: int = 32,
) -> Judge:
  """A judge whose verdicts are kept: no pair is put to it twice in an order.

  Args:
    judge: that is asked about pairs of which the file has no verdict.
    path: a file of JSON lines. A line that a crash cut short is left out.
    identity: changes when the judge does; verdicts of others do not count.
    out: where it is shown how far it is.
    at_a_time: pairs that the judge is given, and that are kept, at a time.

  Raises:
    StorageError: the file cannot be read or written, as it is asked.
    ScoringError: as of `judges.ask`; what was asked with it is not kept.
  """
  path = pathlib.Path(path)

  @functools.wraps(judge, updated=())
  def remembering(prompts, first, second):
    verdicts = _read(path)
    rows = list(zip(prompts, first, second, strict=True))
    keys = [_key(identity, *row) for row in rows]
    pairs = dict(zip(keys, rows, strict=True))
    waiting = [(key, row) for key, row in pairs.items() if key not in verdicts]
    parts = [
      waiting[i : i + at_a_time] for i in range(0, len(waiting), at_a_time)
    ]
    if parts:
      files.make_folder(path.parent)
    for part in progress.track(
      parts, 'judging', len(parts), out=out, unit='round'
    ):
      asked = zip(*(row for _, row in part), strict=True)
      credits = judges.ask(judge, *map(list, asked))
      new = dict(zip((key for key, _ in part), credits.tolist(), strict=True))
      verdicts |= new
      rows = (
        {'pair': key, 'credit': None if math.isnan(credit) else credit}
        for key, credit in new.items()
      )
      files.append_lines(path, rows)
    return np.array([verdicts[key] for key in keys])

  return remembering


def _key(identity, prompt, first, second) -> str:
  said = [identity, *prompt.messages, prompt.answer, first, second]
  return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def _read(path) -> dict[str, float]:
  """{pair: credit} of the file's whole lines."""
  return {
    row['pair']: math.nan if row['credit'] is None else float(row['credit'])
    for row in files.whole_rows(path, CREDITS)
  }
