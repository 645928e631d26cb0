"""Adapters in PEFT's format: by its definition, and by PEFT where it is."""

import importlib.util
import json
import pathlib
import re
import tempfile

import chex
import jax
import numpy as np
import pytest
from absl.testing import absltest, parameterized
from safetensors import numpy as safetensors

from rlhf_jax.models import LoRA, huggingface, language_model, lora
from rlhf_jax.models.huggingface import CheckpointError, peft
from rlhf_jax.training.state import whole
from tests.models import huggingface_folders as folders
from tests.models.lora_test import drawn

CONFIG, TENSORS = 'adapter_config.json', 'adapter_model.safetensors'
HAS_PEFT = all(map(importlib.util.find_spec, ('torch', 'transformers', 'peft')))


def adapted(params, **of):
  return drawn(lora.add(LoRA(**of), jax.random.key(1), params))


class PeftTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def begin(self, name):
    self.base = folders.made(self.root / 'base', name)
    self.config, self.params = huggingface.read(self.base)

  @parameterized.named_parameters((name, name) for name in folders.CONFIGS)
  def test_tensors_are_as_the_format_defines_them(self, name):
    # W of the merged model's file is that of the base plus (alpha / R) B A.
    self.begin(name)
    params = adapted(self.params, rank=2, alpha=3.0)
    peft.write(self.root / 'adapter', self.config, params, original=self.base)
    merged = self.root / 'merged'
    huggingface.write(
      merged, self.config, lora.merge(params), original=self.base
    )
    said = json.loads((self.root / 'adapter' / CONFIG).read_text())
    there = safetensors.load_file(self.root / 'adapter' / TENSORS)
    now = safetensors.load_file(merged / 'model.safetensors')
    then = safetensors.load_file(self.base / 'model.safetensors')
    moved = {k for k in then if not np.array_equal(now[k], then[k])}
    for key in moved:
      module = key.removesuffix('.weight')
      a, b = (
        there.pop(f'base_model.model.{module}.lora_{of}.weight').astype(float)
        for of in 'AB'
      )
      last = re.sub(r'^.*?\.\d+\.', '', module)  # Within its layer.
      alpha = said['alpha_pattern'].get(last, said['lora_alpha'])
      self.assertLen(a, said['rank_pattern'].get(last, said['r']))
      self.assertIn(last, said['target_modules'])
      more = alpha / len(a) * b @ a
      more = more.T if name == 'gpt2' else more  # Stored as [in, out].
      np.testing.assert_allclose(now[key], then[key] + more, atol=1e-5)
    self.assertNotEmpty(moved)
    self.assertEmpty(there)

  @parameterized.named_parameters((name, name) for name in folders.CONFIGS)
  def test_what_is_written_is_read(self, name):
    self.begin(name)
    params = adapted(self.params, rank=2, alpha=3.0)
    peft.write(self.root / 'adapter', self.config, params, original=self.base)
    role, found = peft.read(self.root / 'adapter', self.base)
    self.assertEqual(role, 'policy')
    again = whole(found, {'base': self.params})
    chex.assert_trees_all_close(
      lora.merge(again), lora.merge(params), atol=1e-5
    )

  def test_some_maps_alone(self):
    self.begin('llama')
    params = adapted(self.params, targets=('attention/(query|value)$',))
    peft.write(self.root / 'adapter', self.config, params, original=self.base)
    said = json.loads((self.root / 'adapter' / CONFIG).read_text())
    self.assertEqual(
      said['target_modules'], ['self_attn.q_proj', 'self_attn.v_proj']
    )
    _, found = peft.read(self.root / 'adapter', self.base)
    self.assertEqual(
      set(found['layers']['attention']), {'query_lora', 'value_lora'}
    )

  def test_what_is_no_such_adapter_is_a_sentence(self):
    self.begin('llama')
    params = adapted(self.params)
    folder = self.root / 'adapter'
    peft.write(folder, self.config, params, original=self.base)
    said = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(said | {'use_dora': True}))
    with self.assertRaisesRegex(CheckpointError, 'use_dora is True, and only'):
      peft.read(folder, self.base)
    (folder / CONFIG).write_text(json.dumps(said))
    there = safetensors.load_file(folder / TENSORS)
    there['base_model.model.model.embed_tokens.lora_embedding_A'] = np.ones(
      3, np.float32
    )
    safetensors.save_file(there, folder / TENSORS)
    with self.assertRaisesRegex(CheckpointError, 'a tensor model.embed_tok'):
      peft.read(folder, self.base)
    with self.assertRaisesRegex(CheckpointError, 'have no adapters; write'):
      peft.write(
        self.root / 'none', self.config, self.params, original=self.base
      )
    self.assertFalse((self.root / 'none').exists())


LLAMA = {
  'hidden_size': 32,
  'num_attention_heads': 4,
  'num_key_value_heads': 2,
  'num_hidden_layers': 3,
  'intermediate_size': 48,
}
THEIRS = {
  'llama': LLAMA,
  'phi3': LLAMA | {'pad_token_id': 0},
  'gpt_neox': LLAMA,
  'gpt2': {'n_embd': 32, 'n_head': 4, 'n_layer': 2},
}


@pytest.mark.skipif(not HAS_PEFT, reason='needs torch, transformers and peft')
class TheirsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.tokens = np.random.default_rng(0).integers(3, 90, (2, 9))

  def logits(self, model):
    import torch

    with torch.no_grad():
      return model(input_ids=torch.tensor(self.tokens)).logits.numpy()

  def begin(self, kind):
    """Their model of a kind, and the folder that it is saved to."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
      kind, vocab_size=96, bos_token_id=1, eos_token_id=2, **THEIRS[kind]
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(self.root / 'base')
    return model, self.root / 'base'

  def ours(self, config, params):
    model = language_model(config)
    mask = np.ones_like(self.tokens, bool)
    return model.logits(params, model.hidden(params, self.tokens, mask))

  @parameterized.named_parameters((kind, kind) for kind in THEIRS)
  def test_their_adapters_give_their_logits(self, kind):
    import peft as library
    import torch

    model, base = self.begin(kind)
    model = library.get_peft_model(
      model,
      library.LoraConfig(r=4, lora_alpha=6, target_modules='all-linear'),
    ).eval()
    with torch.no_grad():
      for name, parameter in model.named_parameters():
        if 'lora_B' in name:
          parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(self.root / 'adapter')
    config, params = huggingface.read(base)
    _, found = peft.read(self.root / 'adapter', base)
    np.testing.assert_allclose(
      self.ours(config, whole(found, {'base': params})),
      self.logits(model),
      atol=1e-4,
    )
    plain = self.ours(config, params)
    self.assertGreater(np.abs(plain - self.logits(model)).max(), 1e-2)

  @parameterized.named_parameters((kind, kind) for kind in THEIRS)
  def test_our_adapters_give_our_logits_there(self, kind):
    import peft as library

    model, base = self.begin(kind)
    config, params = huggingface.read(base)
    params = adapted(params, rank=3, alpha=4.5)
    peft.write(self.root / 'adapter', config, params, original=base)
    theirs = library.PeftModel.from_pretrained(model, self.root / 'adapter')
    np.testing.assert_allclose(
      self.logits(theirs), self.ours(config, params), atol=1e-4
    )


if __name__ == '__main__':
  absltest.main()
