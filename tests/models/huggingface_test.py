"""Folders of transformers, read and written, and what is refused of them."""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sharding
from rlhf_jax.models import (
  PARTITION_RULES,
  huggingface,
  language_model,
  scalar_model,
)
from rlhf_jax.models.huggingface import (
  CheckpointError,
  architectures,
  folder_writing,
  layouts,
  safetensors,
)
from tests.models.huggingface_folders import (
  CONFIGS,
  config,
  drawn,
  edit,
  made,
)

ROOT = pathlib.Path(__file__).parents[2]


class FolderCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    scratch = tempfile.TemporaryDirectory()
    self.addCleanup(scratch.cleanup)
    self.scratch = pathlib.Path(scratch.name)


class LayoutTest(parameterized.TestCase):
  SIZE = {'D': 2, 'H': 2, 'G': 1, 'K': 3, 'I': 2, 'V': 5}

  def test_heads_of_a_product(self):
    stored = np.arange(12).reshape(6, 2)  # Rows: head 0, then head 1.
    view = layouts.view(stored, '(H K) D -> D H K', self.SIZE)
    self.assertEqual(view.shape, (2, 2, 3))
    self.assertEqual(view[1, 0, 2], stored[2, 1])
    self.assertEqual(view[0, 1, 0], stored[3, 0])

  def test_parts_of_one_tensor(self):
    stored = np.arange(24).reshape(12, 2)  # H + 2G = 4 heads of 3 rows.
    for part, rows in (('FQ', (0, 6)), ('FK', (6, 9)), ('FV', (9, 12))):
      pattern = f'({part} K) D -> D {part} K'
      view = layouts.view(stored, pattern, self.SIZE)
      expected = stored[slice(*rows)].T.reshape(2, -1, 3)
      np.testing.assert_array_equal(view, expected)
      self.assertEqual(layouts.shape(pattern, self.SIZE), (12, 2))

  def test_a_place_of_ours(self):
    self.assertEqual(layouts.place('I D -> D 1/2 I'), (None, 1, None))

  def test_what_is_written_to_a_view_is_in_the_tensor(self):
    stored = np.zeros((18, 2))  # [H, 3, K] rows: each head's three parts.
    layouts.view(stored, '(H 1/3 K) D -> D H K', self.SIZE)[...] = 1.0
    rows = np.repeat([0, 1, 0, 0, 1, 0], 3)
    np.testing.assert_array_equal(stored, np.stack([rows] * 2, axis=1))


