"""Do reward models learn what synthetic pairs teach, or the pairs by heart?

How often each is right on the annotated pairs and on RLP-SPG's, both trained
on, and on pairs made in the same way of held-out prompts: other wordings and
styles of questions that are in training too. RLP-SPG prefers the best scored
sample of the largest group, or any of them. By gold, so that an annotator's
error is not a model's.
Run: python -m experiments.readings.rlp_generalisation 0 1 2 3 4
after python -m launch.seeds experiments/rlp/ablations.py --seeds 0 1 2 3 4.
"""

import numpy as np

from experiments.readings import policy_samples as samples
from experiments.readings import runs, tables
from experiments.rlp import ablations
from experiments.sandbox_chain.rlp import SAME_ANSWER
from rlhf_jax import sandbox
from rlhf_jax.experiment import measuring_pairs
from rlhf_jax.kernels import clustering
from rlhf_jax.methods.rlp import consistency
from rlhf_jax.types import Comparison

REWARDS = (
  'reward_model',
  'reward_model_uml',
  'reward_model_spg',
  'reward_model_spg_any',
)
# Which member of the largest group is preferred, and whose pairs do so.
CHOICES = {
  'best scored': (consistency.best_scored, 'reward_model_spg_pairs'),
  'any': (consistency.any_member, 'reward_model_spg_any_pairs'),
}
SAMPLES = 10


def held_out(drawn, choose):
  """Pairs made of PPO's samples to held-out prompts as RLP-SPG's are."""
  similar = SAME_ANSWER(drawn.prompts, drawn.texts, None)
  pairs = []
  for place, (prompt, texts, matrix, scores) in enumerate(
    zip(
      drawn.prompts,
      drawn.texts,
      similar,
      drawn.scores['reward_model'],
      strict=True,
    )
  ):
    made = consistency.pair(
      clustering.greedy(matrix),
      texts,
      scores,
      gamma=0.5,
      generator=np.random.default_rng(place),
      choose=choose,
    )
    if isinstance(made, consistency.Pair):
      pair = (texts[made.chosen], texts[made.rejected])
      pairs.append(Comparison(prompt, pair))
  return pairs


def by_gold(pairs):
  """The pairs that gold tells apart, the better response first."""
  asked = [pair.prompt for pair in pairs for _ in (0, 1)]
  texts = [text for pair in pairs for text in pair.responses]
  first, second = sandbox.gold(asked, texts).reshape(-1, 2).T
  return [
    Comparison(pair.prompt, pair.responses[:: 1 if gap > 0 else -1])
    for pair, gap in zip(pairs, first - second, strict=True)
    if gap
  ]


def measure(chain):
  """{pairs: {reward model: share right}}."""
  drawn = samples.sample(chain, 'ppo', SAMPLES, rewards=('reward_model',))
  sets = {'annotated, trained on': chain.data.records('preferences')}
  for name, (choose, stage) in CHOICES.items():
    sets[f'{name}, trained on'] = chain.data.records(stage)
    sets[f'{name}, held out'] = held_out(drawn, choose)

  def share_right(reward, pairs):
    measured = measuring_pairs.measure_pairs(
      chain.data,
      chain.trained.scorer(reward),
      {'reward': chain.trained.params(reward, 'reward')},
      by_gold(pairs),
      batch_size=chain.experiment.evaluation.batch_size,
    )
    return measured.accuracy.value

  return {
    name: {reward: share_right(reward, pairs) for reward in REWARDS}
    for name, pairs in sets.items()
  }


def main():
  """Prints a row for each kind of pairs."""
  options = runs.arguments(__doc__)
  chains = runs.chains(ablations, options, needed=REWARDS)
  tables.show_means('right on', [measure(chain) for chain in chains])


if __name__ == '__main__':
  main()
