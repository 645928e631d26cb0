"""Bytes as people read them."""

import pytest

from rlhf_jax.storage import sizes


@pytest.mark.parametrize(
  'count, said',
  [
    (0, '0 B'),
    (999, '999 B'),
    (1_000, '1.0 kB'),
    (2_480_000, '2.5 MB'),
    (63e9, '63.0 GB'),
    (1_178e9, '1.2 TB'),
    (45e15, '45000.0 TB'),
  ],
)
def test_a_unit_leaves_few_digits(count, said):
  assert sizes.in_bytes(count) == said
