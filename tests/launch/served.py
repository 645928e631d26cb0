"""The page of `launch.annotate`, served from a thread of a test."""

import asyncio
import contextlib
import json
import threading
import urllib.error
import urllib.request

import tornado.httpserver

from launch.annotating import server


class Served:
  """Where a desk's page is, and what a page asks."""

  def __init__(self, port, token):
    self.port, self.token = port, token
    self.address = f'http://localhost:{port}/'

  def ask(self, what, annotator='ann', *, headers=None, **body):
    """(status, what came back) of a request."""
    sent = {'Content-Type': 'application/json'}
    if self.token:
      sent['Authorization'] = f'Bearer {self.token}'
    request = urllib.request.Request(
      self.address + what,
      json.dumps({'annotator': annotator} | body).encode(),
      sent | (headers or {}),
    )
    return opened(request)

  def choose(self, state, said, annotator='ann'):
    """What comes after a choice on the pair that is shown."""
    status, state = self.ask(
      'choose',
      annotator,
      pair=state['pair'],
      said=said,
      left=state['side'],
      seconds=1.5,
    )
    assert status == 200, state
    return state


def opened(request):
  """(status, JSON or text) of a request."""
  try:
    with urllib.request.urlopen(request, timeout=20) as reply:
      status, text = reply.status, reply.read().decode()
  except urllib.error.HTTPError as error:
    status, text = error.code, error.read().decode()
  with contextlib.suppress(ValueError):
    return status, json.loads(text)
  return status, text


@contextlib.contextmanager
def served(desk, *, token=None, summary=lambda: [], port=0):
  """Serves a desk while the block runs."""
  sockets = server.bound('localhost', port)
  loop, ready = asyncio.new_event_loop(), threading.Event()
  over = asyncio.Event()

  async def run():
    app = server.application(desk, token, summary)
    listening = tornado.httpserver.HTTPServer(app)
    listening.add_sockets(sockets)
    ready.set()
    await over.wait()
    listening.stop()
    await listening.close_all_connections()

  thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
  thread.start()
  ready.wait()
  try:
    yield Served(sockets[0].getsockname()[1], token)
  finally:
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()
