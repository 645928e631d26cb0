"""What else mends a reward model without new labels, or does without one.

Each takes the bench of `on_policy` as it stands: its annotated pairs, the first
reward model, the policy that is sampled. What has more pairs than the first
model takes the updates of RLP-SPG and its control, all else the first model's;
reward models are put on the scale of the first.
"""

from collections.abc import Callable

from experiments.sandbox_chain import feedback, on_policy, pairs, rlp
from experiments.sandbox_chain.chain import Stages
from experiments.sandbox_chain.on_policy import Settings
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import inform, ocrm, reward_head, scpo, warm, west_of_n
from rlhf_jax.methods.rlp import samples as policy_samples
from rlhf_jax.training.optimizers import Adam, linear

# The reward models whose weights, or scores, are averaged, and their rates: so
# many times that of the others.
MEMBERS = {'member_1': 0.5, 'member_2': 1.0, 'member_3': 1.5, 'member_4': 2.0}


def west_of_n_stages(settings: Settings, *, samples: int, name: str) -> Stages:
  """{name}: as step 2, on the best and the worst of N samples of SFT too.

  By the first reward model, at the paper's temperature; as many pairs as there
  are annotated ones, but for prompts whose samples are all alike.
  """
  drawn = policy_samples.Config(
    samples=samples, count=settings.pairs, sampling=Sampling(temperature=0.7)
  )
  made = west_of_n.stages_by_reward(
    west_of_n.Config(), data=f'{name}_samples', name=f'{name}_pairs'
  )
  return (
    policy_samples.stages(drawn, policy='sft', name=f'{name}_samples')
    | made
    | on_policy.retrained_stages(settings, *made, name=name)
  )


def weighted_stages(settings: Settings, *, name: str) -> Stages:
  """{name}: the annotated pairs again, weighed by the sampled policy."""
  weighed = ocrm.stages(
    ocrm.Config(), policy='sampled_policy', name=f'{name}_pairs'
  )
  trained = on_policy.reward_stages(
    settings,
    steps=settings.retrained_steps,
    data=f'{name}_pairs',
    name=f'{name}_unscaled',
  )
  return weighed | rlp.scaled(trained, name)


def inform_stages(
  settings: Settings,
  config: Callable[..., inform.Config] = inform.Config,
  *,
  name: str,
) -> Stages:
  """{name}: as step 2, through a bottleneck, `inform.Config` or `released`."""
  trained = inform.stages(
    config(
      steps=2 * settings.pairs // 32,
      batch_size=32,
      centering=0.01,
      optimizer=Adam(learning_rate=settings.reward_rate, decay=linear),
    ),
    reading=settings.reading,
    name=f'{name}_unscaled',
  )
  return rlp.scaled(trained, name)


def warm_stages(settings: Settings, *, name: str) -> Stages:
  """{*MEMBERS, name}: the last has the mean of the weights of the others.

  Each of these is as step 2 at its rate, all from one head on SFT's trunk.
  """
  head = f'{name}_head'
  stages = reward_head.stages(
    reward_head.Config(), reading=settings.reading, name=head
  )
  for member, times in MEMBERS.items():
    trained = feedback.reward_stages(
      settings,
      learning_rate=times * settings.reward_rate,
      start={'reward': head},
      name=f'{member}_unscaled',
    )
    stages |= rlp.scaled(trained, member)
  unscaled = [f'{member}_unscaled' for member in MEMBERS]
  averaged = warm.stages(
    warm.Config(),
    trained={member: stages[member] for member in unscaled},
    name=f'{name}_unscaled',
  )
  return stages | rlp.scaled(averaged, name)


def scpo_stages(
  settings: Settings, *, samples: str, start: str, name: str
) -> Stages:
  """{name}: what a policy's samples agree on, straight into that policy."""
  voted = scpo.pair_stages(
    scpo.Pairs(similarity=rlp.SAME_ANSWER), data=samples, name=f'{name}_pairs'
  )
  config = scpo.Config(**pairs.tuned(settings, pairs.DPO_RATE))
  return voted | scpo.stages(
    config, data=f'{name}_pairs', start=start, name=name
  )


def voted_stages(settings: Settings) -> Stages:
  """{'scpo', 'scpo_sft'}, and what they rest on beside the sampled policy's.

  From that policy on its samples, and from SFT on as many of its own.
  """
  config = policy_samples.Config(count=on_policy.answered(settings))
  return (
    scpo_stages(
      settings, samples='policy_samples', start='sampled_policy', name='scpo'
    )
    | policy_samples.unscored_stages(config, policy='sft', name='sft_samples')
    | scpo_stages(settings, samples='sft_samples', start='sft', name='scpo_sft')
  )


def rewards(settings: Settings) -> dict[str, Stages]:
  """{policy: the stages of the reward that it learns from}."""
  retrained = on_policy.rewards(settings)
  return {
    **{name: retrained[name] for name in ('control', 'rlp_spg')},
    **{
      f'west_of_{n}': west_of_n_stages(
        settings, samples=n, name=f'reward_model_west_of_{n}'
      )
      for n in (2, 8, 64)
    },
    'weighted': weighted_stages(settings, name='reward_model_weighted'),
    'inform': inform_stages(settings, name='reward_model_inform'),
    'inform_released': inform_stages(
      settings, inform.released, name='reward_model_inform_released'
    ),
    'warm': warm_stages(settings, name='reward_model_warm'),
  }
