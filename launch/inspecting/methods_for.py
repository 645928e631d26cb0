"""Which methods learn from a dataset, by what their stages read."""

from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

from launch.inspecting.words import line
from rlhf_jax import methods, stages
from rlhf_jax.data.inspection import Contents
from rlhf_jax.learners import listwise, unpaired
from rlhf_jax.types import Comparison, Demonstration, Rated


class Need(NamedTuple):
  """What a method learns from.

  Attributes:
    name: of it.
    words: what it is.
    kinds: of `inspection.kind_of` that serve.
  """

  name: str
  words: str
  kinds: frozenset[str]


ONE = frozenset({'labelled responses'})
TWO = frozenset({'pairs'})
SEVERAL = TWO | {'ranked lists'}
PAIRS = Need('pairs', 'two responses to a prompt, the better one named', TWO)
LISTS = Need('lists', 'responses to a prompt, the best one first', SEVERAL)
LABELS = Need(
  'labels',
  'responses that are labelled, or the better one named',
  SEVERAL | ONE,
)
RESPONSES = Need(
  'responses', 'responses to imitate', SEVERAL | ONE | {'demonstrations'}
)
RATINGS = Need(
  'ratings', 'responses with ratings', frozenset({'rated responses'})
)
PROMPTS = Need(
  'prompts', 'prompts', RESPONSES.kinds | RATINGS.kinds | {'prompts'}
)


def sections(contents: Contents) -> Iterator[str]:
  """One: who learns from what is there, and what others miss."""
  needs: dict[Need, list[str]] = {}
  for name, module in sorted(vars(methods).items()):
    if isinstance(getattr(module, 'stages', None), stages.Method):
      needs.setdefault(need_of(module), []).append(name)
  lines, missing = [], []
  for need in (PAIRS, LISTS, LABELS, RESPONSES, RATINGS, PROMPTS):
    there = need.kinds & contents.kinds.keys()
    if need is PROMPTS and not contents.first_roles:
      there = frozenset()
    names = ', '.join(needs.get(need, ()))
    if need is PROMPTS:
      names += '; a reward scores what they sample'
    if names and there:
      lines.append(line(f'learn from {need.name}', names))
    elif names:
      missing.append(line('missing', f'{need.words}, for {names}'))
  yield '\n'.join([*lines, *missing])


def need_of(module: ModuleType) -> Need:
  """What a method learns from; prompts, where it makes the rest itself.

  Where the method's own writer makes the dataset that its stage trains on, what
  the writer reads.
  """
  stage = module.stages
  writers = {
    writer.name: writer
    for writer in vars(module).values()
    if isinstance(writer, stages.DatasetMethod)
  }
  while (data := first(stage.data)) in writers:
    stage = writers[data]
  if Comparison in stage.reads:
    lists = {unpaired.loss: LABELS, listwise.loss: LISTS}
    return lists.get(module.loss, PAIRS)
  kinds = {Demonstration: RESPONSES, Rated: RATINGS}
  return next((kinds[k] for k in stage.reads if k in kinds), PROMPTS)


def first(data: str | tuple[str, ...]) -> str:
  """The name of a dataset, or of the first of several."""
  return data if isinstance(data, str) else data[0]
