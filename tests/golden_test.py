"""Our functions against numbers that public reference implementations gave.

Each case is a test, `test_case[<case name>]`. Cases lie in the folders that
the environment variable GOLDEN names (separated as in PATH); by default in
tests/golden, which has some of each kind, and in ../shared/golden where there
is one. A case of both folders runs once if it is the same file.

What is compared is in golden_adapters, one function per kind.
"""

import json
import os
import pathlib

import numpy as np
import pytest

from tests.golden_adapters import (
  adv,
  agg,
  bon,
  cases,
  dpo,
  gae,
  grpo,
  kl,
  listwise,
  mib,
  model,
  ppo,
  ppo_openrlhf,
  reference_free,
  remax,
  rloo,
  rm,
  rso,
  sampling,
  seqlp,
  shaping,
  unpaired,
)

ROOT = pathlib.Path(__file__).parents[1]

ADAPTERS = {
  kind: adapter
  for family in (
    adv,
    agg,
    bon,
    dpo,
    gae,
    grpo,
    kl,
    listwise,
    mib,
    ppo,
    ppo_openrlhf,
    reference_free,
    remax,
    rloo,
    rm,
    rso,
    sampling,
    seqlp,
    shaping,
    unpaired,
  )
  for kind, adapter in family.ADAPTERS.items()
}


def folders() -> list[pathlib.Path]:
  """Where cases lie; the environment's, or the default ones that exist."""
  named = os.environ.get('GOLDEN')
  if named:
    found = [pathlib.Path(name) for name in named.split(os.pathsep) if name]
    missing = [str(f) for f in found if not (f / 'index.json').exists()]
    if missing:
      raise FileNotFoundError(
        f'GOLDEN names {", ".join(missing)}, where there is no index.json.'
      )
    return found
  defaults = (ROOT / 'tests/golden', ROOT.parent / 'shared/golden')
  return [folder for folder in defaults if (folder / 'index.json').exists()]


CASES = cases.merge(folders())


@pytest.mark.parametrize('name', CASES)
def test_case(name, record_property):
  case = CASES[name]
  record_property('golden', case.kind)
  if case.kind not in ADAPTERS | model.MODELS:
    pytest.skip(f'{case.kind}: not covered yet, no adapter')
  inputs, recorded = case.arrays()
  if case.kind in model.MODELS:
    folder = case.folder / case.entry['model_dir']
    ours = model.MODELS[case.kind](folder, inputs, **case.entry['params'])
    ours = {k: v for k, v in ours.items() if k in recorded}
  else:
    ours = cases.compute(case, ADAPTERS[case.kind], inputs)
  assert set(ours) == set(recorded), 'every output is compared or omitted'
  wrong = {}
  for output, expected in recorded.items():
    reason = getattr(ours[output], 'reason', None)
    if isinstance(ours[output], cases.Omitted):
      record_property('golden_gap', f'of {case.kind} not compared: {reason}')
      continue
    if reason:
      record_property('golden_gap', f'of {case.kind} in part only: {reason}')
    problem = cases.difference(case, output, ours[output], expected)
    if problem:
      wrong[output] = problem
  assert not wrong, f'{name} of {case.folder}: {wrong}'


def test_every_kind_here_is_covered():
  """tests/golden stands alone: it has a case of each kind that ours covers.

  But models, whose files are large.
  """
  here = {case.kind for case in cases.read_index(ROOT / 'tests/golden')}
  assert here == set(ADAPTERS)


def fake_case(folder, name='family.kind.a', sha256='0', kind='family.kind'):
  entry = {'name': name, 'kind': kind, 'sha256': sha256}
  return cases.Case(folder, entry | {'tolerance': {'x': [1e-2, 1e-3]}})


@pytest.mark.parametrize(
  ('ours', 'recorded', 'is_near'),
  [
    ([100.5, 0.0005], [100.0, 0.0], True),
    ([102.0, 0.0], [100.0, 0.0], False),  # Beyond the relative tolerance.
    ([100.0, 0.002], [100.0, 0.0], False),  # Beyond the absolute one.
    ([100.0, 7.0], [100.0, np.nan], True),  # Undefined in the reference.
    ([100.0, np.nan], [100.0, np.nan], False),  # Ours has to be finite.
    ([100.0], [100.0, 0.0], False),
    ([1, 2], [1, 3], False),  # Whole numbers have to be equal.
  ],
)
def test_difference_is_noticed(ours, recorded, is_near):
  case = fake_case(ROOT)
  problem = cases.difference(case, 'x', np.array(ours), np.array(recorded))
  assert (not problem) == is_near


def test_only_what_is_said_to_be_is_compared():
  case, recorded = fake_case(ROOT), np.array([1.0, 2.0])
  for compared, is_near in (([True, False], True), ([False, True], False)):
    ours = cases.Where(np.array([1.0, 5.0]), np.array(compared), 'a reason')
    assert (not cases.difference(case, 'x', ours, recorded)) == is_near


def test_removed_tokens_have_to_be_the_same():
  case = fake_case(ROOT, kind='sampling.transform')
  recorded = np.array([0.0, -np.inf])
  assert not cases.difference(case, 'x', np.array([0.0, -np.inf]), recorded)
  assert cases.difference(case, 'x', np.array([0.0, -30.0]), recorded)


def test_a_case_of_two_folders_runs_once_unless_they_differ(tmp_path):
  folders = [tmp_path / 'here', tmp_path / 'there']
  for folder, second in zip(folders, ('1', '2'), strict=True):
    folder.mkdir()
    entries = [
      fake_case(folder, 'same', '0').entry,
      fake_case(folder, 'other', second).entry,
    ]
    (folder / 'index.json').write_text(json.dumps({'cases': entries}))
  merged = cases.merge(folders)
  assert list(merged) == ['same', 'other', 'there:other']
  assert merged['same'].folder == merged['other'].folder == folders[0]
