"""Small models of transformers itself, read here and written back; skips
without torch."""

import pathlib
import tempfile

import jax
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from rlhf_jax.models import huggingface, language_model, scalar_model

torch = pytest.importorskip('torch', reason='transformers computes with torch')
transformers = pytest.importorskip('transformers')

LLAMA = {
  'hidden_size': 32,
  'num_attention_heads': 4,
  'num_hidden_layers': 3,
  'intermediate_size': 48,
}
GROUPED = LLAMA | {'num_key_value_heads': 2}
WINDOW = {'use_sliding_window': True, 'sliding_window': 4}
YARN = {
  'rope_type': 'yarn',
  'rope_theta': 10_000.0,
  'factor': 4.0,
  'original_max_position_embeddings': 16,
}
PARTIAL = {
  'rope_type': 'default',
  'rope_theta': 10_000.0,
  'partial_rotary_factor': 0.5,
}
LONG = {
  'rope_type': 'longrope',
  'rope_theta': 10_000.0,
  'original_max_position_embeddings': 64,
  'short_factor': [1.0, 1.1, 1.5, 2.0],
  'long_factor': [1.0, 2.0, 4.0, 8.0],
}
DYNAMIC = {'rope_type': 'dynamic', 'rope_theta': 10_000.0, 'factor': 4.0}
# Of these no config.json can be made up.
ORIGINALS = ('llama, dynamic', 'phi 3, long')
CONFIGS = {
  'llama, dynamic': ('llama', LLAMA | {'rope_parameters': DYNAMIC}),
  'phi 3, long': (
    'phi3',
    GROUPED
    | {
      'rope_parameters': LONG,
      'pad_token_id': 0,
      'max_position_embeddings': 256,
      'original_max_position_embeddings': 64,
    },
  ),
  'llama 2': ('llama', LLAMA),
  'llama, biases': (
    'llama',
    GROUPED | {'attention_bias': True, 'mlp_bias': True},
  ),
  'llama, yarn': ('llama', LLAMA | {'rope_parameters': YARN}),
  'smollm2': ('llama', GROUPED | {'tie_word_embeddings': True}),
  'mistral': ('mistral', GROUPED | {'sliding_window': 5}),
  'qwen 2.5': (
    'qwen2',
    GROUPED | WINDOW | {'tie_word_embeddings': True, 'max_window_layers': 2},
  ),
  'qwen 3': ('qwen3', GROUPED | WINDOW | {'max_window_layers': 1}),
  'gemma': ('gemma', GROUPED | {'head_dim': 16}),
  'gemma 2': ('gemma2', GROUPED | {'head_dim': 16, 'sliding_window': 4}),
  'gemma 3': (
    'gemma3_text',
    GROUPED | {'num_hidden_layers': 7, 'head_dim': 16, 'sliding_window': 4},
  ),
  'phi 3': ('phi3', GROUPED | {'sliding_window': 5, 'pad_token_id': 0}),
  'phi 3, partial': (
    'phi3',
    GROUPED | {'rope_parameters': PARTIAL, 'pad_token_id': 0},
  ),
  'gpt 2': ('gpt2', {'n_embd': 32, 'n_head': 4, 'n_layer': 2}),
  'pythia': ('gpt_neox', LLAMA | {'rope_parameters': PARTIAL}),
  'gpt neox, sequential': (
    'gpt_neox',
    LLAMA | {'use_parallel_residual': False},
  ),
  'opt': (
    'opt',
    {
      'hidden_size': 32,
      'num_attention_heads': 4,
      'num_hidden_layers': 2,
      'ffn_dim': 48,
      'word_embed_proj_dim': 32,
    },
  ),
}


def theirs(model, tokens, mask):
  mask = torch.tensor(np.asarray(mask, np.int64))
  with torch.no_grad():
    return model(
      input_ids=torch.tensor(tokens),
      attention_mask=mask,
      position_ids=(mask.cumsum(1) - 1).clip(0),
    ).logits.numpy()


def drawn(config, cls):
  torch.manual_seed(0)
  model = cls.from_config(config, attn_implementation='eager').eval()
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.add_(0.15 * torch.randn_like(parameter))
  return model


def loaded(cls, folder):
  return cls.from_pretrained(
    folder, attn_implementation='eager', dtype=torch.float32
  ).eval()


class TransformersTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    scratch = tempfile.TemporaryDirectory()
    self.addCleanup(scratch.cleanup)
    self.scratch = pathlib.Path(scratch.name)
    self.tokens = np.random.default_rng(0).integers(3, 90, (3, 12))
    self.mask = np.arange(12)[None] >= np.array([[0], [4], [7]])

  def check(self, model, cls, originals):
    expected = theirs(model, self.tokens, self.mask)[self.mask]
    model.save_pretrained(self.scratch / 'theirs')
    config, params = huggingface.read(self.scratch / 'theirs')
    ours = language_model(config)

    @jax.jit
    def run(params):
      return ours.logits(params, ours.hidden(params, self.tokens, self.mask))

    actual = np.asarray(run(params))[self.mask]
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    # With the original's names, and as one that was born here.
    for name in originals:
      original = name and self.scratch / name
      folder = self.scratch / f'ours like {name}'
      settings = {'pad_token_id': 0}  # Or that of a larger vocabulary.
      huggingface.write(
        folder, config, params, original=original, settings=settings
      )
      again = theirs(loaded(cls, folder), self.tokens, self.mask)
      np.testing.assert_allclose(again[self.mask], expected, atol=1e-4)

  @parameterized.named_parameters((k, k) for k in CONFIGS)
  def test_logits_are_the_same_there_and_back(self, name):
    kind, sizes = CONFIGS[name]
    config = transformers.AutoConfig.for_model(
      kind, vocab_size=96, bos_token_id=1, eos_token_id=2, **sizes
    )
    cls = transformers.AutoModelForCausalLM
    originals = ('theirs',) if name in ORIGINALS else ('theirs', None)
    self.check(drawn(config, cls), cls, originals)

  def test_scores_of_a_reward_model_are_the_same_there_and_back(self):
    config = transformers.AutoConfig.for_model(
      'qwen2', vocab_size=96, num_labels=1, pad_token_id=0, **GROUPED
    )
    cls = transformers.AutoModelForSequenceClassification
    model = drawn(config, cls)
    expected = theirs(model, self.tokens, self.mask)
    model.save_pretrained(self.scratch / 'theirs')
    config, params = huggingface.read(self.scratch / 'theirs')
    scores = jax.jit(scalar_model(config).scores)
    actual = scores(params, self.tokens, self.mask)
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    for name in ('theirs', None):
      original = name and self.scratch / name
      folder = self.scratch / f'ours like {name}'
      huggingface.write(
        folder,
        config,
        params,
        original=original,
        settings={'pad_token_id': 0},
      )
      again = theirs(loaded(cls, folder), self.tokens, self.mask)
      np.testing.assert_allclose(again, expected, atol=1e-4)


if __name__ == '__main__':
  absltest.main()
