"""Bytes as people read them."""


def in_bytes(count: float) -> str:
  """'2.1 MB'; of less than a thousand '512 B'."""
  number, unit = float(count), 'B'
  for larger in ('kB', 'MB', 'GB', 'TB'):
    if number < 1000:
      break
    number, unit = number / 1000, larger
  return f'{number:.0f} {unit}' if unit == 'B' else f'{number:.1f} {unit}'
