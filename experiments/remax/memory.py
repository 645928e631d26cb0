"""Memory of a round of ReMax and of PPO, read from the compiled programs.

Nothing runs and nothing is allocated: the two programs of a round that hold
most (`shape`, which asks policy, reference and critic for log-probs and values,
and `update`) are compiled for the sandbox's model and for one of 1.2 G
parameters, and the compiler says what each holds. A round needs what stays
(parameters, optimizer, reference, reward model) and, on top, the larger of the
two. Compiled for the machine at hand; on a CPU bfloat16 is computed in float32,
so what programs hold is larger there, for both methods alike.

Source of the claim: Li et al. 2024 (ReMax): about half of PPO's memory.
Run: python -m experiments.remax.memory
"""

import argparse
import dataclasses
import functools
import pathlib
import time

import jax
import jax.numpy as jnp

from rlhf_jax import sandbox
from rlhf_jax.experiment.models import roles
from rlhf_jax.methods import ppo, remax
from rlhf_jax.models import presets
from rlhf_jax.storage import files
from rlhf_jax.training import state as training
from rlhf_jax.types import Rollouts

MIB, GIB = 2**20, 2**30


def rollouts_like(rows, samples, prompt, response):
  """Shapes of Rollouts [rows, samples, prompt + response]."""

  def array(*shape, dtype):
    return jax.ShapeDtypeStruct((rows, samples, *shape), dtype)

  length = prompt + response
  return Rollouts(
    tokens=array(length, dtype=jnp.int32),
    attention_mask=array(length, dtype=bool),
    response_mask=array(length, dtype=bool),
    logps=array(response, dtype=jnp.float32),
    truncated_logps=array(response, dtype=jnp.float32),
    ended=array(dtype=bool),
    index=jax.ShapeDtypeStruct((rows,), jnp.int32),
  )


def size(tree) -> int:
  """Bytes of all arrays of a tree."""
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def compiled_bytes(function, *arguments, donate=()) -> int:
  """Bytes that a program holds beside its arguments, results included."""
  lowered = jax.jit(function, donate_argnums=donate).lower(*arguments)
  memory = lowered.compile().memory_analysis()
  results = memory.output_size_in_bytes - memory.alias_size_in_bytes
  return memory.temp_size_in_bytes + results


def measure(method, config, model, *, prompt, response) -> dict[str, int]:
  """Bytes that a round of a method holds, part by part."""
  models, key = roles(model), jax.eval_shape(lambda: jax.random.key(0))
  policy = jax.eval_shape(models.policy.init, key)
  scalar = jax.eval_shape(models.reward.init, key)
  params = jax.eval_shape(
    functools.partial(method.init, models=models, config=config),
    key,
    {'policy': policy, 'critic': scalar},
  )
  optimizer = config.make_optimizer()
  state = jax.eval_shape(lambda p: training.create(p, optimizer), params)
  frozen = {'reference': policy, 'reward': scalar}
  rollouts = rollouts_like(config.batch_size, config.samples, prompt, response)
  scores = jax.ShapeDtypeStruct(rollouts.ended.shape, jnp.float32)
  given = [scores]
  if method is remax:
    given.append(jax.ShapeDtypeStruct(scores.shape[:1], jnp.float32))
  reference = {'reference': policy}
  shape = functools.partial(method.shape, models=models, config=config)
  arguments = (params, reference, rollouts, *given)
  batch, _ = jax.eval_shape(shape, *arguments)
  update = functools.partial(
    method.update, models=models, optimizer=optimizer, config=config
  )
  parts = {
    'parameters trained': size(params),
    'optimizer': size(state.opt_state),
    'reference and reward model': size(frozen),
    'shape': compiled_bytes(shape, *arguments),
    # No reward model and no reference take part.
    'update': compiled_bytes(update, state, {}, batch, key, donate=(0,)),
  }
  resident = sum(list(parts.values())[:3])
  parts['peak'] = resident + max(parts['shape'], parts['update'])
  return parts


def main():
  """Prints a table for each size of model, and writes both as JSON."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--layers', type=int, help='of the 1B model, to try')
  parser.add_argument(
    '--out', type=pathlib.Path, default=pathlib.Path('runs/remax/memory.json')
  )
  options = parser.parse_args()
  large = presets.llama_1b()
  if options.layers:
    large = dataclasses.replace(large, layers=options.layers)
  small = presets.sandbox(sandbox.tokenizer().vocab_size)
  lengths = sandbox.max_prompt_tokens(), sandbox.MAX_RESPONSE_TOKENS
  found = {}
  for title, model, responses, (prompt, response), unit in (
    ('sandbox', small, 128, lengths, MIB),
    ('1B', large, 4, (256, 256), GIB),
  ):
    common = {'steps': 1, 'batch_size': responses, 'epochs': 1}
    sizes = {
      'PPO': (ppo, ppo.Config(minibatches=1, **common)),
      'ReMax': (remax, remax.paper(**common)),
    }
    found[title] = {}
    for name, (method, config) in sizes.items():
      began = time.perf_counter()
      found[title][name] = measure(
        method, config, model, prompt=prompt, response=response
      )
      spent = time.perf_counter() - began
      print(f'{title} {name} compiled in {spent:.0f} s', flush=True)
    print(
      f'\n{title}: {responses} responses of {response} tokens to prompts of '
      f'{prompt}, in one step'
    )
    print(
      f'{"GiB" if unit == GIB else "MiB":28}{"PPO":>10}{"ReMax":>10}  ratio'
    )
    for part, value in found[title]['PPO'].items():
      other = found[title]['ReMax'][part]
      print(
        f'{part:28}{value / unit:10.2f}{other / unit:10.2f}{other / value:7.2f}'
      )
    print()
  files.make_folder(options.out.parent)
  files.write_json(options.out, found)
  print(f'bytes written: {options.out}')


if __name__ == '__main__':
  main()
