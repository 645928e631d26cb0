"""Best of n and PPO on one KL axis, from one pool of SFT's samples a seed.

The whole curve in n, of both rewards, against two estimates of its KL:
log n − (n − 1) / n, which takes no scores to tie, and one that counts ties.
Then Gao et al.'s forms fitted to gold, and what choosing could gain: the best
score above the median by n. PPO's curve is of its training, on its prompts.
Run: python -m experiments.readings.best_of_n_kl_axis 0 1 2
after python -m launch.seeds experiments/best_of_n/against_ppo.py --seeds 0 1 2.
"""

import jax
import numpy as np

from experiments.best_of_n import against_ppo
from experiments.readings import potential_gain, reward_by_kl, runs
from rlhf_jax.evaluation import best_of_n, reward_curve
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.experiment import PolicyVariant, answering
from rlhf_jax.generation.sampling import Sampling

POOL = 64
PROMPTS = 16  # At a time.
NS = (1, 2, 4, 8, 16, 32, 64)
ROWS = 5  # Rounds of PPO that are one row.


def pool(chain):
  """[P, POOL] learnt reward, gold, and whether each of SFT's samples ended."""
  how = chain.experiment.evaluation
  records = list(chain.data.records(how.prompts))[: how.count]
  gold = chain.corpus.gold
  scores, golds, ended = [], [], []
  with jax.set_mesh(chain.mesh):
    for part in answering.respond_as(
      chain,
      PolicyVariant(policy='sft'),
      records,
      chain.key('pool'),
      samples=POOL,
      sampling=Sampling(temperature=1.0),
      batch_size=PROMPTS,
    ):
      count = len(part.examples)
      asked = [e.prompt for e in part.examples for _ in range(POOL)]
      texts = [text for row in part.texts for text in row]
      golds.append(np.reshape(gold(asked, texts), (count, POOL)))
      scores.append(np.asarray(part.scores)[:count])
      ended.append(np.asarray(part.rollouts.ended)[:count])
  return tuple(map(np.concatenate, (scores, golds, ended)))


def curves_of(chain):
  """Curves by name, and what there is to gain by n; of one seed."""
  scores, golds, ended = pool(chain)
  # One that did not end is chosen last.
  choosing = np.where(ended, scores, scores.min() - 1.0)

  def means(values):
    return np.array(
      [best_of_n.expectation(choosing, values, n).mean() for n in NS]
    )

  rewards = means(scores), means(golds)
  # Rounding may leave n = 1 a hair below 0.
  ties = [max(best_of_n.pool_divergence(choosing, n).mean(), 0.0) for n in NS]
  none = [best_of_n.divergence(n) for n in NS]
  ppo = reward_by_kl.along_training(chain)['ppo']
  gains = [potential_gain.potential_gain(scores, n).mean() for n in NS]
  return {
    'best of n': RewardCurve(np.array(NS), np.array(ties), *rewards),
    'best of n, were there no ties': RewardCurve(
      np.array(NS), np.array(none), *rewards
    ),
    'ppo': reward_by_kl.in_stretches(ppo, ROWS),
  }, np.array(gains)


def print_fit(name, fit):
  """The fitted form, and where it turns over if it does."""
  line = f'  {name:30} α {fit.alpha:.2f}, β {fit.beta:.2f}'
  if np.isfinite(fit.peak):
    line += f', highest at {fit.peak**2:.2f} nats: {fit.height:.2f}'
  print(f'{line}; residual {fit.residual:.3f}')


def print_tables(pooled, gains):
  """The curve in n, PPO's, and the fits; of the seeds' mean curves."""
  best, untied, ppo = pooled.values()
  print('   n   KL by n   KL, ties   learnt    gold   best above median')
  for row, n in enumerate(NS):
    print(
      f'{n:4} {untied.kl[row]:9.2f} {best.kl[row]:10.2f} '
      f'{best.score[row]:8.2f} {best.gold[row]:7.2f} {gains[row]:12.2f}'
    )
  print('\nPPO, by stretch of training: KL, learnt, gold')
  for row in zip(ppo.kl, ppo.score, ppo.gold, strict=True):
    print('    ' + ''.join(f'{value:9.2f}' for value in row))
  start = best.gold[0]  # SFT's own.
  print('\ngold above SFT by d = √KL, of Gao et al.')
  for name in list(pooled)[:2]:
    curve = pooled[name]
    fit = reward_curve.fit_best_of_n(curve.distances, curve.gold - start)
    print_fit(name, fit)
  fit = reward_curve.fit_reinforcement(ppo.distances, ppo.gold - start)
  print_fit('ppo', fit)


def main():
  """Prints the tables; writes and draws the seeds' mean curves."""
  options = runs.arguments(__doc__, 'runs/best_of_n/kl_axis')
  found = [curves_of(chain) for chain in runs.chains(against_ppo, options)]
  curves, gains = zip(*found, strict=True)
  pooled = reward_by_kl.over_seeds(curves)
  print_tables(pooled, np.mean(gains, axis=0))
  reward_by_kl.write(options.out, 'reward_by_kl', pooled)


if __name__ == '__main__':
  main()