class RoundTripTest(FolderCase):
  @parameterized.parameters(*CONFIGS)
  def test_what_is_written_is_read(self, name):
    own = config(name)
    params = drawn(own)
    first, second = self.scratch / 'first', self.scratch / 'second'
    huggingface.write(first, own, params)
    found, read = huggingface.read(first)
    self.assertEqual(found, own)
    chex.assert_trees_all_equal(read, params)
    huggingface.write(second, found, read, original=first)
    for file in ('model.safetensors', 'config.json'):
      self.assertEqual(
        (first / file).read_bytes(), (second / file).read_bytes()
      )

  @parameterized.parameters(*CONFIGS)
  def test_a_reward_of_the_first_layers_is_a_smaller_model(self, name):
    own = config(name)
    folder = self.scratch / 'first'
    huggingface.write(folder, own, drawn(own))
    for layers in range(1, own.layers):
      cut = own.first(layers)
      params = scalar_model(cut).init(jax.random.key(0))
      place = self.scratch / str(layers)
      huggingface.write(place, cut, params, original=folder)
      found, read = huggingface.read(place)
      self.assertEqual(found, cut)
      chex.assert_trees_all_equal(read, params)

  @parameterized.parameters(*CONFIGS)
  def test_a_config_is_said_as_its_own_architecture(self, name):
    own = architectures.of_json({'model_type': name.split()[0]})
    json = own.json_of(config(name))
    self.assertEqual(own.read(json), config(name))

  def test_tensors_are_those_that_the_library_reads(self):
    try:
      from safetensors import numpy as library
    except ModuleNotFoundError:
      self.skipTest('safetensors is not installed')
    folder = made(self.scratch / 'model')
    found = library.load_file(folder / 'model.safetensors')
    _, params = huggingface.read(folder)
    gate = found['model.layers.1.mlp.gate_proj.weight']
    np.testing.assert_array_equal(
      gate.T, params['layers']['mlp']['gate_and_up'][1, :, 0]
    )
    ours = {
      stored.name: np.array(array)
      for stored, array in safetensors.each(safetensors.find(folder).values())
    }
    chex.assert_trees_all_equal(ours, found)

  @parameterized.parameters('bfloat16', 'float16')
  def test_narrow_types_stay_the_same_bytes(self, dtype):
    own = config('qwen2')
    first, second = self.scratch / 'first', self.scratch / 'second'
    huggingface.write(first, own, drawn(own), dtype=dtype)
    for param_dtype in ('float32', None):
      found, params = huggingface.read(first, param_dtype=param_dtype)
      wide = dtype == 'float16' or param_dtype == 'float32'
      for leaf in jax.tree.leaves(params):
        self.assertEqual(leaf.dtype, jnp.float32 if wide else jnp.bfloat16)
      huggingface.write(
        second / str(param_dtype), found, params, original=first
      )
      self.assertEqual(
        (first / 'model.safetensors').read_bytes(),
        (second / str(param_dtype) / 'model.safetensors').read_bytes(),
      )

  def test_one_trained_tensor_changes_alone(self):
    first = made(self.scratch / 'first')
    own, params = huggingface.read(first)
    key = params['layers']['attention']['key']
    params['layers']['attention']['key'] = key.at[2].add(1.0)
    huggingface.write(self.scratch / 'second', own, params, original=first)
    bytes_of = [
      {
        stored.name: array.tobytes()
        for stored, array in safetensors.each(
          safetensors.find(self.scratch / folder).values()
        )
      }
      for folder in ('first', 'second')
    ]
    changed = [n for n in bytes_of[0] if bytes_of[0][n] != bytes_of[1][n]]
    self.assertEqual(changed, ['model.layers.2.self_attn.k_proj.weight'])

  def test_files_without_the_prefix_are_the_same_model(self):
    folder = made(self.scratch / 'model', 'gpt2')
    own, params = huggingface.read(folder)
    path = folder / 'model.safetensors'
    text = path.read_bytes()
    length = int.from_bytes(text[:8], 'little')
    header = text[8 : 8 + length].replace(b'"transformer.', b'"')
    path.write_bytes(
      len(header).to_bytes(8, 'little') + header + text[8 + length :]
    )
    again, read = huggingface.read(folder)
    self.assertEqual(again, own)
    chex.assert_trees_all_equal(read, params)

  def test_a_reward_model_leaves_and_comes_back(self):
    own = config('llama')
    model = scalar_model(own)
    params = model.init(jax.random.key(0))
    first = self.scratch / 'first'
    huggingface.write(first, own, params)
    said = json.loads((first / 'config.json').read_text())
    self.assertEqual(said['architectures'], ['LlamaForSequenceClassification'])
    _, read = huggingface.read(first)
    chex.assert_trees_all_equal(read, params)
    # On a policy that it began from.
    base = made(self.scratch / 'base')
    huggingface.write(self.scratch / 'second', own, params, original=base)
    chex.assert_trees_all_equal(
      huggingface.read(self.scratch / 'second')[1], params
    )
    params['head']['bias'] = jnp.ones(1)
    with self.assertRaisesRegex(CheckpointError, 'head has a bias'):
      huggingface.write(self.scratch / 'third', own, params)
    self.assertFalse((self.scratch / 'third').exists())


