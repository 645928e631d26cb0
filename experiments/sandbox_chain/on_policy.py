"""RLP on a bench where retraining can be seen: more samples, more updates.

The policy is pretrained on text that says of answers whether they are right:
without it no state of SFT's says so, and a reward model has to learn a table of
answers from noisy pairs, which it does not. The samples are of a policy that
has not gone far, PPO's after `sampled_steps` rounds, while policies are judged
after `ppo_steps`, and each prompt is answered `draws` times over. Any sample of
the largest group is preferred, and reward models on synthetic pairs, as their
control on the annotated ones alone, take `retrained_steps` updates.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from experiments.sandbox_chain import chain, feedback, rlp
from experiments.sandbox_chain.chain import Stages
from experiments.sandbox_chain.pairs import dpo_stages
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods.rlp import consistency, synthetic
from rlhf_jax.methods.rlp import samples as policy_samples
from rlhf_jax.models import Reading, last_token
from rlhf_jax.sandbox.world import split
from rlhf_jax.stages import ImplicitReward
from rlhf_jax.training.optimizers import Adam, linear
from rlhf_jax.types.rules import Count, NonNegative, Positive
from rlhf_jax.types.values import checked

# Of policies that are read as rewards: higher rates lose what tells right from
# wrong.
IMPLICIT_RATE = 5e-4
SFT_RATE = 1e-3  # A third of the usual: what it begins from is to stay.
# Of stages that begin with `sft_stages`.
experiment = functools.partial(chain.experiment, addition=chain.ANSWERS)
# PPO on each, by `experiments/rlp/penalty_by_reading.py`.
ON_IMPLICIT = {'kl_coef': 0.1, 'learning_rate': 2e-4}
ANNOTATED = 3200  # As many as the synthetic pairs come to.
# Of `experiments/rlp/bench.py`, beside what one seed says.
TEN_SEEDS = """Ten seeds of bench.py, twice as long, say: without a new label
RLP-SPG's reward is right more often (on a right sample against a wrong one
0.94, the control's 0.85), its policy on 0.05 [0.03, 0.07] more prompts, and
has no more gold (-0.06 [-0.12, 0.00], at one KL 0.01 [-0.02, 0.05]; by seed
-0.20 to 0.05). The paper's rule wins 0.57 [0.55, 0.60] over PPO by going
further; annotating again gives 0.09 [0.05, 0.13] gold, PPO on gold 0.43."""


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(chain.Settings):
  """What is set most often.

  Attributes:
    sampled_steps: rounds of PPO before its policy is sampled.
    pretraining_steps: updates on demonstrations and verdicts, before SFT.
    reward_rate: learning rate of reward models; at higher ones they lose what
      pretraining knows.
    draws: how often each training prompt is answered, ten times each.
    retrained_steps: updates of a reward model on synthetic pairs, and of its
      control on the annotated pairs alone.
    reading: what the heads of reward models read.
    beta: of rewards that are read from a policy.
  """

  pretraining_steps: Count = 1600
  sft_steps: Count = 400
  reward_rate: Positive = 5e-4
  ppo_steps: Count = 80
  kl_coef: NonNegative = 0.05
  sampled_steps: Count = 40
  draws: Count = 3
  retrained_steps: Count = 768
  reading: Reading = last_token
  beta: Positive = 0.1


def sft_stages(settings: Settings) -> Stages:
  """{'pretraining', 'sft'}."""
  return feedback.sft_stages(
    settings,
    steps=settings.pretraining_steps,
    data=('demonstrations', 'verdicts'),
    name='pretraining',
  ) | feedback.sft_stages(settings, learning_rate=SFT_RATE, start='pretraining')


def packed(stages: Stages) -> Stages:
  """As they are, but 128 examples of an update of SFT share 72 rows.

  Of which less is padding.
  """

  def shared(stage):
    config = dataclasses.replace(stage.config, batch_size=72, row_length=40)
    return stage._replace(config=config)

  imitate = ('pretraining', 'sft')
  return {**stages, **{name: shared(stages[name]) for name in imitate}}


def read_once(experiment: Experiment) -> Experiment:
  """With no more verdicts than the main job's pretraining reads.

  Its 800 updates of `packed` rows read these beside all demonstrations.
  """
  data = dataclasses.replace(experiment.data, verdicts=86_016)
  return dataclasses.replace(experiment, data=data)


def reward_stages(settings: Settings, **placed: Any) -> Stages:
  """{'reward_model'}: as `feedback.reward_stages`, by the settings."""
  values = {
    'reading': settings.reading,
    'learning_rate': settings.reward_rate,
  }
  return feedback.reward_stages(settings, **values | placed)


def feedback_stages(settings: Settings) -> Stages:
  """Steps 0 to 2: SFT, preferences, reward model."""
  return (
    sft_stages(settings)
    | feedback.preference_stages(settings)
    | reward_stages(settings)
  )


def sample_stages(
  settings: Settings,
  *,
  policy: str = 'sampled_policy',
  name: str = 'policy_samples',
  learn: Callable[..., Stages] = rlp.learn_stages,
  **placed: Any,
) -> Stages:
  """{policy, name}: ten samples to every training prompt, `draws` times over.

  Of a policy that PPO trains for `sampled_steps` rounds, by `learn`.
  """
  early = dataclasses.replace(settings, ppo_steps=settings.sampled_steps)
  config = policy_samples.Config(count=answered(settings))
  return learn(early, name=policy, **placed) | policy_samples.stages(
    config, policy=policy, name=name, **placed
  )


def answered(settings: Settings) -> int:
  """How many prompts a policy is asked, each training prompt `draws` times."""
  return settings.draws * len(split(settings.world).train)


def sampled_stages(settings: Settings) -> Stages:
  """Steps 0 to 3, and the samples of step 4."""
  return (
    feedback_stages(settings)
    | rlp.learn_stages(settings)
    | sample_stages(settings)
  )


def pair_stages(
  settings: Settings,
  *,
  samples: str = 'policy_samples',
  name: str,
  **values: Any,
) -> Stages:
  """{name}: pairs of samples, of which most give one answer.

  Any of these is preferred, unless `choose` says another; the paper's rule is
  `consistency.best_scored`.
  """
  del settings
  chosen = {'choose': consistency.any_member}
  config = synthetic.Config(similarity=rlp.SAME_ANSWER, **chosen | values)
  return synthetic.stages(config, data=samples, name=name)


def spg_stages(settings: Settings, *, name: str, **values: Any) -> Stages:
  """{name}: as step 2, on pairs of samples that agree too."""
  made = pair_stages(settings, name=f'{name}_pairs', **values)
  return made | retrained_stages(settings, *made, name=name)


def uml_stages(settings: Settings, *, name: str, **values: Any) -> Stages:
  """{name}: as `rlp.uml_stages`, by the settings' rate and reading."""
  return rlp.uml_stages(
    settings,
    optimizer=Adam(learning_rate=settings.reward_rate, decay=linear),
    reading=settings.reading,
    name=name,
    **values,
  )


