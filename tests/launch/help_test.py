"""What --help says of commands and their options."""

import argparse
import re
import subprocess
import sys
from unittest import mock

import pytest

from launch import annotate, evaluate, generate


@pytest.mark.parametrize('command', [annotate, evaluate, generate])
def test_a_default_is_told(command):
  found = []

  def noting(parser, arguments=None, namespace=None):
    found.append(parser)
    raise SystemExit

  with (
    mock.patch.object(argparse.ArgumentParser, 'parse_args', noting),
    pytest.raises(SystemExit),
  ):
    command.parse([])
  (parser,) = found
  for action in parser._actions:
    if action.option_strings and action.default not in (
      None, False, '', [], argparse.SUPPRESS,
    ):  # fmt: skip
      default = action.default
      shown = f'{default:g}' if isinstance(default, float) else str(default)
      said = (action.help or '') % {'default': default}
      # Of choices that are told one by one it stands behind its own.
      own = re.escape(shown)
      form = rf'default: {own}[;,)]|^{own}: [^;]*\(default\)'
      assert re.search(form, said), (action.option_strings, said)


def test_an_experiment_that_is_a_module_is_called_so():
  name = 'experiments.rlp.without_networks'
  told = subprocess.run(
    [sys.executable, '-m', name, '--help'], capture_output=True, text=True
  )
  assert told.stdout.startswith(f'usage: python -m {name} [-h]')