class PlacedTest(FolderCase):
  def test_shards_lie_where_the_rules_say(self):
    folder = made(self.scratch / 'model', 'phi3')
    mesh = sharding.make_mesh({'data': 2, 'fsdp': 2, 'tensor': 2})
    own, params = huggingface.read(folder, mesh)
    expected = sharding.shardings(params, PARTITION_RULES, mesh)
    chex.assert_trees_all_equal(
      jax.tree.map(lambda leaf: leaf.sharding, params), expected
    )
    chex.assert_trees_all_equal(jax.device_get(params), drawn(config('phi3')))
    huggingface.write(self.scratch / 'again', own, params, original=folder)
    self.assertEqual(
      (folder / 'model.safetensors').read_bytes(),
      (self.scratch / 'again' / 'model.safetensors').read_bytes(),
    )

  def test_reading_takes_less_than_a_file_and_a_tensor(self):
    """Of resident memory above the parameters; a process of its own."""
    script = """
import sys, pathlib, jax
from rlhf_jax import sharding
from rlhf_jax.models import TransformerConfig, huggingface, language_model
from rlhf_jax.models.huggingface import folder_writing
folder = pathlib.Path(sys.argv[1])
size = dict(heads=8, kv_heads=8, head_width=64, mlp_width=2048, width=512)
def make(name, **more):
  config = TransformerConfig(**size | more)
  params = language_model(config).init(jax.random.key(0))
  huggingface.write(folder / name, config, params)
if sys.argv[2] == 'make':
  folder_writing.LARGEST_FILE = 40 * 2**20
  make('large', vocab_size=8000, layers=12)
  make('small', vocab_size=80, layers=2)
  sys.exit()
def memory(word):
  lines = pathlib.Path('/proc/self/status').read_text().splitlines()
  return next(int(l.split()[1]) for l in lines if l.startswith(word)) * 1024
mesh = sharding.make_mesh({'data': 1}, jax.devices()[:1])
huggingface.read(folder / 'small', mesh)  # What is compiled and imported.
pathlib.Path('/proc/self/clear_refs').write_text('5')
before = memory('VmRSS')
_, params = huggingface.read(folder / 'large', mesh)
size = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
print(memory('VmHWM') - before - size)
"""
    if not pathlib.Path('/proc/self/clear_refs').exists():
      self.skipTest('needs /proc, to measure memory')
    environment = {
      'PATH': '',
      'JAX_PLATFORMS': 'cpu',
      'PYTHONPATH': str(ROOT),
    }
    for step in ('make', 'read'):
      done = subprocess.run(
        [sys.executable, '-c', script, str(self.scratch), step],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
      )
    large = self.scratch / 'large'
    sizes = [path.stat().st_size for path in large.glob('*.safetensors')]
    self.assertGreater(len(sizes), 4)
    self.assertLess(int(done.stdout), max(sizes) + 8000 * 512 * 4)

  def test_files_of_a_bounded_size_have_an_index(self):
    own = config('llama')
    self.enter_context(
      absltest.mock.patch.object(folder_writing, 'LARGEST_FILE', 2000)
    )
    huggingface.write(self.scratch / 'model', own, drawn(own))
    self.assertFalse((self.scratch / 'model/model.safetensors').exists())
    _, params = huggingface.read(self.scratch / 'model')
    chex.assert_trees_all_equal(params, drawn(own))


class RefusalTest(FolderCase):
  """Each is one sentence: what, where, and what to do."""

  def refused(self, folder, words):
    with self.assertRaisesRegex(CheckpointError, words) as caught:
      huggingface.read(folder)
    self.assertIn(str(folder), str(caught.exception))

  @parameterized.parameters(
    ({'model_type': 'bert'}, "architecture 'bert' is not known; there are lla"),
    ({'rope_scaling': {'type': 'spiral'}}, "rope type 'spiral' is not known"),
    ({'rope_scaling': [2.0]}, r'rotation must be an object, and is .2.0.'),
    ({'num_attention_heads': 0, 'head_dim': None}, 'integer .* by zero'),
    ({'hidden_act': 'zelu'}, "activation 'zelu' is not known"),
    ({'hidden_size': None}, 'there is no hidden_size'),
    ({'num_key_value_heads': 3}, 'kv_heads is 3; it must divide heads, 4'),
    ({'intermediate_size': 11}, r'gate_proj.weight is .10, 12., .* .11, 12.'),
    ({'num_hidden_layers': 2}, 'has a tensor model.layers.2.*has no place'),
    ({'num_hidden_layers': 4}, 'has no tensor model.layers.3.*nor 11 more'),
    ({'quantization_config': {'bits': 4}}, 'tensors are quantised'),
    ({'partial_rotary_factor': 0.5}, 'heads of this kind turn whole'),
  )
  def test_a_config_of_another_model(self, change, words):
    folder = made(self.scratch / 'model')
    edit(folder, **change)
    self.refused(folder, words)

  @parameterized.parameters(
    ('opt', {'do_layer_norm_before': False}, 'only True is known for opt'),
    ('opt', {'word_embed_proj_dim': 8}, 'word_embed_proj_dim is 8'),
    ('gemma', {'use_bidirectional_attention': True}, 'is True, and only None'),
  )
  def test_a_variant_that_is_not_known(self, name, change, words):
    folder = made(self.scratch / 'model', name)
    edit(folder, **change)
    self.refused(folder, words)

  def test_a_file_that_is_cut_short(self):
    folder = made(self.scratch / 'model')
    path = folder / 'model.safetensors'
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    self.refused(folder, 'is cut short: it has .* bytes, and model.layers.2')
    path.write_bytes(whole[:40])
    self.refused(folder, 'is cut short, or no safetensors file')
    path.write_bytes(b'')
    self.refused(folder, 'is cut short')
    path.write_bytes(whole[:8] + b'?' + whole[9:])
    self.refused(folder, 'the header of .* is damaged')
    path.unlink()
    self.refused(folder, 'there is no model.safetensors')

  def test_a_shard_that_is_missing(self):
    own = config('llama')
    folder = self.scratch / 'model'
    with absltest.mock.patch.object(folder_writing, 'LARGEST_FILE', 2000):
      huggingface.write(folder, own, drawn(own))
    shards = sorted(folder.glob('model-*'))
    shards[1].unlink()
    self.refused(folder, rf'{shards[1].name} is not there, .*download it again')
    shards[1].write_bytes(shards[2].read_bytes())
    self.refused(folder, 'has no tensor .* which model.safetensors.index.json')

  def test_a_tokenizer_that_is_larger(self):
    folder = made(self.scratch / 'model')
    said = {'model': {'vocab': {'a': 0}}, 'added_tokens': [{'id': 23}]}
    (folder / 'tokenizer.json').write_text(json.dumps(said))
    self.refused(folder, 'has tokens up to id 23, .* vocab_size 23')

  @parameterized.parameters(
    ({},),
    ({'model': 3},),
    ({'model': {'vocab': {'a': 'one'}}},),
    ({'model': {'vocab': {'a': 0}}, 'added_tokens': [5]},),
  )
  def test_a_tokenizer_that_is_none(self, said):
    folder = made(self.scratch / 'model')
    (folder / 'tokenizer.json').write_text(json.dumps(said))
    self.refused(folder, 'has no vocabulary of tokens and ids; download it')

  def test_nothing_is_left_of_what_cannot_be_written(self):
    folder = made(self.scratch / 'model')
    own, params = huggingface.read(folder)
    other = config('qwen3')
    with self.assertRaisesRegex(CheckpointError, 'are of another model'):
      huggingface.write(
        self.scratch / 'out', other, drawn(other), original=folder
      )
    params['layers']['mlp']['down'] *= 1e6
    with self.assertRaisesRegex(CheckpointError, 'float16 cannot hold'):
      huggingface.write(self.scratch / 'out', own, params, dtype='float16')
    self.assertEqual(list(self.scratch.iterdir()), [folder])

  def test_what_transformers_cannot_be(self):
    own = dataclasses.replace(config('gpt_neox'), scaled_embedding=True)
    with self.assertRaisesRegex(CheckpointError, 'no architecture'):
      architectures.of_config(own)


