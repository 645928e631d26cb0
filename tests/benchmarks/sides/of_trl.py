"""The side of TRL: its trainers as they are, with a callback at the gate.

In float32 and without gradient checkpointing, as the other sides. TRL 1.9 is
the last release with PPO: BENCH_TRL_PPO names the folder that `pip install
--no-deps --target FOLDER trl==1.9.0` filled.
"""

import os
import sys
import tempfile

import work

if work.asked().kind == 'ppo':
  sys.path.insert(0, os.environ['BENCH_TRL_PPO'])

import datasets
import tokenizers
import torch
import transformers
import trl

datasets.disable_progress_bars()
torch.set_num_threads(1)
VERSION = tuple(map(int, transformers.__version__.split('.')[:2]))
DTYPE = 'dtype' if VERSION >= (4, 56) else 'torch_dtype'


class AtGate(transformers.TrainerCallback):
  """Opens and closes the gate around each step of a trainer."""

  def __init__(self, gate):
    self.gate = gate

  def on_train_begin(self, *arguments, **options):
    self.gate.open()

  def on_step_end(self, *arguments, **options):
    self.gate.close()
    self.gate.open()


def main():
  job, gate = work.asked(), work.Gate()
  if job.kind == 'generate':
    generate(gate, job)
  makers = {'sft': sft, 'dpo': dpo, 'reward': reward, 'ppo': ppo, 'grpo': grpo}
  trainer = makers[job.kind](job)
  own = trainer.callback_handler if job.kind == 'ppo' else trainer
  own.add_callback(AtGate(gate))
  trainer.train()


def model_of(job, scalar=False):
  """A Llama of the job's shape, with random weights."""
  shape = job.shape
  config = transformers.LlamaConfig(
    vocab_size=shape.vocab,
    hidden_size=shape.width,
    intermediate_size=shape.mlp,
    num_hidden_layers=shape.layers,
    num_attention_heads=shape.heads,
    num_key_value_heads=shape.kv_heads,
    tie_word_embeddings=shape.tied,
    pad_token_id=work.PAD,
    bos_token_id=work.BOS,
    eos_token_id=work.EOS,
    max_position_embeddings=2048,
  )
  config.num_labels = 1
  if scalar:
    return transformers.LlamaForSequenceClassification(config)
  return transformers.LlamaForCausalLM(config)


def tokenizer_of(job):
  """Whose word w<i> is id i."""
  special = {'<pad>': work.PAD, '<s>': work.BOS, '</s>': work.EOS}
  words = {f'w{i}': i for i in range(work.FIRST, job.shape.vocab)}
  backend = tokenizers.Tokenizer(
    tokenizers.models.WordLevel(words | special, unk_token='<pad>')
  )
  backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=backend,
    pad_token='<pad>',
    bos_token='<s>',
    eos_token='</s>',
    padding_side='left',
  )


def arguments(kind, rows, **more):
  """A trainer's settings: what all share, and `more`."""
  shared = {
    'output_dir': tempfile.mkdtemp(),
    'per_device_train_batch_size': rows,
    'max_steps': work.STEPS,
    'learning_rate': 1e-5,
    'bf16': False,
    'gradient_checkpointing': False,
    'use_cpu': True,
    'save_strategy': 'no',
    'report_to': [],
    'disable_tqdm': True,
    'logging_steps': 10,
  }
  return kind(**shared | more)


def generate(gate, job):
  """Samples as `model.generate` does; no response ends early."""
  model = model_of(job).eval()
  data = torch.tensor(job.ids(1)[:, :, 0, : job.prompt], dtype=torch.long)
  config = transformers.GenerationConfig(
    max_new_tokens=job.response,
    do_sample=True,
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    pad_token_id=work.PAD,
    eos_token_id=job.shape.vocab,  # Never drawn.
    disable_compile=True,
  )
  for number in range(work.STEPS):
    ids = data[number % len(data)]
    with gate.step(), torch.no_grad():
      out = model.generate(
        ids, attention_mask=torch.ones_like(ids), generation_config=config
      )
      assert out.shape == (job.rows, job.length), out.shape


