"""Claim: ReMax's and RLOO's gradients are less noisy than REINFORCE's.

On one policy many independent rounds of 128 responses are sampled for each
method, and the gradient of each round is kept: how far the rounds scatter
(their total variance) beside how long their mean is. Both of the SFT policy,
with the reward model as PPO's critic, and of PPO's last policy with the critic
that it has by then. Estimates of the same gradient (REINFORCE, ReMax, RLOO) are
compared by their variance; GRPO's and PPO's are on other scales, so all are
compared by noise, the variance over the squared length of the mean.

Source of the claims: Li et al. 2024 (ReMax); Ahmadian et al. 2024 (RLOO).
Run: python -m experiments.policy_gradient.variance 0 1 2
after python -m launch.seeds experiments/remax/against_ppo.py --seeds 0 1 2.
"""

import argparse
import pathlib
import sys
import time

import jax
import numpy as np

from experiments import reading
from experiments.remax import against_ppo as chain_file
from rlhf_jax.data.batches import Batches
from rlhf_jax.evaluation import statistics
from rlhf_jax.learners import policy_gradient
from rlhf_jax.methods import grpo, ppo, reinforce, remax, rloo
from rlhf_jax.storage import files
from rlhf_jax.training import metrics
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import flatten_candidates

RESPONSES = 128
COMMON = {'steps': 1, 'kl_coef': 0.05, 'unended_penalty': 1.0}
ALONE = COMMON | {'batch_size': RESPONSES}
GROUPS = COMMON | {'batch_size': RESPONSES // 4, 'samples': 4}
METHODS = {
  'REINFORCE': (reinforce, reinforce.Config(**ALONE)),
  'ReMax': (remax, remax.paper(**ALONE)),
  'RLOO': (rloo, rloo.Config(**GROUPS)),
  'GRPO': (grpo, grpo.Config(**GROUPS | {'kl_coef': 0.0})),
  'Dr. GRPO': (grpo, grpo.dr_grpo(**GROUPS | {'kl_coef': 0.0})),
  'PPO': (ppo, ppo.Config(**ALONE)),
}
PLACES = ('sft', 'ppo')


def gradients(chain, method, config, params, frozen, rounds, progress):
  """Yields the policy's gradient [P] of every round, flat."""
  models = chain.models()
  examples, _ = chain.encode(chain.records('prompts'))
  batches = Batches(
    examples,
    batch_size=config.batch_size,
    seed=0,
    pad_id=chain.corpus.tokenizer.pad_id,
    limits=chain.experiment.limits,
  )
  key = chain.key('variance')
  slope = jitted(training.gradient(policy_gradient.loss))
  for step in range(rounds):
    batch, _ = method.collect(
      params,
      frozen,
      batches[step],
      jax.random.fold_in(key, step),
      models=models,
      config=config,
    )
    rest = flatten_candidates(batch.replace(rollouts=None))
    flat = rest.replace(
      rollouts=policy_gradient.flatten_rollouts(batch.rollouts)
    )
    grads, _ = slope(params, {}, flat, key, models=models, config=config)
    progress.show(step + 1, {})
    leaves = jax.tree.leaves(grads['policy'])
    yield np.concatenate([np.ravel(leaf) for leaf in leaves])


def scatter(rows) -> tuple[float, float]:
  """Total variance of one round, and the squared length of the mean.

  Both unbiased: the mean's own variance is taken off its length.
  """
  count, total, squares = 0, 0.0, 0.0
  for row in rows:
    row = row.astype(np.float64)
    count, total, squares = count + 1, total + row, squares + row @ row
  mean = total / count
  variance = (squares - count * (mean @ mean)) / (count - 1)
  return float(variance), float(mean @ mean - variance / count)


def measure(seed, rounds, stages_dir):
  """{place: {method: numbers}} of one seed."""
  experiment = chain_file.config(chain_file.Settings(seed=seed))
  chain = reading.done(chain_file, experiment, stages_dir, needed=PLACES)
  found = {}
  for place in PLACES:
    frozen = {
      'reference': chain.params('sft', 'policy'),
      'reward': chain.params('reward_model', 'reward'),
    }
    critic = 'reward_model' if place == 'sft' else 'ppo'
    both = {
      'policy': chain.params(place, 'policy'),
      'critic': chain.params(critic, 'critic'),
    }
    found[place] = {}
    for name, (method, config) in METHODS.items():
      params = both if method is ppo else {'policy': both['policy']}
      began = time.perf_counter()
      progress = metrics.Progress(
        f'{seed} {place} {name}', rounds, start=0, out=sys.stderr
      )
      variance, signal = scatter(
        gradients(chain, method, config, params, frozen, rounds, progress)
      )
      found[place][name] = {
        'variance': variance,
        'signal': signal,
        'noise': variance / signal,
        'seconds': (time.perf_counter() - began) / rounds,
      }
  return found


def pooled(found, place, name, number, beside=None):
  """The mean over seeds and its 95 % interval, of a number or of a ratio."""
  values = [seed[place][name][number] for seed in found]
  if beside is not None:
    others = [seed[place][beside][number] for seed in found]
    values = np.divide(values, others)
  if len(values) == 1:
    return f'{values[0]:.3g}'
  estimate = statistics.mean(np.asarray(values, float), np.arange(len(values)))
  return f'{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]'


def main():
  """Prints a table and writes it as JSON."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('seeds', type=int, nargs='+')
  parser.add_argument('--rounds', type=int, default=64)
  parser.add_argument('--stages', type=pathlib.Path, default='runs/stages')
  parser.add_argument(
    '--out',
    type=pathlib.Path,
    default=pathlib.Path('runs/policy_gradient/variance.json'),
  )
  options = parser.parse_args()
  found = [measure(s, options.rounds, options.stages) for s in options.seeds]
  for place in PLACES:
    print(f'\nof the policy {place}, {options.rounds} rounds of {RESPONSES}')
    print(f'{"":12}{"variance, REINFORCE = 1":30}{"noise":28}')
    for name in METHODS:
      ratio = pooled(found, place, name, 'variance', 'REINFORCE')
      if name not in ('REINFORCE', 'ReMax', 'RLOO'):
        ratio = '(another scale)'
      noise = pooled(found, place, name, 'noise')
      print(f'{name:12}{ratio:30}{noise:28}')
  files.make_folder(options.out.parent)
  named = dict(zip(map(str, options.seeds), found, strict=True))
  files.write_json(options.out, named)
  print(f'\nwritten: {options.out}')


if __name__ == '__main__':
  main()
