"""Chromium without a window, driven by its DevTools protocol."""

import asyncio
import base64
import contextlib
import itertools
import json
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request

from tornado import websocket

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
PATIENCE = 20.0  # Seconds that anything may take.


def program():
  """The path of a browser, or None."""
  return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def started():
  """A browser, of which `page` opens pages."""
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    command = [program(), '--headless', '--no-sandbox', '--disable-gpu']
    command += ['--disable-dev-shm-usage', '--no-first-run']
    command += ['--remote-debugging-port=0', f'--user-data-dir={folder}']
    process = subprocess.Popen(
      [*command, 'about:blank'],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    try:
      told = pathlib.Path(folder) / 'DevToolsActivePort'
      until(lambda: told.exists() and len(told.read_text().splitlines()) > 1)
      yield Browser(int(told.read_text().splitlines()[0]))
    finally:
      process.kill()
      process.wait()


def until(found):
  """What a function gives once that is true."""
  end = time.monotonic() + PATIENCE
  while not (value := found()):
    if time.monotonic() > end:
      raise TimeoutError('what was waited for did not come')
    time.sleep(0.02)
  return value


class Browser:
  """A browser that listens at a port of this machine."""

  def __init__(self, port):
    self._port = port

  def page(self, width=1280, height=800):
    """An empty page of a size, as of a telephone where it is narrow."""
    address = f'http://127.0.0.1:{self._port}/json/new?about:blank'
    request = urllib.request.Request(address, method='PUT')
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
      made = Page(json.load(reply)['webSocketDebuggerUrl'])
    made.ask('Emulation.setFocusEmulationEnabled', enabled=True)
    made.ask(
      'Emulation.setDeviceMetricsOverride',
      width=width,
      height=height,
      deviceScaleFactor=1,
      mobile=width < 600,
    )
    return made


class Page:
  """A page, asked one thing after the other."""

  def __init__(self, address):
    self._loop, self._number = asyncio.new_event_loop(), itertools.count(1)
    self._socket = self._wait(
      websocket.websocket_connect, address, max_message_size=1 << 28
    )
    self.said = []  # What was written to the console, errors too.
    for domain in ('Page', 'Runtime', 'Log'):
      self.ask(f'{domain}.enable')

  def ask(self, method, **params):
    """The result of a method of the protocol."""
    number = next(self._number)
    message = {'id': number, 'method': method, 'params': params}
    self._wait(self._socket.write_message, json.dumps(message))
    while True:
      reply = json.loads(self._wait(self._socket.read_message))
      if reply.get('id') == number:
        assert 'error' not in reply, reply
        return reply['result']
      if reply.get('method') == 'Log.entryAdded':
        self.said.append(reply['params']['entry']['text'])
      if reply.get('method') == 'Runtime.exceptionThrown':
        self.said.append(reply['params']['exceptionDetails'])

  def go(self, address):
    """Opens an address, to its end."""
    self.ask('Page.navigate', url=address)
    there = f'location.href.startsWith({json.dumps(address[:20])})'
    self.until(f'{there} && document.readyState === "complete"')

  def js(self, code):
    """What an expression gives; of a promise, what it promised."""
    found = self.ask(
      'Runtime.evaluate',
      expression=code,
      awaitPromise=True,
      returnByValue=True,
    )
    assert 'exceptionDetails' not in found, found
    return found['result'].get('value')

  def until(self, code):
    """Waits until an expression is true, and gives it."""
    return until(lambda: self.js(code))

  def key(self, key, modifiers=0):
    """Presses a key; `modifiers` is 2 for Ctrl, 8 for Shift."""
    known = {'Tab': 9, 'Enter': 13, 'ArrowLeft': 37, 'ArrowRight': 39, ' ': 32}
    code = known.get(key, ord(key[0].upper()))
    text = {'Enter': '\r', 'Tab': ''}.get(key, key if len(key) == 1 else '')
    for kind in ('keyDown', 'keyUp'):
      self.ask(
        'Input.dispatchKeyEvent',
        type=kind,
        key=key,
        windowsVirtualKeyCode=code,
        modifiers=modifiers,
        **({'text': text} if text and kind == 'keyDown' else {}),
      )

  def type(self, text):
    """Types into what has the focus."""
    self.ask('Input.insertText', text=text)

  def screenshot(self, path, whole=False):
    """Writes what is to be seen as a PNG; the page down to its end if whole."""
    found = self.ask('Page.captureScreenshot', captureBeyondViewport=whole)
    pathlib.Path(path).write_bytes(base64.b64decode(found['data']))

  def names(self):
    """[(role, name)] as a screen reader has them."""
    nodes = self.ask('Accessibility.getFullAXTree')['nodes']
    return [
      (n['role']['value'], n.get('name', {}).get('value', ''))
      for n in nodes
      if not n['ignored']
    ]

  def _wait(self, what, *args, **kwargs):
    """What a call comes to that is made, and awaited, in this page's loop."""

    async def within():
      return await asyncio.wait_for(what(*args, **kwargs), PATIENCE)

    return self._loop.run_until_complete(within())
