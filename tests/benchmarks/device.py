"""What an accelerator does with rlhf_jax: parity, speed, memory. One script.

Run: python -m tests.benchmarks.device                   (under 8 minutes)
     python -m tests.benchmarks.device --parts parity decode
     python -m tests.benchmarks.device --parts sft dpo --remat none
     python -m tests.benchmarks.device --tiny            (on a CPU: it runs)

It needs jax, flax, optax and chex alone, reads nothing, and uses one device.
Prints a table, beside what is wanted, and writes JSON,
`results/<date>-<device>.json` by default:

- `machine`: the device, its measured peaks (bfloat16 products, reading memory)
  and those that its maker publishes.
- `parity`: of each kernel and way of attention, how far it is from the CPU in
  float32, and whether that is within bounds.
- `attention`: seconds of each way of attention, a layer of Llama 3.2 1B.
- `sft`, `dpo`, `grpo`: at the shape of Llama 3.2 1B, random weights; MFU is of
  the published peak where it is known, else of the measured one, and counts
  nothing twice that is computed again.
- `decode`: by batch size, the share of the memory's bandwidth, likewise; and
  `load`, the seconds of casting and laying out parameters for the sampler.

`peak_bytes` are the most of the process so far: of a part alone where it runs
alone. A part that fails, for want of memory say, is told, and the others run
on. The public marks: NeMo-RL's gates of DPO (1.3 s a step of 16 pairs) and
GRPO (10 s a round of 64 responses), on H100.
"""

import argparse
import dataclasses
import datetime
import json
import pathlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax.models import presets
from tests.benchmarks.on_device import (
  attention,
  decoding,
  kernel_cases,
  machine,
  model_cases,
  parity,
  training,
)

RESULTS = pathlib.Path(__file__).parent / 'results'
ONE_B = training.Sizes(
  config=presets.llama_1b(),
  rows=16,
  pairs=16,
  length=1024,
  prompts=8,
  samples=8,
  prompt=256,
  response=256,
  steps=3,
)
TINY = training.Sizes(
  config=dataclasses.replace(
    presets.llama_1b(64),
    layers=1,
    width=16,
    heads=2,
    kv_heads=1,
    head_width=8,
    mlp_width=32,
  ),
  rows=2,
  pairs=2,
  length=16,
  prompts=2,
  samples=2,
  prompt=4,
  response=4,
  steps=1,
)
# By part and number: what is hoped for, on an H100.
WANTED = {
  'sft': {'mfu': '>= 0.45'},
  'dpo': {'seconds': '<= 0.8', 'mfu': '>= 0.45'},
  'grpo': {'seconds': '<= 5'},
  'decode': {'share_of_bandwidth': '>= 0.6'},
}


def parts(tiny: bool, sizes: training.Sizes) -> dict[str, Callable[[], Any]]:
  """What is measured, in order."""
  batches = (2,) if tiny else (8, 64, 256)
  lengths = (16,) if tiny else (1024, 4096)
  c = sizes.config
  return {
    'machine': lambda: about_machine(tiny),
    'parity': lambda: agreement(1 if tiny else 8),
    'attention': lambda: attention.measure(
      2 if tiny else 8, lengths, (c.heads, c.kv_heads), sizes.steps
    ),
    'sft': lambda: training.run_sft(sizes),
    'dpo': lambda: training.run_dpo(sizes),
    'grpo': lambda: training.run_grpo(sizes),
    'decode': lambda: decoding.measure(
      c, batches, sizes.prompt // 2, sizes.response // 2, sizes.steps
    ),
  }


def about_machine(tiny: bool) -> dict[str, Any]:
  """The device and its peaks."""
  kind = jax.devices()[0].device_kind
  published = machine.peaks_of(kind)
  return {
    'device': kind,
    'platform': jax.default_backend(),
    'jax': jax.__version__,
    'measured_flops': machine.product_flops(128 if tiny else 8192, 3),
    'measured_bandwidth': machine.bandwidth(2**16 if tiny else 2**31, 3),
    'published_flops': published and published[0],
    'published_bandwidth': published and published[1],
  }


def agreement(scale: int) -> dict[str, Any]:
  """Parity of all cases."""
  rng = np.random.default_rng(0)

  def draw(*shape):
    return rng.normal(size=shape).astype(np.float32)

  return parity.measure(
    kernel_cases.cases(draw, scale)
    | model_cases.cases(draw, scale, jax.default_backend())
  )


def shares(found: Mapping[str, Any]) -> dict[str, Any]:
  """The results, with MFU and shares of bandwidth where peaks are there."""
  results = {name: dict(part) for name, part in found.items()}
  own = results.get('machine', {})

  def peak(of):
    return own.get(f'published_{of}') or own.get(f'measured_{of}')

  for name in ('sft', 'dpo'):
    part = results.get(name, {})
    if 'flops_per_second' in part and peak('flops'):
      part['mfu'] = part['flops_per_second'] / peak('flops')
  for batch in results.get('decode', {}).values():
    if isinstance(batch, dict) and peak('bandwidth'):
      batch['share_of_bandwidth'] = batch['bytes_per_second'] / peak(
        'bandwidth'
      )
  return results


def table(results: Mapping[str, Any]) -> str:
  """A line for each number, under its part, beside what is wanted."""
  lines = []
  for name, part in results.items():
    lines.append(name)
    wanted = WANTED.get(name, {})
    lines += [f'  {key:44} {shown(key, x, wanted)}' for key, x in part.items()]
  return '\n'.join(lines)


def shown(key: str, value: Any, wanted: Mapping[str, str]) -> str:
  """A value in a line."""
  if isinstance(value, Mapping):
    return ', '.join(f'{k} {shown(k, v, wanted)}' for k, v in value.items())
  word = f'{value:.4g}' if isinstance(value, float) else str(value)
  return f'{word} (wanted {wanted[key]})' if key in wanted else word


def run(
  chosen: Sequence[str], tiny: bool, sizes: training.Sizes
) -> dict[str, Any]:
  """The results of the chosen parts."""
  found: dict[str, Any] = {}
  for name, part in parts(tiny, sizes).items():
    if name not in chosen:
      continue
    print(f'{name} …', flush=True)
    began = time.perf_counter()
    try:
      found[name] = part()
    except Exception as e:  # So that one part does not take the others along.
      found[name] = {'failed': machine.said(e)}
    found[name]['wall'] = time.perf_counter() - began
  return shares(found)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
  """The command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  names = list(parts(True, TINY))
  parser.add_argument('--parts', nargs='+', default=names, choices=names)
  parser.add_argument('--tiny', action='store_true', help='whether it runs')
  parser.add_argument(
    '--remat',
    choices=('preset', 'none'),
    default='preset',
    help='what training computes again: all of a block, or nothing',
  )
  parser.add_argument('--out', type=pathlib.Path, help='the JSON')
  return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
  """Runs the command line."""
  options = parse(arguments)
  sizes = TINY if options.tiny else ONE_B
  if options.remat == 'none':
    config = dataclasses.replace(sizes.config, remat=None)
    sizes = dataclasses.replace(sizes, config=config)
  results = run(options.parts, options.tiny, sizes)
  about = {'date': datetime.date.today().isoformat(), 'remat': options.remat}
  kind = re.sub(r'\W+', '-', jax.devices()[0].device_kind.lower())
  out = options.out or RESULTS / f'{about["date"]}-{kind}.json'
  out.parent.mkdir(parents=True, exist_ok=True)
  out.write_text(json.dumps(about | results, indent=1) + '\n')
  print(f'\n{table(results)}\n\nwritten: {out}')


if __name__ == '__main__':
  main()
