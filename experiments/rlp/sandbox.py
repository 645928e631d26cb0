"""RLP in one run: a reward retrained on samples, its control and its bounds.

SFT of a policy that was pretrained on what is right, preferences, a reward
model, PPO, thirty samples of its policy to each prompt; then the reward model
again with pairs of what the samples agree on (RLP-SPG, Lang et al. 2024), as
`bench.py` has it, where any sample of the largest group is preferred, and as in
the paper, the best scored; beside them its control, as many updates on the old
pairs alone, and PPO on gold itself. PPO from each. Half as long as in
`bench.py`, whose seeds decide what holds. RLP-UML too: `published.py`.
Run: python -m launch.train experiments/rlp/sandbox.py --set seed=1
"""

import dataclasses
from collections.abc import Callable

from experiments import sandbox_chain
from experiments.sandbox_chain import on_policy, rlp
from rlhf_jax import sandbox
from rlhf_jax.experiment import Evaluation, Experiment
from rlhf_jax.methods.rlp import samples
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

BACKGROUND = """Ten seeds of bench.py, twice as long, say: without a new label
RLP-SPG's reward is right more often (on a right sample against a wrong one
0.94, the control's 0.85), its policy on 0.05 [0.03, 0.07] more prompts, and
has no more gold (-0.06 [-0.12, 0.00], at one KL 0.01 [-0.02, 0.05]; by seed
-0.20 to 0.05). The paper's rule wins 0.57 [0.55, 0.60] over PPO by going
further; annotating again gives 0.09 [0.05, 0.13] gold, PPO on gold 0.43."""

VERDICTS = 86_016  # With all demonstrations what pretraining reads.


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(on_policy.Settings):
  """What is set most often: about half of the bench's."""

  pretraining_steps: Count = 800
  sft_steps: Count = 200
  ppo_steps: Count = 40
  retrained_steps: Count = 448
  measure: Callable[..., Evaluation] = sandbox_chain.half_held_out


def config(settings: Settings) -> Experiment:
  rewards = on_policy.rewards(settings)
  arms = ('control', 'rlp_spg', 'spg_best')
  answered = samples.Config(count=on_policy.answered(settings))
  first = on_policy.feedback_stages(settings)
  stages = (
    first
    | {name: on_policy.packed(first[name]) for name in ('pretraining', 'sft')}
    | rlp.learn_stages(settings)
    | samples.stages(answered)
    | rlp.arms(settings, {arm: rewards[arm] for arm in arms})
    | rlp.learn_stages(settings, reward=sandbox.gold, name='ppo_gold')
  )
  experiment = on_policy.experiment(
    settings,
    title='Reward learning on policy',
    background=BACKGROUND,
    stages=stages,
    scored_by='reward_model',
    measures=sandbox_chain.reward_measures(stages),
    contrasts={
      'RLP-SPG beats its control': ('rlp_spg', 'control'),
      'RLP-SPG beats PPO': ('rlp_spg', 'ppo'),
      "the paper's RLP-SPG beats PPO": ('spg_best', 'ppo'),
      'PPO on gold beats PPO': ('ppo_gold', 'ppo'),
    },
  )
  read_once = dataclasses.replace(experiment.data, verdicts=VERDICTS)
  return dataclasses.replace(experiment, data=read_once)
