"""The command line of `python -m launch.evaluate`."""

import argparse
import pathlib

from launch import signals, train

# Options that only one of --pairs and --benchmark reads.
OF_PAIRS = ('columns', 'per_prompt', 'least_gap')
OF_BENCHMARK = (
  'questions',
  'policy',
  'against',
  'max_tokens',
  'max_prompt_tokens',
  'temperature',
  'seed',
  'at_a_time',
  'difficulties',
  'length_copies',
  'people',
  'most_missing',
  'judge_results',
)


def parse(arguments):
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.evaluate',
    description='Measure a judge on pairs that people or a strong model '
    'labelled (--pairs), or a policy on a benchmark, against another policy, '
    'by a judge (--benchmark).',
    epilog='What was answered and asked is kept in the --out folder, and is '
    'not asked again. ' + signals.EPILOG,
  )
  _add_judge(parser)
  _add_pairs(parser)
  _add_benchmark(parser)
  parser.add_argument(
    '--count',
    type=int,
    help='so many pairs or questions, the same ones in every run (default: '
    'all)',
  )
  parser.add_argument(
    '--out',
    type=pathlib.Path,
    help='folder of the results (default: runs/evaluate/<what>-<judge>)',
  )
  train.add_shared_arguments(parser)
  options = parser.parse_args(arguments)
  options.given = [
    name
    for name, value in vars(options).items()
    if value != parser.get_default(name)
  ]
  return options


def _add_judge(parser):
  """What a judge is named by, and how an endpoint is asked."""
  parser.add_argument(
    '--judge',
    required=True,
    metavar='JUDGE',
    help="'longer'; a folder of transformers, of a reward model or of a chat "
    'model; the URL of an OpenAI-compatible endpoint, as '
    'http://localhost:8000/v1; or the import path of a function of (prompts, '
    'responses) or of (prompts, responses, others)',
  )
  parser.add_argument(
    '--template',
    default='pair_logprob_1',
    metavar='NAME_OR_FILE',
    help='what a chat model is asked (default: %(default)s); a file of your '
    'own is as rlhf_jax.feedback.verdicts.templates says, and may name a model '
    'and a temperature; of several, with commas between, each has its share of '
    'the prompts',
  )
  parser.add_argument(
    '--flips',
    type=float,
    default=0.0,
    help='share of verdicts that are turned round, as labels of AlpacaFarm are '
    '(there 0.25; default: 0)',
  )
  parser.add_argument(
    '--order',
    choices=('both', 'strict', 'drawn'),
    default='both',
    help='both: asked in both orders, and averaged (default); strict: a win '
    'or loss is one in both; drawn: asked once, in an order drawn for the pair',
  )
  parser.add_argument(
    '--model',
    help="the model's name at the endpoint, for templates that name none",
  )
  parser.add_argument(
    '--key-variable',
    metavar='NAME',
    help='the environment variable that holds the key of the endpoint',
  )
  parser.add_argument(
    '--judge-temperature',
    type=float,
    default=0.0,
    help='of a chat model, for templates that say none (default: 0)',
  )
  parser.add_argument(
    '--timeout',
    type=float,
    default=60.0,
    metavar='SECONDS',
    help='that the endpoint may take for a reply (default: 60)',
  )
  parser.add_argument(
    '--retries',
    type=int,
    default=5,
    help='how often a request that failed is made again (default: 5)',
  )
  parser.add_argument(
    '--concurrency',
    type=int,
    default=8,
    help='most requests under way at a time (default: 8)',
  )
  parser.add_argument(
    '--per-minute',
    type=float,
    help='most requests in a minute (default: no limit)',
  )
  parser.add_argument(
    '--prices',
    type=float,
    nargs=2,
    metavar=('IN', 'OUT'),
    help='of a million tokens read, and written, in any currency; several '
    'models are told apart, at the same prices',
  )
  parser.add_argument(
    '--yes', action='store_true', help='do not ask before asking an endpoint'
  )


def _add_pairs(parser):
  """Which labelled pairs a judge is measured on."""
  group = parser.add_argument_group('a judge on labelled pairs')
  group.add_argument(
    '--pairs',
    metavar='DATA',
    help='a file, a folder, or a prepared dataset (llmbar, hh_rlhf, …) of any '
    'format that compares responses; RewardBench as JSON lines or Parquet, and '
    'RewardBench 2, whose right completions are each held against each wrong '
    'one',
  )
  group.add_argument(
    '--columns',
    default='',
    help='what the files call the fields, as in prompt=question,chosen=good',
  )
  group.add_argument(
    '--per-prompt',
    type=int,
    help='so many pairs of a prompt (default: all)',
  )
  group.add_argument(
    '--least-gap',
    type=float,
    default=0.0,
    help='leave out pairs whose scores differ by less (default: 0)',
  )


def _add_benchmark(parser):
  """Which policies are compared, and on what."""
  group = parser.add_argument_group('a policy on a benchmark')
  group.add_argument(
    '--benchmark',
    metavar='NAME',
    help='vicuna80, alpaca_eval, llmbar (its natural instructions), mt_bench',
  )
  group.add_argument(
    '--questions', metavar='FILE', help='its questions, if not prepared'
  )
  for name, what in (('policy', 'measured'), ('against', 'held against')):
    group.add_argument(
      f'--{name}',
      metavar='DIR_OR_FILE',
      help=f'what is {what}: a folder of transformers, a run (the --out of '
      'launch.train) or a stage of it (RUN/stages/dpo), or answers as '
      "AlpacaEval's model_outputs.json has them",
    )
  group.add_argument(
    '--max-tokens',
    type=int,
    default=300,
    help='of an answer (default: %(default)s)',
  )
  group.add_argument(
    '--max-prompt-tokens',
    type=int,
    default=2048,
    help='of a question, whose end is kept (default: %(default)s)',
  )
  group.add_argument(
    '--temperature', type=float, default=0.7, help='0 is greedy (default: 0.7)'
  )
  group.add_argument(
    '--seed',
    type=int,
    default=0,
    help='of answers, and of orders that are drawn (default: %(default)s)',
  )
  group.add_argument(
    '--at-a-time',
    type=int,
    default=16,
    help='questions answered together (default: %(default)s)',
  )
  group.add_argument(
    '--difficulties',
    metavar='FILE',
    help='of the instructions, for the win rate at equal length',
  )
  group.add_argument(
    '--length-copies',
    nargs='+',
    default=[],
    metavar='FILE',
    help='verdicts on the answers of --against made concise and verbose, as '
    "AlpacaEval's annotations.json, against those answers: with them and "
    '--difficulties the win rate at equal length is the published one',
  )
  group.add_argument(
    '--people',
    metavar='FILE',
    help='what people chose of the same answers, as launch.annotate --compare '
    'writes it, to stand beside the judge',
  )
  group.add_argument(
    '--judge-results',
    metavar='FILE',
    help='the results.json of this judge on labelled pairs (--pairs llmbar), '
    'to stand beside its verdicts here',
  )
  group.add_argument(
    '--most-missing',
    type=float,
    default=0.05,
    help='share of pairs without a verdict, unread or refused, that is let '
    'pass (default: 0.05)',
  )
