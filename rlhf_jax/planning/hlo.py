"""Reads the text of a compiled program: computations, and how often they run.

The text is that of XLA's `HloModule.to_string`, as `Compiled.as_text` gives it.
"""

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

BITS = {'pred': 8, 'bf16': 16}  # Of others their name says it.
_TYPE = re.compile(r'\b(pred|bf16|[sufc]\d+|f8e\w+)\[([\d,]*)\]')
_HEAD = re.compile(r'(ENTRY )?%?([\w.~-]+) .*\{$')
_LINE = re.compile(r'\s+(?:ROOT )?%?([\w.~-]+) = (.*)')
_CODE = re.compile(r'([\w-]+)\(')
_CALLS = re.compile(
  r'\b(calls|to_apply|body|condition|branch_computations|called_computations'
  r'|true_computation|false_computation)=(?:\{([^}]*)\}|%?([\w.~-]+))'
)
_NAME = re.compile(r'%?([\w.~-]+)')


class Shape(NamedTuple):
  """An array's type in a program."""

  dtype: str
  sizes: tuple[int, ...]

  @property
  def elements(self) -> int:
    """Its elements."""
    return math.prod(self.sizes)

  @property
  def bytes(self) -> float:
    """Without padding; of 4 bits half a byte each."""
    digits = re.search(r'\d+', self.dtype)
    bits = BITS.get(self.dtype) or int(digits[0])
    return self.elements * bits / 8

  def __str__(self):
    return f'{self.dtype}[{",".join(map(str, self.sizes))}]'


@dataclasses.dataclass(frozen=True)
class Instruction:
  """A line of a computation.

  Attributes:
    name: of its result.
    type: of its result, as it is written.
    code: what is done: 'all-gather', 'fusion'.
    rest: its operands and attributes.
  """

  name: str
  type: str
  code: str
  rest: str

  @property
  def shapes(self) -> tuple[Shape, ...]:
    """The arrays of its result."""
    return tuple(shapes(self.type))

  @property
  def operands(self) -> list[str]:
    """The names of what it works on."""
    return re.findall(r'%([\w.~-]+)', self.rest[: self.rest.find(')')])

  @functools.cached_property
  def called(self) -> list[tuple[str, str]]:
    """(as what, which) computations it calls."""
    return [
      (how, one)
      for how, several, single in _CALLS.findall(self.rest)
      for one in ([single] if single else _NAME.findall(several))
    ]


@dataclasses.dataclass(frozen=True)
class HloModule:
  """A compiled program.

  Attributes:
    computations: by name, each its instructions.
    entry: the name of the one that is run.
  """

  computations: Mapping[str, Sequence[Instruction]]
  entry: str

  def runs(self, loop_steps: int = 1) -> dict[str, int]:
    """How often each computation runs.

    Args:
      loop_steps: how often the body of a loop runs that ends by itself, in
        all, however often it begins.
    """
    times = collections.Counter({self.entry: 1})
    for name in self._callers_first():
      for instruction in self.computations[name]:
        began, trips = times[name], 0
        if instruction.code == 'while':
          known = self._trips(name, instruction)
          trips = began * known if known else max(began, loop_steps)
        more = {'body': trips, 'condition': began + trips}
        for how, callee in instruction.called:
          if callee in self.computations:
            times[callee] += more.get(how, began)
    return dict(times)

  def _callers_first(self):
    order, seen = [], set()
    waiting = [(self.entry, False)]
    while waiting:
      name, over = waiting.pop()
      if over:
        order.append(name)
      elif name not in seen and name in self.computations:
        seen.add(name)
        waiting.append((name, True))
        for instruction in self.computations[name]:
          waiting += [(callee, False) for _, callee in instruction.called]
    return reversed(order)

  def _trips(self, where: str, loop: Instruction) -> int | None:
    """How often a loop runs; None where nothing but its result says it."""
    if said := re.search(r'known_trip_count\W+n\W+(\d+)', loop.rest):
      return int(said[1])
    called = dict(loop.called)
    condition = {i.name: i for i in self.computations[called['condition']]}
    if any(i.code in ('and', 'or') for i in self._reached(called['condition'])):
      return None
    around = {i.name: i for i in self.computations[where]}
    found = []
    for instruction in condition.values():
      if instruction.code in ('compare', 'fusion'):
        for name in instruction.operands:
          found.append(self._constant(name, condition, loop, around))
      if instruction.code == 'fusion':
        inside = self._reached(dict(instruction.called)['calls'])
        found += map(_number, inside)
    return max((n for n in found if n is not None and n > 0), default=None)

  def _constant(self, name, condition, loop, around):
    """The number of an operand that a loop's condition reads."""
    instruction = condition.get(name)
    if instruction is None or instruction.code != 'get-tuple-element':
      return instruction and _number(instruction)
    begins = around.get(loop.operands[0])
    place = int(re.search(r'index=(\d+)', instruction.rest)[1])
    if begins is None or begins.code != 'tuple':
      return None
    given = around.get(begins.operands[place])
    while given is not None and given.code in ('copy', 'bitcast', 'reshape'):
      given = around.get(given.operands[0])
    return given and _number(given)

  def _reached(self, name) -> Iterator[Instruction]:
    """The instructions of a computation, and of those that it calls."""
    for instruction in self.computations.get(name, ()):
      yield instruction
      for _, callee in instruction.called:
        yield from self._reached(callee)


def read(text: str) -> HloModule:
  """The program of a text."""
  computations, entry, inside = {}, '', None
  for line in text.split('\n'):
    # A kernel's metadata may have lines of their own, which are none of these.
    if inside is None and (head := _HEAD.match(line)):
      inside = computations[head[2]] = []
      entry = head[2] if head[1] else entry
    elif line == '}':
      inside = None
    elif inside is not None and (found := _LINE.match(line)):
      inside.append(_instruction(*found.groups()))
  return HloModule(computations, entry)


def shapes(text: str) -> Iterator[Shape]:
  """The types of arrays that a text names, one after the other."""
  for dtype, sizes in _TYPE.findall(text):
    yield Shape(dtype, tuple(int(n) for n in sizes.split(',') if n))


def _instruction(name: str, right: str) -> Instruction:
  kind, done = right[: _end_of_type(right)], right[_end_of_type(right) + 1 :]
  code = _CODE.match(done)
  return Instruction(name, kind, code[1] if code else '', done)


def _end_of_type(right: str) -> int:
  """Where the first space outside of brackets is: types of tuples have some."""
  depth = 0
  for place, letter in enumerate(right):
    depth += (letter in '([{') - (letter in ')]}')
    if letter == ' ' and depth == 0:
      return place
  return len(right)


def _number(instruction: Instruction) -> int | None:
  found = re.match(r'constant\((\d+)\)', instruction.rest)
  return int(found[1]) if found else None
