"""A paper is cited with one year wherever it is named."""

import collections
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
# 'Song et al. 2023 (PRO)', 'Pace et al. 2024 (West-of-N, arXiv 2401.12086)'.
CITED = re.compile(
  r'([A-Z]\w+)(?: et al\.|(?:, [A-Z]\w+)? & [A-Z]\w+) (\d{4}) \(([^()]+)\)'
)


def texts():
  yield (ROOT / 'README.md').read_text()
  for folder in ('rlhf_jax', 'experiments'):
    for path in sorted((ROOT / folder).rglob('*')):
      if path.suffix in ('.py', '.md'):
        yield path.read_text()


def test_a_paper_has_one_year():
  years = collections.defaultdict(set)
  for text in texts():
    for author, year, names in CITED.findall(' '.join(text.split())):
      for name in names.split(', '):
        years[author, name.removeprefix('arXiv ')].add(year)
  assert len(years) > 40  # They are found at all.
  assert {k: v for k, v in years.items() if len(v) > 1} == {}
