"""Samples a trained policy: `python -m launch.generate FILE --prompt TEXT`."""

import argparse
import pathlib
import sys

from launch import train


def parse(arguments):
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.generate',
    description='Sample responses from a policy that an experiment trained.',
    epilog='Without --prompt, one prompt is read from each line of the input.',
  )
  train.add_experiment_arguments(parser)
  parser.add_argument(
    '--policy',
    default='ppo',
    help='a stage that trains one, or a way of answering (default: ppo)',
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
  parser.add_argument('--seed', type=int, default=0)
  for name, kind in SAMPLING.items():
    parser.add_argument('--' + name.replace('_', '-'), type=kind)
  return parser.parse_args(arguments)


MOST_AT_A_TIME = 256  # Prompts answered together.
SAMPLING = {
  'temperature': float,
  'top_k': int,
  'top_p': float,
  'min_p': float,
  'repetition_penalty': float,
}


def generate(options) -> None:
  """Prints the responses to every prompt."""
  import jax

  from rlhf_jax.experiment import (
    ExperimentError,
    definition,
    measuring,
    prepare,
    responding,
  )
  from rlhf_jax.generation.sampling import Sampling
  from rlhf_jax.types import Message, Prompt

  experiment = train.build(train.load(pathlib.Path(options.file)), options.set)
  chain = prepare(experiment, options.stages)
  answerings = definition.answerings(experiment)
  if options.policy not in answerings:
    raise ExperimentError(
      f'{options.policy!r} is no policy of this experiment; there are '
      f'{", ".join(answerings)}'
    )
  answering = answerings[options.policy]
  if not chain.folder(answering.policy).done:
    raise ExperimentError(
      f'{answering.policy!r} is not trained yet under these settings; run '
      f'python -m launch.train {options.file} first'
    )
  for warning in measuring.warnings(chain, [options.policy]):
    print(f'warning: {warning}', file=sys.stderr)
  asked = options.prompt or [line.strip() for line in sys.stdin if line.strip()]
  parts = responding.respond(
    chain,
    answering,
    [Prompt((Message('user', text),)) for text in asked],
    jax.random.key(options.seed),
    samples=options.samples,
    sampling=Sampling(**{name: getattr(options, name) for name in SAMPLING}),
    batch_size=min(len(asked), MOST_AT_A_TIME),
  )
  for part in parts:
    for example, texts in zip(part.examples, part.texts, strict=True):
      print(example.prompt.text)
      for text in texts:
        print(f'  → {text}')


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  return train.guarded(generate, parse(arguments))


if __name__ == '__main__':
  sys.exit(main())
