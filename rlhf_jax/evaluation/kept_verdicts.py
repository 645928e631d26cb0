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
from rlhf_jax.types import Prompt

CREDITS = {'pair': str, 'credit': int | float | None}  # Null where none came.


def kept(
  judge: Judge,
  path: str | os.PathLike,
  identity: str,
  *,
  out: TextIO,
  at_a_time: int = 32,
  what: str = 'judging',
) -> Judge:
  """A judge whose verdicts are kept: no pair is put to it twice in an order.

  Args:
    judge: that is asked about pairs of which the file has no verdict.
    path: a file of JSON lines. A line that a crash cut short is left out.
    identity: changes when the judge does; verdicts of others do not count.
    out: where it is shown how far it is.
    at_a_time: pairs that the judge is given, and that are kept, at a time.
    what: is done, as it is shown.

  Raises:
    StorageError: the file cannot be read or written, as it is asked.
    ScoringError: as of `judges.ask`; what was asked with it is not kept.
  """
  path = pathlib.Path(path)

  @functools.wraps(judge, updated=())
  def remembering(prompts, first, second):
    verdicts = read(path)
    rows = list(zip(prompts, first, second, strict=True))
    keys = [key(identity, *row) for row in rows]
    pairs = dict(zip(keys, rows, strict=True))
    waiting = [
      (name, row) for name, row in pairs.items() if name not in verdicts
    ]
    parts = [
      waiting[i : i + at_a_time] for i in range(0, len(waiting), at_a_time)
    ]
    if parts:
      files.make_folder(path.parent)
    for part in progress.track(parts, what, len(parts), out=out, unit='round'):
      asked = zip(*(row for _, row in part), strict=True)
      credits = judges.ask(judge, *map(list, asked))
      new = dict(zip((name for name, _ in part), credits.tolist(), strict=True))
      verdicts |= new
      rows = (
        {'pair': name, 'credit': None if math.isnan(credit) else credit}
        for name, credit in new.items()
      )
      files.append_lines(path, rows)
    return np.array([verdicts[name] for name in keys])

  return remembering


def key(identity: str, prompt: Prompt, first: str, second: str) -> str:
  """Under which a judge's verdict on a pair, in this order, is kept."""
  said = [identity, *prompt.messages, prompt.answer, first, second]
  return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def read(path: str | os.PathLike) -> dict[str, float]:
  """{key: credit} of the file's whole lines, in the order they came in."""
  return {
    row['pair']: math.nan if row['credit'] is None else float(row['credit'])
    for row in files.whole_rows(path, CREDITS)
  }
