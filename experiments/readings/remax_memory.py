"""Memory of a round of ReMax and of PPO, read from the compiled programs.

Nothing runs and nothing is allocated: the two programs of a round that hold
most (`shape`, which asks policy, reference and critic for log-probs and values,
and `update`) are compiled for the sandbox's model and for one of 1.2 G
parameters, and the compiler says what each holds. A round needs what stays
(parameters, optimizer, reference, reward model) and, on top, the larger of the
two. Compiled for the machine at hand; on a CPU bfloat16 is computed in float32,
so what programs hold is larger there, for both methods alike.

Source of the claim: Li et al. 2024 (ReMax): about half of PPO's memory.
Run: python -m experiments.readings.remax_memory
"""

import argparse
import dataclasses
import pathlib
import time

from experiments import command
from experiments.readings import round_memory, runs
from rlhf_jax import sandbox
from rlhf_jax.methods import ppo, remax
from rlhf_jax.models import presets

MIB, GIB = 2**20, 2**30


def compare(title, model, responses, prompt, response):
  """{method: bytes, part by part} of a round in one step."""
  common = {'steps': 1, 'batch_size': responses, 'epochs': 1}
  sizes = {
    'PPO': (ppo, ppo.Config(minibatches=1, **common)),
    'ReMax': (remax, remax.paper(**common)),
  }
  found = {}
  for name, (method, config) in sizes.items():
    began = time.perf_counter()
    found[name] = round_memory.measure(
      method, config, model, prompt=prompt, response=response
    )
    spent = time.perf_counter() - began
    print(f'{title} {name} compiled in {spent:.0f} s', flush=True)
  return found


def show(found, unit):
  """Prints a line a part: PPO's, ReMax's, and their ratio."""
  print(f'{"GiB" if unit == GIB else "MiB":28}{"PPO":>10}{"ReMax":>10}  ratio')
  for part, value in found['PPO'].items():
    other = found['ReMax'][part]
    print(
      f'{part:28}{value / unit:10.2f}{other / unit:10.2f}{other / value:7.2f}'
    )
  print()


def main():
  """Prints a table for each size of model, and writes both as JSON."""
  parser = argparse.ArgumentParser(
    prog=command.name(),
    description=__doc__,
    formatter_class=argparse.RawTextHelpFormatter,
  )
  parser.add_argument('--layers', type=int, help='of the 1B model, to try')
  parser.add_argument(
    '--out',
    type=pathlib.Path,
    default='runs/remax',
    help='folder of the results (default: %(default)s)',
  )
  options = parser.parse_args()
  large = presets.llama_1b()
  if options.layers:
    large = dataclasses.replace(large, layers=options.layers)
  small = presets.sandbox(sandbox.tokenizer().vocab_size)
  short = sandbox.max_prompt_tokens(), sandbox.MAX_RESPONSE_TOKENS
  found = {}
  for title, model, responses, lengths, unit in (
    ('sandbox', small, 128, short, MIB),
    ('1B', large, 4, (256, 256), GIB),
  ):
    found[title] = compare(title, model, responses, *lengths)
    print(
      f'\n{title}: {responses} responses of {lengths[1]} tokens to prompts of '
      f'{lengths[0]}, in one step'
    )
    show(found[title], unit)
  runs.write(options.out, 'memory', found)


if __name__ == '__main__':
  main()
