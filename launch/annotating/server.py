"""The page's server: tornado, with nothing to read for who may not."""

import asyncio
import hmac
import json
import pathlib
import socket
from collections.abc import Callable
from typing import Any

import tornado.httpserver
import tornado.netutil
import tornado.web

from launch import errors
from launch.annotating.desk import Desk, RequestError, Shown, name_of
from rlhf_jax.storage import files
from rlhf_jax.training import stopping

HERE = pathlib.Path(__file__).parent
LOCAL = ('localhost', '127.0.0.1', '::1')
LARGEST_BODY = 1 << 16  # Bytes of a request.
LOOK_SECONDS = 0.2  # Between two looks at whether to stop.
HEADERS = {
  'Content-Security-Policy': (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src "
    "'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
  ),
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
  'Cross-Origin-Resource-Policy': 'same-origin',
}


class Handler(tornado.web.RequestHandler):
  """What all answers have in common."""

  def initialize(self, token: str | None, **_: Any) -> None:
    """`token` is what a request has to bear; None where only this machine asks.

    Then the address has to be this machine's own, so that no page of another
    site can have its name lead here.
    """
    self.token = token

  def set_default_headers(self) -> None:
    """Nothing but the page's own script and style runs; nothing is kept."""
    self.clear_header('Server')
    for name, value in HEADERS.items():
      self.set_header(name, value)

  def prepare(self) -> None:
    """Refuses requests that come by another name of this machine."""
    name = self.request.host_name.strip('[]')
    if self.token is None and name not in LOCAL:
      raise tornado.web.HTTPError(403)


class Page(Handler):
  """The page, its script and its style; none holds any of the data."""

  def get(self, name: str) -> None:
    name = name or 'page.html'
    kinds = {'html': 'text/html', 'css': 'text/css', 'js': 'text/javascript'}
    kind = kinds[name.rpartition('.')[2]]
    self.set_header('Content-Type', f'{kind}; charset=utf-8')
    self.finish((HERE / name).read_bytes())


class ScriptHandler(Handler):
  """What the page's script asks: JSON in, JSON out."""

  def initialize(
    self, token: str | None, desk: Desk, summary: Callable[[], list[str]]
  ) -> None:
    """`summary` says what came out, once all pairs are judged."""
    super().initialize(token)
    self.desk, self.summary = desk, summary

  def prepare(self) -> None:
    """Refuses who has no token, and what another site's page could send."""
    super().prepare()
    if self.token is not None:
      given = self.request.headers.get('Authorization', '')
      due = f'Bearer {self.token}'
      if not hmac.compare_digest(given.encode(), due.encode()):
        return self.refuse(403, 'open the page by the whole address, # and all')
    kind = self.request.headers.get('Content-Type', '')
    if kind.partition(';')[0] != 'application/json':
      return self.refuse(415, 'the body has to be JSON')
    try:
      self.given = json.loads(self.request.body)
      self.annotator = name_of(self.given['annotator'])
    except RequestError as e:
      return self.refuse(400, str(e))
    except (ValueError, KeyError, TypeError, RecursionError):
      return self.refuse(400, 'the body has to be an object with a name')

  def refuse(self, status: int, why: str) -> None:
    """Answers that something cannot be, and why."""
    self.set_status(status)
    self.finish({'error': why})

  def post(self, what: str) -> None:
    """Answers 'next', 'back' or 'choose'."""
    given = self.given
    try:
      if what == 'back':
        self.finish(self.state(self.desk.back(self.annotator, _pair(given))))
        return
      if what == 'choose':
        self.desk.choose(
          self.annotator,
          _pair(given),
          given.get('said'),
          given.get('left'),
          given.get('seconds'),
        )
      self.finish(self.state(self.desk.next(self.annotator)))
    except RequestError as e:
      self.refuse(400, str(e))
    except files.StorageError as e:
      self.refuse(507, f'not kept: {e}')

  def state(self, shown: Shown | None) -> dict[str, Any]:
    """What the page shows next."""
    done, left = self.desk.progress(self.annotator)
    state = {'done': done, 'left': left, 'pair': None}
    if shown is None:
      summary = self.summary() if self.desk.complete else []
      return state | {'summary': summary, 'first': not done}
    texts = shown.pair.responses
    return state | {
      'pair': shown.pair.name,
      'prompt': [m._asdict() for m in shown.pair.prompt.messages],
      'texts': [texts[shown.left - 1], texts[2 - shown.left]],
      'side': shown.left,
      'said': shown.said,
      'first': shown.first,
    }


def application(
  desk: Desk, token: str | None, summary: Callable[[], list[str]]
) -> tornado.web.Application:
  """All that is served."""
  common = {'token': token}
  asked = common | {'desk': desk, 'summary': summary}
  return tornado.web.Application(
    [
      (r'/(|page\.css|page\.js)', Page, common),
      (r'/(next|back|choose)', ScriptHandler, asked),
    ],
    log_function=lambda handler: None,
  )


def bound(host: str, port: int) -> list[socket.socket]:
  """Sockets that listen at an address.

  Raises:
    OptionError: the port is taken, or there is no such address here.
  """
  try:
    return tornado.netutil.bind_sockets(port, host)
  except OSError as e:
    raise errors.OptionError(
      f'nothing can be served at {host}, port {port} ({e.strerror or e}); give '
      'another --port or --host'
    ) from e


async def serve(
  app: tornado.web.Application, sockets: list[socket.socket]
) -> None:
  """Serves until it is asked to stop.

  Raises:
    Stopped: it was; whatever was answered is kept.
  """
  server = tornado.httpserver.HTTPServer(app, max_body_size=LARGEST_BODY)
  server.add_sockets(sockets)
  try:
    while True:
      stopping.check()
      await asyncio.sleep(LOOK_SECONDS)
  finally:
    server.stop()
    await server.close_all_connections()


def _pair(given):
  pair = given.get('pair')
  if not isinstance(pair, str):
    raise RequestError('which pair it is about is missing')
  return pair
