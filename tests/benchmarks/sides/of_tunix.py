"""The side of google-tunix: its trainers, with the data at the gate.

Its own rollout; `top_p=1.0` is how it samples at temperature 1. It has no
trainer of reward models.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import work
from flax import nnx
from tunix.generate import sampler as samplers
from tunix.models.llama3 import model as llama
from tunix.rl import rl_cluster
from tunix.rl import utils as rl_utils
from tunix.rl.grpo import grpo_learner
from tunix.rl.ppo import ppo_learner
from tunix.rl.rollout import base_rollout
from tunix.sft import peft_trainer
from tunix.sft import utils as sft_utils
from tunix.sft.dpo import dpo_trainer

MESH = jax.make_mesh(
  (1, 1), ('fsdp', 'tp'), axis_types=(jax.sharding.AxisType.Auto,) * 2
)


class Words:
  """A tokenizer whose word w<i> is id i."""

  def __init__(self, vocab=None):
    self.vocab = vocab

  def encode(self, text, **_):
    return [int(word[1:]) for word in text.split()]

  def decode(self, ids, **_):
    return ' '.join(f'w{i}' for i in ids)

  def bos_id(self):
    return work.BOS

  def eos_id(self):
    return self.vocab  # Never drawn.

  def pad_id(self):
    return work.PAD


class Llama(llama.Llama3):
  """Takes the segment ids that tunix 0.1.7 hands to its critic."""

  def __call__(self, *arrays, segment_ids=None, **named):
    return super().__call__(*arrays, **named)


def main():
  job, gate = work.asked(), work.Gate()
  makers = {
    'sft': sft,
    'dpo': dpo,
    'generate': generate,
    'ppo': ppo,
    'grpo': grpo,
  }
  with jax.set_mesh(MESH):
    makers[job.kind](gate, job)


def model_of(job):
  """A Llama of the job's shape, with random weights."""
  shape = job.shape
  config = llama.ModelConfig(
    num_layers=shape.layers,
    vocab_size=shape.vocab,
    embed_dim=shape.width,
    hidden_dim=shape.mlp,
    num_heads=shape.heads,
    head_dim=shape.head,
    num_kv_heads=shape.kv_heads,
    rope_theta=10_000,
    norm_eps=1e-6,
    weight_tying=shape.tied,
  )
  return Llama(config, rngs=nnx.Rngs(0))


def gated(gate, batches, *trainers):
  """Batches without end; asking for the next one ends a step.

  Hooks of the trainer would not do: they run while a step is computed.
  """

  def wait():
    for trainer in trainers:
      jax.block_until_ready(nnx.state(trainer.model))

  gate.open()
  for batch in itertools.cycle(batches):
    yield batch
    gate.close(wait)
    gate.open()


def optimizer():
  return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-5))


def sft(gate, job):
  data = job.ids(1)[:, :, 0]
  mask = np.ones_like(data, bool)
  mask[..., : job.prompt] = False

  def inputs(batch):
    every = jnp.ones_like(batch.input_mask)
    return {
      'input_tokens': batch.input_tokens,
      'input_mask': batch.input_mask,
      'positions': sft_utils.build_positions_from_mask(every),
      'attention_mask': sft_utils.make_causal_attn_mask(every),
    }

  trainer = peft_trainer.PeftTrainer(
    model_of(job),
    optimizer(),
    peft_trainer.TrainingConfig(
      eval_every_n_steps=work.STEPS, max_steps=work.STEPS
    ),
  ).with_gen_model_input_fn(inputs)
  batches = [
    peft_trainer.TrainingInput(*pair) for pair in zip(data, mask, strict=True)
  ]
  trainer.train(gated(gate, batches, trainer))


def dpo(gate, job):
  def batch(ids):
    asked = ids[:, 0, : job.prompt]
    parts = asked, ids[:, 0, job.prompt :], ids[:, 1, job.prompt :]
    return dpo_trainer.TrainingInput(
      *(array for part in parts for array in (part, np.ones_like(part)))
    )

  trainer = dpo_trainer.DPOTrainer(
    model_of(job),
    model_of(job),
    optimizer(),
    dpo_trainer.DPOTrainingConfig(
      eval_every_n_steps=work.STEPS, max_steps=work.STEPS
    ),
  )
  trainer.train(gated(gate, [batch(ids) for ids in job.ids(2)], trainer))


def prompts(job):
  """Batches of texts."""
  words = Words()
  ids = job.ids(1)[:, :, 0, : job.prompt]
  return [[words.decode(row) for row in batch.tolist()] for batch in ids]


def generate(gate, job):
  """Samples; no response ends early."""
  shape = job.shape
  sampler = samplers.Sampler(
    model_of(job),
    Words(shape.vocab),
    samplers.CacheConfig(
      cache_size=job.length + 1,  # It puts BOS before a prompt.
      num_layers=shape.layers,
      num_kv_heads=shape.kv_heads,
      head_dim=shape.head,
    ),
  )
  for texts in itertools.cycle(prompts(job)):
    with gate.step():
      out = sampler(
        texts,
        max_generation_steps=job.response,
        max_prompt_length=job.prompt + 1,
        temperature=1.0,
        top_p=1.0,
        seed=1,
      )
      assert len(out.tokens[0]) == job.response, len(out.tokens[0])


def cluster(job, **models):
  """Models and how they are trained and sampled from."""
  rows = job.rows // (work.MINIBATCHES if job.kind == 'ppo' else 1)
  more = {'critic_optimizer': optimizer()} if 'critic' in models else {}
  return rl_cluster.RLCluster(
    reference=model_of(job),
    tokenizer=Words(job.shape.vocab),
    cluster_config=rl_cluster.ClusterConfig(
      role_to_mesh=dict.fromkeys(rl_cluster.Role, MESH),
      training_config=rl_cluster.RLTrainingConfig(
        actor_optimizer=optimizer(),
        eval_every_n_steps=work.STEPS,
        max_steps=work.STEPS,
        mini_batch_size=rows,
        train_micro_batch_size=rows,
        rollout_micro_batch_size=job.rows,
        compute_logps_micro_batch_size=job.rows,
        **more,
      ),
      rollout_config=base_rollout.RolloutConfig(
        max_tokens_to_generate=job.response,
        max_prompt_length=job.prompt + 1,
        kv_cache_size=job.length + 1,
        temperature=1.0,
        top_p=1.0,
      ),
    ),
    **models,
  )


def asked_of(job):
  """Batches as its learners read them."""
  return [{'prompts': np.array(texts)} for texts in prompts(job)]


def grpo(gate, job):
  def scores(prompts, completions, **_):
    return [float(len(c) % 7) for c in completions]

  rl = cluster(job, actor=model_of(job))
  config = grpo_learner.GRPOConfig(num_generations=work.GROUP, beta=0.04)
  learner = grpo_learner.GRPOLearner(rl, config, scores)
  learner.train(gated(gate, asked_of(job), rl.actor_trainer))


def ppo(gate, job):
  actor = model_of(job)
  critic, reward = (
    rl_utils.create_critic_model(actor, seed=seed) for seed in (1, 2)
  )
  rl = cluster(job, actor=actor, critic=critic, reward=reward)
  learner = ppo_learner.PPOLearner(rl, ppo_learner.PPOConfig())
  data = gated(gate, asked_of(job), rl.actor_trainer, rl.critic_trainer)
  learner.train(data)


if __name__ == '__main__':
  main()