def sft(job):
  rows = job.ids(1).reshape(-1, job.length)
  mask = [0] * job.prompt + [1] * job.response
  return trl.SFTTrainer(
    model_of(job),
    arguments(trl.SFTConfig, job.rows, max_length=None),
    train_dataset=datasets.Dataset.from_dict(
      {'input_ids': rows.tolist(), 'completion_mask': [mask] * len(rows)}
    ),
    processing_class=tokenizer_of(job),
  )


def pairs(job):
  """Chosen and rejected of each pair, as lists of ids."""
  return job.ids(2).reshape(-1, 2, job.length).tolist()


def dpo(job):
  def text(ids):
    return ''.join(f'w{i} ' for i in ids if i >= work.FIRST)

  rows = pairs(job)
  columns = {
    'prompt': [text(chosen[: job.prompt]) for chosen, _ in rows],
    'chosen': [text(chosen[job.prompt :]) for chosen, _ in rows],
    'rejected': [text(rejected[job.prompt :]) for _, rejected in rows],
  }
  return trl.DPOTrainer(
    model_of(job),
    model_of(job),
    arguments(trl.DPOConfig, job.rows, max_length=None),
    train_dataset=datasets.Dataset.from_dict(columns),
    processing_class=tokenizer_of(job),
  )


def reward(job):
  rows, columns = pairs(job), {}
  for place, name in enumerate(('chosen', 'rejected')):
    ids = [pair[place] for pair in rows]
    columns[f'{name}_ids'] = ids
    # As TRL 0.19 reads them.
    columns[f'input_ids_{name}'] = ids
    columns[f'attention_mask_{name}'] = [[1] * len(row) for row in ids]
  return trl.RewardTrainer(
    model_of(job, scalar=True),
    arguments(trl.RewardConfig, job.rows, max_length=None),
    train_dataset=datasets.Dataset.from_dict(columns),
    processing_class=tokenizer_of(job),
  )


def prompts(job):
  """[prompts, P] as lists of ids."""
  return job.ids(1).reshape(-1, job.length)[:, : job.prompt].tolist()


def grpo(job):
  def scores(completion_ids, **_):
    return [float(sum(ids) % 7) for ids in completion_ids]

  folder = tempfile.mkdtemp()  # Of the policy, and so of the reference.
  model_of(job).save_pretrained(folder)
  texts = [' '.join(f'w{i}' for i in ids) for ids in prompts(job)]
  return trl.GRPOTrainer(
    folder,
    scores,
    arguments(
      trl.GRPOConfig,
      job.rows * work.GROUP,
      num_generations=work.GROUP,
      max_completion_length=job.response,
      beta=0.04,
      model_init_kwargs={DTYPE: 'float32'},
      generation_kwargs={'eos_token_id': job.shape.vocab},
    ),
    train_dataset=datasets.Dataset.from_dict({'prompt': texts}),
    processing_class=tokenizer_of(job),
  )


def ppo(job):
  try:
    from trl.experimental.ppo import PPOConfig, PPOTrainer
  except ModuleNotFoundError:  # Older releases have them among the others.
    from trl import PPOConfig, PPOTrainer

  settings = arguments(
    PPOConfig,
    job.rows,  # Of a round; a minibatch is a part of it.
    gradient_accumulation_steps=1,
    num_mini_batches=work.MINIBATCHES,
    num_ppo_epochs=1,
    total_episodes=work.STEPS * job.rows,
    local_rollout_forward_batch_size=job.rows,
    response_length=job.response,
    num_sample_generations=0,
    max_steps=-1,
  )
  data = datasets.Dataset.from_dict({'input_ids': prompts(job)})
  return PPOTrainer(
    settings,
    tokenizer_of(job),
    model_of(job),
    model_of(job),
    model_of(job, scalar=True),
    data,
    model_of(job, scalar=True),
  )


if __name__ == '__main__':
  main()
