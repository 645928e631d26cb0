"""Imports run one way: the picture, and that the code is true to it."""

import ast
import pathlib
import tempfile

from absl.testing import absltest, parameterized

ROOT = pathlib.Path(__file__).parents[1]
LIBRARY = ROOT / 'rlhf_jax'

# A room, and the rooms that it may import; types is open to all.
MAY_IMPORT = {
  'types': set(),
  'addressing': set(),
  'stages': set(),
  'sharding': set(),
  'processes': set(),
  'progress': set(),
  'kernels': {'sharding'},
  'losses': {'kernels'},
  'storage': set(),
  'training': {'processes', 'progress', 'sharding', 'storage'},
  'learners': {'kernels', 'losses', 'training', 'generation', 'feedback'},
  'generation': {'kernels', 'sharding'},
  'feedback': {'addressing', 'kernels', 'generation', 'processes'},
  'models': {'kernels', 'sharding', 'storage', 'progress'},
  'data': {'addressing', 'storage'},
  'sandbox': {'data'},
  'evaluation': {'kernels', 'feedback', 'data', 'storage', 'progress'},
  'methods': {
    'stages',
    'kernels',
    'losses',
    'training',
    'learners',
    'generation',
    'feedback',
  },
  'experiment': {
    'addressing',
    'stages',
    'storage',
    'kernels',
    'losses',
    'training',
    'learners',
    'generation',
    'feedback',
    'models',
    'data',
    'sandbox',
    'evaluation',
    'methods',
    'processes',
    'progress',
    'sharding',
  },
  'planning': {
    'stages',
    'training',
    'learners',
    'models',
    'data',
    'experiment',
    'sharding',
    'storage',
  },
}
# Rooms whose files do not import each other: what two share moves down.
STRANGERS = ('methods', 'learners')


def modules():
  return sorted(LIBRARY.rglob('*.py'))


def room(path):
  inside = path.relative_to(LIBRARY).with_suffix('')
  return inside.parts[0]


def imports(path):
  """The modules that a file imports, dotted."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}: a relative import'
      found |= {f'{node.module}.{alias.name}' for alias in node.names}
  return found


class LayersTest(parameterized.TestCase):
  @parameterized.named_parameters(
    (str(path.relative_to(ROOT)), path) for path in modules()
  )
  def test_imports_run_one_way(self, path):
    here = room(path)
    for name in imports(path):
      top, *rest = name.split('.')
      self.assertNotIn(top, ('experiments', 'launch', 'tests'), name)
      if top != 'rlhf_jax' or here == '__init__':
        continue
      there = rest[0]
      if there not in (here, 'types'):
        self.assertIn(there, MAY_IMPORT[here], f'{path} imports {name}')
      elif there in STRANGERS and path.stem != '__init__':
        # Parts of one neighbour, in a folder of its own, know each other.
        own = path.parent != LIBRARY / here and rest[1] == path.parent.name
        self.assertTrue(own, f'{path} imports its neighbour {name}')

  def test_the_picture_names_every_room(self):
    rooms = {room(path) for path in modules()} - {'__init__'}
    self.assertEqual(rooms, set(MAY_IMPORT))

  def test_every_room_is_a_package(self):
    # Or an installed library would lack it.
    for folder in {path.parent for path in modules()}:
      self.assertTrue((folder / '__init__.py').exists(), folder)

  def test_a_forbidden_import_would_be_seen(self):
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder, 'wrong.py')
      path.write_text('from rlhf_jax.models import transformer\n')
      self.assertEqual(imports(path), {'rlhf_jax.models.transformer'})
    self.assertNotIn('models', MAY_IMPORT['learners'])


if __name__ == '__main__':
  absltest.main()
