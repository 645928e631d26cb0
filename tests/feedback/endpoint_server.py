"""A chat endpoint in this process, scripted: what is asked, and how often."""

import http.server
import json
import threading

from rlhf_jax.types import Message


def said(text):
  """A reply as the protocol has it."""
  return json.dumps({'choices': [{'message': {'content': text}}]}).encode()


def asking(*texts):
  return [(Message('user', text),) for text in texts]


class Listener(http.server.ThreadingHTTPServer):
  daemon_threads = True
  request_queue_size = 64  # Or some of many at a time wait a second.


class Server:
  """Answers on a local port by `script`: (number, body) -> status, headers,
  bytes; it remembers what it was asked and how many asked at a time."""

  def __init__(self, script):
    self.bodies, self.headers, self.paths, self.most = [], [], [], 0
    self._script, self._now, self._lock = script, 0, threading.Lock()
    handler = type(
      'Handler',
      (http.server.BaseHTTPRequestHandler,),
      {
        'do_POST': lambda request: self._post(request),
        'log_message': lambda *_: None,
      },
    )
    self._server = Listener(('127.0.0.1', 0), handler)
    self.url = f'http://127.0.0.1:{self._server.server_port}/v1'

  def _post(self, request):
    body = json.loads(
      request.rfile.read(int(request.headers['Content-Length']))
    )
    with self._lock:
      number = len(self.bodies)
      self.bodies.append(body)
      self.headers.append(dict(request.headers))
      self.paths.append(request.path)
      self._now += 1
      self.most = max(self.most, self._now)
    status, headers, content = self._script(number, body)
    with self._lock:
      self._now -= 1
    try:
      request.send_response(status)
      for name, value in headers.items():
        request.send_header(name, value)
      request.end_headers()
      request.wfile.write(content)
    except OSError:
      pass  # Whoever asked has given up.

  def __enter__(self):
    serve = self._server.serve_forever
    threading.Thread(target=serve, args=(0.01,), daemon=True).start()
    return self

  def wrap(self, context):
    """Speaks TLS from here on."""
    listening = self._server.socket
    self._server.socket = context.wrap_socket(listening, server_side=True)

  def __exit__(self, *_):
    self._server.shutdown()
    self._server.server_close()


def echo(number, body):
  del number
  return 200, {}, said(body['messages'][-1]['content'].upper())


def in_turn(*replies):
  """Replies one after the other, the last one for ever."""
  return lambda number, body: replies[min(number, len(replies) - 1)]
