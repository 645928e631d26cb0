"""Programs of clusters that are not here: they record how they were called.

`gcloud` keeps a queued resource of two hosts, folders of this machine, and runs
there what it is told to run on them; `srun` runs its command once.
"""

import json
import pathlib
import stat
import sys

GCLOUD = """
import json, os, pathlib, shutil, subprocess, sys, time
root = pathlib.Path({root!r})
verb, *rest = sys.argv[4:]
state = root / 'resource'
hosts = [root / 'host-0', root / 'host-1']
if verb == 'create':
  states = json.loads((root / 'states').read_text())
  state.write_text(json.dumps(states))
  for host in hosts:
    host.mkdir()
elif verb == 'describe':
  if not state.exists():
    sys.exit(1)
  first, *later = json.loads(state.read_text())
  state.write_text(json.dumps(later or [first]))
  print(first)
elif verb == 'delete':
  state.unlink()
  for host in hosts:
    subprocess.run(['bash', 'rlhf_jax/launch/clusters/worker.sh', 'stop'],
                   cwd=host, env={{**os.environ, 'HOME': str(host)}})
    # What still runs there for a moment writes to nothing that is seen.
    host.rename(root / f'deleted-{{time.time_ns()}}')
elif verb == 'scp':
  source = next(word for word in rest if word.endswith('.tar.gz'))
  for host in hosts:
    shutil.copy(source, host)
elif verb == 'ssh':
  command = rest[rest.index('--command') + 1]
  everywhere = '--worker=all' in rest
  for host in hosts[: None if everywhere else 1]:
    os.environ['HOME'] = str(host)
    os.chdir(host)
    if not everywhere:
      os.execvp('bash', ['bash', '-c', command])
    subprocess.run(['bash', '-c', command], check=True)
"""
# The next number of the file `statuses` of its host is how a run ends.
PYTHON = """
import json, os, pathlib, sys, time
home = pathlib.Path(os.environ['HOME'])
count = len(list(home.glob('started-*')))
(home / f'started-{{count}}').write_text(json.dumps(sys.argv[1:]))
statuses = json.loads(pathlib.Path({root!r}, 'statuses').read_text())
status = statuses[min(count, len(statuses) - 1)]
until = time.monotonic() + 60
while status == 'waits':
  if pathlib.Path({root!r}, 'go').exists() or time.monotonic() > until:
    status = 75
  time.sleep(0.05)
sys.exit(status)
"""


class Cluster:
  """A folder of stand-ins for the PATH, and what they were called with."""

  def __init__(self, root: pathlib.Path, monkeypatch):
    self.root = root
    self.programs = root / 'bin'
    self.programs.mkdir(parents=True)
    monkeypatch.setenv('PATH', f'{self.programs}:/usr/bin:/bin')
    monkeypatch.setenv('HOME', str(root))
    for name in ('kubectl', 'xpk', 'sbatch', 'scontrol', 'scancel', 'sacct'):
      self.stand_in(name, '')

  def stand_in(self, name: str, source: str) -> None:
    """Puts a program on the PATH that records its call and runs `source`."""
    recorded = (
      f'import json, os, sys\n'
      f'text = "" if sys.stdin is None or {name!r} != "kubectl" '
      f'else sys.stdin.read()\n'
      f'with open({str(self.root / "calls")!r}, "a") as file:\n'
      f'  file.write(json.dumps([[{name!r}, *sys.argv[1:]], text]) + "\\n")\n'
    )
    path = self.programs / name
    path.write_text(
      f'#!{sys.executable} -SE\n'  # It starts faster so.
      f'{recorded}{source.format(root=str(self.root))}'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)

  def pod(self, states, statuses) -> None:
    """A pod that goes through states, and runs that end with statuses."""
    (self.root / 'states').write_text(json.dumps(states))
    (self.root / 'statuses').write_text(json.dumps(statuses))
    self.stand_in('gcloud', GCLOUD)
    self.stand_in(
      'uv',
      'import pathlib\n'
      'if sys.argv[1] == "venv":\n'
      '  pathlib.Path(".venv/bin").mkdir(parents=True)\n'
      '  os.symlink({root!r} + "/bin/of_the_host", ".venv/bin/python")\n',
    )
    self.stand_in('of_the_host', PYTHON)
    self.stand_in('hostname', 'print(os.path.basename(os.environ["HOME"]))\n')

  def calls(self, name: str) -> list[list[str]]:
    """The arguments of every call of a program, in order."""
    return [call[1:] for call, _ in self._recorded() if call[0] == name]

  def texts(self, name: str) -> list[str]:
    """What was on the standard input of every call of a program."""
    return [text for call, text in self._recorded() if call[0] == name]

  def _recorded(self):
    path = self.root / 'calls'
    if not path.exists():
      return []
    return [json.loads(line) for line in path.read_text().splitlines()]
