"""Are ReMax's and RLOO's gradients less noisy than REINFORCE's?

On one policy many independent rounds of 128 responses are sampled for each
method, and the gradient of each round is kept: how far the rounds scatter
(their total variance) beside how long their mean is. Both of the SFT policy,
with the reward model as PPO's critic, and of PPO's last policy with the critic
that it has by then. Estimates of the same gradient (REINFORCE, ReMax, RLOO) are
compared by their variance; GRPO's and PPO's are on other scales, so all are
compared by noise, the variance over the squared length of the mean.

Source of the claims: Li et al. 2024 (ReMax); Ahmadian et al. 2024 (RLOO).
Run: python -m experiments.readings.remax_variance 0 1 2
after python -m launch.seeds experiments/remax/against_ppo.py --seeds 0 1 2.
"""

import sys
import time

import numpy as np

from experiments.readings import gradient_noise, runs
from experiments.remax import against_ppo
from rlhf_jax import progress
from rlhf_jax.evaluation import statistics
from rlhf_jax.methods import grpo, ppo, reinforce, remax, rloo

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


def measure(chain, rounds):
  """{place: {method: numbers}} of one seed."""
  frozen = {
    'reference': chain.trained.params('sft', 'policy'),
    'reward': chain.trained.params('reward_model', 'reward'),
  }
  found = {}
  for place in PLACES:
    critic = 'reward_model' if place == 'sft' else 'ppo'
    params = {
      'policy': chain.trained.params(place, 'policy'),
      'critic': chain.trained.params(critic, 'critic'),
    }
    found[place] = {
      name: noise(chain, name, params, frozen, rounds, place)
      for name in METHODS
    }
  return found


def noise(chain, name, params, frozen, rounds, place):
  """The numbers of one method; only PPO has a critic."""
  method, config = METHODS[name]
  if method is not ppo:
    params = {'policy': params['policy']}
  title = f'{chain.experiment.seed} {place} {name}'
  shown = progress.Progress(title, rounds, start=0, out=sys.stderr)
  began = time.perf_counter()
  variance, signal = gradient_noise.scatter(
    gradient_noise.gradients(
      chain, method, config, params, frozen, rounds=rounds, show=shown.show
    )
  )
  return {
    'variance': variance,
    'signal': signal,
    'noise': variance / signal,
    'seconds': (time.perf_counter() - began) / rounds,
  }


def pooled(found, place, name, number, divided_by=None):
  """The mean over seeds and its 95 % interval, of a number or of a ratio."""
  values = [seed[place][name][number] for seed in found]
  if divided_by is not None:
    others = [seed[place][divided_by][number] for seed in found]
    values = np.divide(values, others)
  if len(values) == 1:
    return f'{values[0]:.3g}'
  estimate = statistics.mean(np.asarray(values, float), np.arange(len(values)))
  return f'{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]'


def main():
  """Prints a table and writes it as JSON."""
  options = runs.arguments(
    __doc__,
    'runs/remax/variance',
    rounds=(64, f'of {RESPONSES} responses each, of which gradients are taken'),
  )
  chains = runs.chains(against_ppo, options, needed=PLACES)
  found = [measure(chain, options.rounds) for chain in chains]
  for place in PLACES:
    print(f'\nof the policy {place}, {options.rounds} rounds of {RESPONSES}')
    print(f'{"":12}{"variance, REINFORCE = 1":30}{"noise":28}')
    for name in METHODS:
      ratio = pooled(found, place, name, 'variance', 'REINFORCE')
      if name not in ('REINFORCE', 'ReMax', 'RLOO'):
        ratio = '(another scale)'
      relative = pooled(found, place, name, 'noise')
      print(f'{name:12}{ratio:30}{relative:28}')
  named = dict(zip(map(str, options.seeds), found, strict=True))
  runs.write(options.out, 'variance', named)


if __name__ == '__main__':
  main()
