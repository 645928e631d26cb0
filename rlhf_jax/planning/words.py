"""Plans as text for people, and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_jax.planning.advice import Trial
from rlhf_jax.planning.chips import Slice
from rlhf_jax.planning.stage_plan import ProgramPlan, StagePlan
from rlhf_jax.storage.sizes import in_bytes

LARGE = 1e8  # Bytes; less that is sent is not listed.
SENT = 4  # Collectives that are shown of a program.
COLUMNS = ('program', 'a step', 'PFLOP', 'temporary', 'in memory', 'sent')


def of_stage(found: StagePlan, chips: Slice) -> list[str]:
  """The lines about a stage."""
  lines = [
    f'{found.stage}: state {in_bytes(found.state)}, frozen '
    f'{in_bytes(found.frozen)} on each chip of {chips.name}, where '
    f'{in_bytes(found.room)} can be used',
    *_table([COLUMNS + ('at least',), *map(_row, found.programs)]),
    *_memory(found),
    _time(found),
  ]
  for program in found.programs:
    lines += _sent(program)
  return lines


def _row(program: ProgramPlan) -> Sequence[str]:
  found, (seconds, what) = program.compiled, program.bound
  sent = None if found is None else sum(one.wire for one in found.sent)
  if found is not None and found.refused:
    sent = None
  return (
    program.name,
    f'{program.times} x' if program.times else 'once',
    f'{program.flops / 1e15:.3g}',
    _known(found and found.temporaries),
    _known(program.bytes),
    _known(sent),
    f'{seconds:.2g} s, {what}',
  )


def _memory(found: StagePlan) -> Iterator[str]:
  busiest = found.busiest
  if busiest is None:
    both = found.state + found.frozen
    if found.fits is False:
      yield f'does not fit: state and frozen roles alone are {in_bytes(both)}'
    return
  share = f'{in_bytes(busiest.bytes)} of {in_bytes(found.room)}'
  if found.fits:
    yield f'fits: at its busiest, in {busiest.name}, {share}'
  else:
    yield f'does not fit: {busiest.name} needs {share}'
  largest = ', '.join(
    f'{what} {in_bytes(size)}'
    for what, size in busiest.compiled.buffers.items()
  )
  if largest:
    yield f'  largest arrays there: {largest}'
  for program in found.programs:
    moved = program.compiled.moved if program.compiled else ()
    if moved:
      yield (
        f'  {program.name} returns {len(moved)} arrays laid out otherwise '
        f'({moved[0]} first), so that its second run compiles it again'
      )


def _time(found: StagePlan) -> str:
  dearest = found.dearest
  spent, what = dearest.bound
  return (
    f'at full length a step takes at least {found.seconds:.2g} s (a bound, no '
    f'forecast): {dearest.times * spent:.2g} s of it '
    f'{dearest.name}, bound by {what}'
  )


def _sent(program: ProgramPlan) -> Iterator[str]:
  if program.compiled is None or not program.times:
    return
  for one in program.compiled.sent[:SENT]:
    if one.wire >= LARGE:
      loop = ' in loops' if one.looped else ''
      yield (
        f'  {program.name} sends {in_bytes(one.wire)}: {one.kind} of '
        f'{one.shape} {one.times} times{loop} among {one.group}'
      )


def of_trial(trial: Trial, room: float) -> str:
  """The line about a setting that was tried."""
  said = ' '.join(f'--set {each}' for each in trial.assignments)
  if trial.bytes is None:
    return f'  {said}: cannot be, {trial.why}'
  fits = ', and it fits' if trial.fits else f' of {in_bytes(room)}'
  return f'  {said}: {in_bytes(trial.bytes)}{fits}'


def of_length(tokens: int, found: StagePlan) -> str:
  """The line about responses of a length that was tried."""
  busiest = found.busiest
  return (
    f'  responses of {tokens} tokens {"fit" if found.fits else "do not fit"}: '
    f'{in_bytes(busiest.bytes)} of {in_bytes(found.room)}, in {busiest.name}'
  )


def of_longest(name: str, longest: int, refused: int | None) -> str:
  """The line about the longest responses of a stage that fit.

  Args:
    name: of the stage.
    longest: tokens; 0 where nothing fits.
    refused: what did not, or None where nothing was refused.
  """
  if not longest:
    return f'{name}: no response fits'
  more = 'no longer one was tried' if refused is None else f'{refused} do not'
  return f'{name}: responses of {longest} tokens fit, {more}'


def as_json(found: StagePlan, trials: Sequence[Trial]) -> dict[str, Any]:
  """A stage's plan as JSON has it: bytes, seconds, FLOPs."""
  return {
    'stage': found.stage,
    'fits': found.fits,
    'state_bytes': found.state,
    'frozen_bytes': found.frozen,
    'room_bytes': found.room,
    'step_seconds_at_least': found.seconds,
    'busiest': found.busiest and found.busiest.name,
    'dearest': found.dearest.name,
    'programs': [_program_json(program) for program in found.programs],
    'tried': [
      {'set': list(t.assignments), 'bytes': t.bytes, 'fits': t.fits}
      for t in trials
    ],
  }


def _program_json(program: ProgramPlan) -> Mapping[str, Any]:
  said: dict[str, Any] = {
    'name': program.name,
    'times': program.times,
    'flops': program.flops,
    'held_bytes': program.held,
    'bytes': program.bytes,
    'seconds_at_least': dict(program.seconds),
  }
  if (found := program.compiled) is not None:
    said |= {
      'temporary_bytes': found.temporaries,
      'result_bytes': found.results,
      'shared_bytes': found.shared,
      'refused': found.refused,
      'returned_elsewhere': list(found.moved),
      'largest_arrays': dict(found.buffers),
      'sent': [one._asdict() | {'wire': one.wire} for one in found.sent],
    }
  return said


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return [
    '  '
    + '  '.join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
    for row in rows
  ]


def _known(size: float | None) -> str:
  """Bytes; '–' where they are not known."""
  return '–' if size is None else in_bytes(size)
