"""One HTTP request with limits of time and bytes, to one host.

Redirects are answers like others, and the environment's proxies are not used,
so that the key goes to the host of the URL or nowhere.
"""

import functools
import http.client
import io
import socket
import ssl
import time
import urllib.parse
from typing import NamedTuple

from rlhf_jax.feedback.endpoint.keys import Key

ABSENT = (ConnectionRefusedError, socket.gaierror)


class Reply(NamedTuple):
  """What a server answered: the number of its status, headers and body."""

  status: int
  headers: http.client.HTTPMessage
  content: bytes


class Failure(NamedTuple):
  """Why no answer came.

  Attributes:
    why: what an attempt ended with or, where it is lasting, what the server
      does: `refuses with 404`.
    lasting: whether asking again would be no use.
    absent: whether nothing listens at the port, or there is no such host.
  """

  why: str
  lasting: bool = False
  absent: bool = False


class TooMuch(http.client.HTTPException):
  """A server sends more than was agreed."""


def post(
  url: str, body: bytes, key: Key | None, *, timeout: float, max_bytes: int
) -> Reply | Failure:
  """Posts JSON to a URL.

  Args:
    url: of http or https.
    body: the JSON.
    key: sent as a bearer's, or None.
    timeout: seconds from here to the answer's last byte; only the look-up of
      the host's name has its own limit, the system's.
    max_bytes: of the answer, headers and body.
  """
  # No exception leaves this function, as it may hold the headers.
  try:
    with _Connection(url, timeout, max_bytes) as connection:
      return connection.post(body, key)
  except ssl.SSLCertVerificationError as e:
    return Failure(
      f'shows a certificate that is not trusted: {e.verify_message}; '
      'SSL_CERT_FILE may name a file of further authorities',
      lasting=True,
    )
  except ssl.SSLError as e:
    return Failure(f'no TLS connection: {e.reason}')
  except TimeoutError:
    return Failure(f'no whole reply in {timeout:g} s: it timed out')
  except TooMuch:
    return Failure(
      f'sends more than the {max_bytes} bytes that are read of an answer',
      lasting=True,
    )
  except http.client.IncompleteRead:
    return Failure('half a reply: the connection ended')
  except (http.client.HTTPException, ValueError):
    return Failure('an answer that is no HTTP')
  except OSError as e:
    why = f'no connection: {e.strerror or type(e).__name__}'
    return Failure(why, absent=isinstance(e, ABSENT))


_tls = functools.cache(ssl.create_default_context)


class _Connection(http.client.HTTPConnection):
  """A connection whose every wait counts towards one limit."""

  def __init__(self, url, timeout, max_bytes):
    self._url = urllib.parse.urlsplit(url)
    self._end = time.monotonic() + timeout
    self._max_bytes = max_bytes
    self._socket = None
    port = self._url.port or {'http': 80, 'https': 443}[self._url.scheme]
    super().__init__(self._url.hostname, port)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()
    if self._socket is not None:
      self._socket.close()

  def connect(self):
    self._socket = socket.create_connection(
      (self.host, self.port), self._left()
    )
    self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if self._url.scheme == 'https':
      self._socket.settimeout(self._left())
      self._socket = _tls().wrap_socket(self._socket, server_hostname=self.host)
    self.sock = _Limited(self._socket, self._left, self._max_bytes)

  def post(self, body: bytes, key: Key | None) -> Reply:
    headers = {'Content-Type': 'application/json', 'Connection': 'close'}
    if key is not None:
      headers['Authorization'] = key.authorization
    self.request('POST', self._url.path, body, headers)
    with self.getresponse() as answer:
      if (answer.length or 0) > self._max_bytes:
        raise TooMuch
      # Announced, or as it comes; a chunk may announce more than there is.
      content = answer.read(self._max_bytes if answer.chunked else None)
      return Reply(answer.status, answer.headers, content)

  def _left(self) -> float:
    left = self._end - time.monotonic()
    if left <= 0:
      raise TimeoutError
    return left


class _Limited:
  """A socket, as http.client uses one, whose waits and bytes are limited."""

  def __init__(self, sock, left, max_bytes):
    self._sock, self._left, self._max_bytes = sock, left, max_bytes

  def sendall(self, data):
    self._sock.settimeout(self._left())
    self._sock.sendall(data)

  def makefile(self, mode):
    del mode  # An answer is only read.
    reader = _Reader(self._sock, self._left, self._max_bytes)
    return io.BufferedReader(reader)

  def close(self):
    pass  # http.client closes before it reads; the connection does, after.


class _Reader(io.RawIOBase):
  """Reads a socket, with limits of time and of bytes."""

  def __init__(self, sock, left, max_bytes):
    self._sock, self._left, self._bytes = sock, left, max_bytes

  def readable(self):
    return True

  def readinto(self, buffer):
    self._sock.settimeout(self._left())
    count = self._sock.recv_into(buffer)
    self._bytes -= count
    if self._bytes < 0:
      raise TooMuch
    return count
