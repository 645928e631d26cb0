"""Samples a policy: `python -m launch.generate FILE --prompt TEXT`.

FILE is an experiment that trained it; `--model DIR` in its place is a folder of
transformers.
"""

import argparse
import pathlib
import sys

from launch import console, errors, loading, memory, signals, train


def parse(arguments):
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.generate',
    description='Sample responses from a policy that an experiment trained, or '
    'that a folder of transformers holds.',
    epilog='Without --prompt, one prompt is read from each line of the input.',
  )
  parser.add_argument('file', nargs='?', help='the experiment, a Python file')
  train.add_setting_arguments(parser)
  parser.add_argument(
    '--model',
    metavar='DIR',
    help='a folder of transformers to sample from, in place of an experiment',
  )
  parser.add_argument(
    '--max-tokens',
    type=int,
    default=128,
    help='of a response of --model (default: 128); an experiment has limits',
  )
  parser.add_argument(
    '--policy',
    default='ppo',
    help='a stage that trains one, or a variant of one (default: ppo)',
  )
  parser.add_argument(
    '--prompt',
    action='append',
    metavar='TEXT',
    help='what is asked; may be given many times',
  )
  parser.add_argument(
    '--samples', type=int, default=4, help='responses to each (default: 4)'
  )
  parser.add_argument(
    '--seed', type=int, default=0, help='of the samples (default: 0)'
  )
  for name, kind in SAMPLING.items():
    parser.add_argument(
      '--' + name.replace('_', '-'), type=kind, help=SAMPLING_HELP.get(name)
    )
  return parser.parse_args(arguments)


MOST_AT_A_TIME = 256  # Prompts answered together.
LARGEST = 2**31 - 1  # Whole number on a device.
SAMPLING = {
  'temperature': float,
  'top_k': int,
  'top_p': float,
  'min_p': float,
  'repetition_penalty': float,
}
SAMPLING_HELP = {
  'temperature': '0 takes the most likely token, greedily (default: 1)',
  'top_k': 'sample from so many most likely tokens alone',
  'top_p': 'sample from the most likely tokens that have this probability',
  'min_p': 'sample from tokens at least this share as likely as the likeliest',
  'repetition_penalty': 'above 1, tokens that were said become less likely',
}


def sampling(options):
  """How responses are sampled.

  Raises:
    ValueError: naming the value that cannot be.
  """
  from rlhf_jax.generation.draws import greedy
  from rlhf_jax.generation.sampling import Sampling

  if options.top_k is not None:
    errors.check_whole('--top-k', options.top_k, 1, LARGEST)
  values = {name: getattr(options, name) for name in SAMPLING}
  if options.temperature == 0:
    values |= {'temperature': None, 'draw': greedy}
  # No step has to look at more tokens than top_k.
  return Sampling(top_k_bound=options.top_k, **values)


def prompts(options) -> list[str]:
  """The texts of --prompt, or else of the lines of the input.

  Raises:
    OptionError: there is none, or one that is no text.
  """
  given = options.prompt
  if given is None:
    given = [line for line in _lines(sys.stdin) if line]
  if not given:
    raise errors.OptionError(
      'there is no prompt: give --prompt TEXT, or one on each line of the input'
    )
  for number, text in enumerate(given, 1):
    if not text.strip():
      raise errors.OptionError(f'--prompt {number} of {len(given)} is empty')
    try:
      text.encode()
    except UnicodeEncodeError:  # What the system could not read, it escapes.
      raise errors.OptionError(
        f'prompt {number} of {len(given)} is not UTF-8: {text!r}'
      ) from None
  return given


def _lines(file) -> list[str]:
  """The lines of an input in UTF-8, whatever the console's encoding is."""
  if file is None:  # The command was started without one.
    return []
  if hasattr(file, 'buffer'):
    text = file.buffer.read().decode('utf-8-sig', errors='surrogateescape')
  else:
    text = file.read()
  return [line.strip() for line in text.splitlines()]


@signals.keeps_nothing
def generate(options) -> None:
  """Prints the responses to every prompt."""
  from rlhf_jax.types import Message, Prompt

  errors.check_whole('--samples', options.samples, 1)
  errors.check_whole('--seed', options.seed, 0, errors.LARGEST_SEED)
  errors.check_whole('--max-tokens', options.max_tokens, 1, LARGEST)
  if (options.file is None) == (options.model is None):
    raise errors.OptionError(
      'a policy is of an experiment or of a folder: give FILE or --model DIR'
    )
  how, asked = sampling(options), prompts(options)
  parts = (of_model if options.model else of_experiment)(
    options,
    [Prompt((Message('user', text),)) for text in asked],
    samples=options.samples,
    sampling=how,
    batch_size=min(len(asked), MOST_AT_A_TIME),
  )
  answered = 0
  for part in parts:
    answered += len(part.examples)
    for example, texts in zip(part.examples, part.texts, strict=True):
      print(example.prompt.text)
      for text in texts:
        print(f'  → {text}')
  if answered < len(asked):
    print(
      f'warning: {len(asked) - answered} of {len(asked)} prompts are longer '
      'than limits.max_prompt_tokens, and were left out',
      file=sys.stderr,
    )


def of_experiment(options, asked, **how):
  """The answers of a policy that an experiment trained."""
  import jax

  from rlhf_jax.experiment import (
    ExperimentError,
    answering,
    definition,
    notes,
    prepare,
  )

  module = loading.load(pathlib.Path(options.file))
  experiment = loading.build(module, options.set)
  run = prepare(experiment, options.stages, console=sys.stderr)
  found = definition.policy_variants(experiment)
  if options.policy not in found:
    raise ExperimentError(
      f'{options.policy!r} is no policy of this experiment; there are '
      f'{", ".join(found)}'
    )
  variant = found[options.policy]
  trained = run.experiment.stages.get(variant.policy)
  if trained is not None and not run.folders[variant.policy].done:
    raise ExperimentError(
      f'{variant.policy!r} is not trained yet under these settings; run '
      f'python -m launch.train {options.file} first'
    )
  for warning in notes.warnings(experiment, run.data, [options.policy]):
    print(f'warning: {warning}', file=sys.stderr)
  key = jax.random.key(options.seed)
  return answering.respond_as(run, variant, asked, key, scored=False, **how)


def of_model(options, asked, **how):
  """The answers of a policy in a folder of transformers."""
  import dataclasses

  import jax

  from rlhf_jax.data import at_hand
  from rlhf_jax.experiment.folder_policy import FolderPolicy

  if options.set:
    raise errors.OptionError(
      '--set is of an experiment; --model takes options of sampling alone'
    )
  limits = dataclasses.replace(
    at_hand.LIMITS, max_response_tokens=options.max_tokens
  )
  policy = FolderPolicy(options.model, limits=limits, console=sys.stderr)
  yield from policy.respond(asked, jax.random.key(options.seed), **how)


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  return train.guarded(generate, parse(arguments))


if __name__ == '__main__':
  memory.keep()
  signals.leave(console.run(main))