def annotated_stages(settings: Settings, *, pairs: int, name: str) -> Stages:
  """{name}: as step 2, on so many annotated pairs of policy samples too."""
  made = feedback.preference_stages(
    settings,
    count=pairs,
    policy='sampled_policy',
    name=f'{name}_pairs',
  )
  return made | retrained_stages(settings, *made, name=name)


def retrained_stages(
  settings: Settings, *pairs: str, steps: int | None = None, name: str
) -> Stages:
  """{name}: as `rlp.retrained_stages`, by what the settings say of it."""
  return rlp.retrained_stages(
    settings,
    *pairs,
    steps=steps or settings.retrained_steps,
    learning_rate=settings.reward_rate,
    reading=settings.reading,
    name=name,
  )


def implicit_stages(
  settings: Settings, *pairs: str, steps: int | None = None, name: str
) -> Stages:
  """{name}: DPO on the annotated pairs and on others, from SFT.

  As a reward it is read by `implicit`. Without `steps` it goes twice over the
  annotated pairs, 32 at a time.
  """
  return dpo_stages(
    settings,
    beta=settings.beta,
    learning_rate=IMPLICIT_RATE,
    steps=steps or 2 * settings.pairs // 32,
    batch_size=32,
    data=('preferences', *pairs),
    name=name,
  )


def implicit(settings: Settings, policy: str) -> ImplicitReward:
  """What a policy of `implicit_stages` is as a reward."""
  return ImplicitReward(policy, 'sft', settings.beta)


def rewards(settings: Settings) -> dict[str, Stages]:
  """{policy: the stages of the retrained reward that it learns from}."""

  def spg(name, **values):
    return spg_stages(settings, name=f'reward_model_{name}', **values)

  def uml(name, **values):
    return uml_stages(settings, name=f'reward_model_{name}', **values)

  def again(name, **values):
    return retrained_stages(settings, name=f'reward_model_{name}', **values)

  old_and_new = ('preferences', 'reward_model_spg_pairs')
  return {
    'control': again('control'),
    'control_short': again('short', steps=2 * settings.pairs // 32),
    'rlp_spg': spg('spg'),
    'spg_best': spg('best', choose=consistency.best_scored),
    'spg_00': spg('spg_00', gamma=0.0),
    'spg_90': spg('spg_90', gamma=0.9),
    'rlp_uml': uml('uml'),
    'uml_capped': uml('uml_capped', most_gradient=1.0),
    'both': uml('both', data=old_and_new, steps=settings.retrained_steps),
    'annotated': annotated_stages(
      settings, pairs=ANNOTATED, name='reward_model_annotated'
    ),
  }