class ShortTest(FolderCase):
  def test_rows_that_would_turn_otherwise_are_refused(self):
    folder = made(self.scratch / 'model')
    short = {'type': 'longrope', 'short_factor': [1.0, 2.0]}
    short |= {'original_max_position_embeddings': 4}
    edit(folder, rope_scaling=short)
    own, params = huggingface.read(folder)
    self.assertEqual(own.rotary.scaling.factors, (1.0, 2.0))
    magnitude = np.sqrt(1 + np.log(8192 / 4) / np.log(4))
    self.assertAlmostEqual(own.rotary.scaling.magnitude, magnitude)
    hidden = language_model(own).hidden
    hidden(params, np.ones((1, 4), np.int32), np.ones((1, 4), bool))
    with self.assertRaisesRegex(ValueError, 'has positions for 4'):
      hidden(params, np.ones((1, 5), np.int32), np.ones((1, 5), bool))


class FingerprintTest(FolderCase):
  def test_is_of_the_contents_and_read_once(self):
    folder = made(self.scratch / 'model')
    first = huggingface.fingerprint(folder)
    with absltest.mock.patch.object(
      huggingface.folders, '_hash', side_effect=AssertionError
    ):
      self.assertEqual(huggingface.fingerprint(folder), first)
    other = made(self.scratch / 'other')
    self.assertEqual(huggingface.fingerprint(other), first)
    path = other / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:-1] + b'!')
    self.assertNotEqual(huggingface.fingerprint(other), first)
    edit(folder, rope_theta=20.0)
    self.assertNotEqual(huggingface.fingerprint(folder), first)


class LearningTest(FolderCase):
  def test_what_is_read_computes_and_differentiates(self):
    folder = made(self.scratch / 'model', 'gemma2')
    own, params = huggingface.read(folder)
    model = language_model(own)
    tokens, mask = np.arange(12).reshape(2, 6), np.ones((2, 6), bool)

    @jax.jit
    @jax.grad
    def gradient(params):
      return jnp.mean(model.logits(params, model.hidden(params, tokens, mask)))

    chex.assert_tree_all_finite(gradient(params))


if __name__ == '__main__':
  absltest.main()
