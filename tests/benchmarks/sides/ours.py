"""The side of rlhf_jax: the parts of its loop, with nothing left out.

The driver runs it with the checkout that it lies in on PYTHONPATH.
"""

import functools

import jax
import jax.numpy as jnp
import work

from rlhf_jax import sharding
from rlhf_jax.data.batches import Batches
from rlhf_jax.data.examples import Example
from rlhf_jax.data.limits import Limits
from rlhf_jax.feedback.scoring import model_scorer
from rlhf_jax.generation.decode import policy_sampler
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import dpo, grpo, ppo, reward_model, sft
from rlhf_jax.models import (
  PARTITION_RULES,
  TransformerConfig,
  language_model,
  scalar_model,
)
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.training.optimizers import Adam
from rlhf_jax.types import Comparison, Demonstration, Models, Prompt

METHODS = {
  'sft': sft,
  'dpo': dpo,
  'reward': reward_model,
  'ppo': ppo,
  'grpo': grpo,
}


def main():
  job, gate = work.asked(), work.Gate()
  models = models_of(job)
  mesh = sharding.make_mesh()
  with jax.set_mesh(mesh):
    data = batches(job, mesh)
    if job.kind == 'generate':
      generate(gate, models, data)
    train(gate, job, models, data, mesh)


def models_of(job: work.Job) -> Models:
  """All roles, of the job's shape."""
  shape = job.shape
  config = TransformerConfig(
    vocab_size=shape.vocab,
    layers=shape.layers,
    width=shape.width,
    heads=shape.heads,
    kv_heads=shape.kv_heads,
    head_width=shape.head,
    mlp_width=shape.mlp,
    tied_embeddings=shape.tied,
  )
  policy, scalar = language_model(config), scalar_model(config)
  sampler = policy_sampler(
    policy, max_response=job.response, stop_ids=(), pad_id=work.PAD
  )
  scorer = model_scorer(scalar) if job.kind == 'ppo' else scores
  return Models(policy, scalar, scalar, sampler, scorer)


def scores(frozen, rollouts):
  """GRPO's reward, of no meaning: by the host, of the tokens."""
  del frozen
  tokens = jax.device_get(rollouts.tokens)
  return jnp.asarray(tokens.sum(axis=-1) % 7, jnp.float32)


def batches(job: work.Job, mesh: jax.sharding.Mesh):
  """As a run makes them: collated by Grain, laid out over the mesh."""
  candidates = work.CANDIDATES.get(job.kind, 0)
  prompt, texts = Prompt(()), ('',) * candidates
  record = {
    0: prompt,
    1: Demonstration(prompt, ''),
    2: Comparison(prompt, texts),
  }[candidates]
  rows = job.ids(max(candidates, 1)).reshape(-1, max(candidates, 1), job.length)
  made = Batches(
    [
      Example(
        record,
        each[0][: job.prompt],
        tuple(row[job.prompt :] for row in each[:candidates]),
        index,
      )
      for index, each in enumerate(rows.tolist())
    ],
    batch_size=job.rows,
    seed=0,
    pad_id=work.PAD,
    limits=Limits(
      max_prompt_tokens=job.prompt, max_response_tokens=job.response
    ),
  )
  for batch in made.starting_at(0):
    yield sharding.place_batch(batch, mesh)


def generate(gate, models, prompts):
  """Samples as a round does, which loads the parameters first."""
  params = models.policy.init(jax.random.key(0))

  def step():
    drawn = models.sampler.sample(
      models.sampler.load(params),
      next(prompts),
      jax.random.key(1),
      samples=1,
      sampling=Sampling(temperature=1.0),
    )
    return functools.partial(jax.block_until_ready, drawn)

  gate.repeat(step)


def config_of(job: work.Job):
  """The method's own settings, for this batch."""
  own = {'ppo': {'epochs': 1, 'minibatches': work.MINIBATCHES}}
  own['grpo'] = {'samples': work.GROUP}
  return METHODS[job.kind].Config(
    batch_size=job.rows,
    steps=work.STEPS,
    optimizer=Adam(learning_rate=1e-5, warmup=0.0),
    **own.get(job.kind, {}),
  )


def train(gate, job, models, data, mesh):
  """Updates as the loop makes them, one after the other."""
  config = config_of(job)
  (stage,) = METHODS[job.kind].stages(config).values()
  optimizer = config.make_optimizer()
  key = jax.random.key(0)
  start = {'policy': models.policy.init(key)}
  frozen = {'reference': start['policy']}
  if job.kind == 'ppo':
    frozen['reward'] = models.reward.init(key, scores=1)
    start['critic'] = frozen['reward']
  extra = getattr(config, 'initial_extra', dict)()

  def create(key, start):
    params = stage.init(key, start, models=models, config=config)
    return training.create(params, optimizer, extra)

  state = sharding.init_sharded(create, PARTITION_RULES, mesh, key, start)
  update = functools.partial(
    jitted(stage.update, donate=(0,)),
    models=models,
    optimizer=optimizer,
    config=config,
  )

  def step():
    nonlocal state
    batch = next(data)
    if stage.collect is not None:
      batch, _ = stage.collect(
        state, frozen, batch, key, models=models, config=config
      )
    state, metrics = update(state, frozen, batch, key)
    return functools.partial(jax.block_until_ready, (state, metrics))

  gate.repeat(step)


if __name__ == '__main__':
  main()
