"""The one client of HTTP endpoints, and servers that misbehave."""

import base64
import contextlib
import datetime
import email.utils
import errno
import http.client
import json
import math
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
from unittest import mock

from absl.testing import absltest, parameterized

from rlhf_jax.feedback import endpoint
from rlhf_jax.feedback.endpoint import answers, chat, keys, post, threads
from rlhf_jax.types import Message
from tests.feedback.endpoint_server import (
  Server,
  asking,
  echo,
  in_turn,
  said,
)

ROOT = pathlib.Path(__file__).parents[2]
KEY = 'sk-test-4b1d9Qx7Zr2'


def replied(chat, conversations):
  """The texts of a chat's answers."""
  return [answer.text for answer in chat.answers(conversations)]


class ServedTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.slept = []
    self.enterContext(mock.patch.object(threads, 'wait', self.remember))
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def remember(self, stopped, seconds):
    """In place of waiting, which a thread that was called off does not."""
    if not stopped.is_set():
      self.slept.append(seconds)
    return not stopped.is_set()

  def serve(self, script):
    return self.enterContext(Server(script))

  def ask(self, url, *texts, **options):
    """Asks with a key, and returns the one error that has to come."""
    settings = {'retries': 1, 'key_variable': 'A_KEY_OF_TESTS'} | options
    with (
      mock.patch.dict(os.environ, {'A_KEY_OF_TESTS': KEY}),
      self.assertRaises((ConnectionError, ValueError)) as caught,
    ):
      endpoint.Chat(url, 'm', **settings).answers(asking(*texts or 'a'))
    self.assertNotIn('\n', str(caught.exception))
    return caught.exception


class AnswersTest(ServedTest):
  def test_replies_are_in_the_order_of_the_questions(self):
    server = self.serve(echo)
    chat = endpoint.Chat(server.url, 'm', concurrency=3)
    texts = [f'text {i}' for i in range(12)]
    replies = replied(chat, asking(*texts))
    self.assertEqual(replies, [text.upper() for text in texts])
    self.assertEqual(set(server.paths), {'/v1/chat/completions'})
    self.assertEqual(self.slept, [])

  def test_what_is_sent(self):
    server = self.serve(echo)
    chat = endpoint.Chat(
      server.url + '/', 'a model', temperature=0.5, max_tokens=7
    )
    chat.answers([(Message('system', 's'), Message('user', 'ü?'))])
    self.assertEqual(
      server.bodies,
      [
        {
          'model': 'a model',
          'messages': [
            {'role': 'system', 'content': 's'},
            {'role': 'user', 'content': 'ü?'},
          ],
          'temperature': 0.5,
          'max_tokens': 7,
        }
      ],
    )
    self.assertEqual(server.paths, ['/v1/chat/completions'])
    self.assertNotIn('Authorization', server.headers[0])

  def test_the_key_is_the_variables(self):
    server = self.serve(echo)
    chat = endpoint.Chat(server.url, 'm', key_variable='A_KEY_OF_TESTS')
    with mock.patch.dict(os.environ, {'A_KEY_OF_TESTS': 'secret'}):
      chat.answers(asking('x'))
    self.assertEqual(server.headers[0]['Authorization'], 'Bearer secret')
    with self.assertRaisesRegex(ValueError, 'A_KEY_OF_TESTS is not set'):
      chat.answers(asking('x'))
    self.assertNotIn('secret', repr(chat))

  def test_equal_questions_are_asked_once(self):
    server = self.serve(echo)
    replies = replied(endpoint.Chat(server.url, 'm'), asking('a', 'b', 'a'))
    self.assertEqual(replies, ['A', 'B', 'A'])
    self.assertLen(server.bodies, 2)
    self.assertEqual(replied(endpoint.Chat(server.url, 'm'), []), [])

  def test_a_reply_without_text_is_empty(self):
    server = self.serve(in_turn((200, {}, said(None))))
    replies = replied(endpoint.Chat(server.url, 'm'), asking('a'))
    self.assertEqual(replies, [''])

  def test_no_more_at_a_time_than_allowed(self):
    one_too_many = threading.Barrier(4)

    def together(number, body):
      # The first ones give a fourth the time to come.
      with contextlib.suppress(threading.BrokenBarrierError):
        one_too_many.wait(0.5)
      return echo(number, body)

    server = self.serve(together)
    chat = endpoint.Chat(server.url, 'm', concurrency=3, retries=0)
    chat.answers(asking(*map(str, range(9))))
    self.assertEqual(server.most, 3)


class LogprobsTest(ServedTest):
  def reply(self, *tokens):
    top = [{'token': t, 'logprob': x} for t, x in tokens]
    return json.dumps(
      {
        'choices': [
          {
            'message': {'content': 'A'},
            'logprobs': {'content': [{'token': 'A', 'top_logprobs': top}]},
          }
        ]
      }
    ).encode()

  def test_they_are_asked_for_and_kept(self):
    reply = self.reply(('A', -0.5), (' B', -2))
    server = self.serve(in_turn((200, {}, reply)))
    chat = endpoint.Chat(server.url, 'm', cache=self.folder / 'replies')
    expected = endpoint.Answer('A', {'A': -0.5, ' B': -2.0})
    for _ in range(2):
      (answer,) = chat.answers(asking('a'), options=('A', 'B'))
      self.assertEqual(answer, expected)
    (body,) = server.bodies
    self.assertEqual((body['logprobs'], body['top_logprobs']), (True, 5))
    # The same question without them is another one.
    self.assertEqual(replied(chat, asking('a')), ['A'])
    self.assertNotIn('logprobs', server.bodies[1])

  @parameterized.parameters(
    (said('A'),),
    (b'{"choices": [{"message": {"content": "A"}, "logprobs": null}]}',),
    (b'{"choices": [{"message": {"content": "A"}, "logprobs": [3]}]}',),
  )
  def test_a_server_that_gives_none(self, reply):
    server = self.serve(in_turn((200, {}, reply)))
    chat = endpoint.Chat(server.url, 'm')
    answers = chat.answers(asking('a'), options=('A', 'B'))
    self.assertEqual(answers, [endpoint.Answer('A', None)])

  @parameterized.parameters(400, 422)
  def test_a_server_that_refuses_them_is_asked_without(self, status):
    def refusing(number, body):
      if 'top_logprobs' in body:
        return status, {}, b'no log-probs here'
      return 200, {}, said('A')

    server = self.serve(refusing)
    chat = endpoint.Chat(server.url, 'm', concurrency=1)
    answers = chat.answers(asking('a', 'b', 'c'), options=('A', 'B'))
    self.assertEqual(answers, [endpoint.Answer('A')] * 3)
    self.assertLen(server.bodies, 4)  # Only the first was asked twice.
    wrong = self.serve(in_turn((status, {}, b'no such model')))
    with self.assertRaisesRegex(ConnectionError, f'refuses with {status}'):
      chat = endpoint.Chat(wrong.url, 'm')
      chat.answers(asking(*'abcde'), options=('A', 'B'))

  @parameterized.parameters('nan', '1.5', '"x"')
  def test_numbers_that_are_none(self, number):
    reply = self.reply(('A', 0.125)).replace(b'0.125', number.encode())
    server = self.serve(in_turn((200, {}, reply.replace(b'nan', b'NaN'))))
    chat = endpoint.Chat(server.url, 'm')
    answers = chat.answers(asking('a'), options=('A', 'B'))
    self.assertEqual(answers, [endpoint.Answer('A', None)])


class PaceTest(ServedTest):
  def test_requests_begin_at_equal_distances(self):
    server = self.serve(echo)
    chat = endpoint.Chat(server.url, 'm', per_minute=60.0, concurrency=1)
    chat.answers(asking('a', 'b', 'c'))
    # Nothing sleeps here, so each waits for all that came before it.
    first, second = self.slept
    self.assertBetween(first, 0.5, 1.0)
    self.assertBetween(second, 1.0, 2.0)

  def test_chats_of_other_lengths_share_it(self):
    server = self.serve(echo)
    chat = endpoint.Chat(server.url, 'm', per_minute=60.0, concurrency=1)
    for number, text in enumerate('abc', 1):
      self.assertEqual(
        replied(chat.replying(number), asking(text)), [text.upper()]
      )
    self.assertEqual([b['max_tokens'] for b in server.bodies], [1, 2, 3])
    first, second = self.slept  # The later ones wait for all before them.
    self.assertBetween(first, 0.5, 1.0)
    self.assertBetween(second, 1.0, 2.0)

  def test_other_models_share_it_and_no_refusal(self):
    def one_only(number, body):
      if body['model'] == 'n':
        return 400, {}, b'no such model'
      return echo(number, body)

    server = self.serve(one_only)
    chat = endpoint.Chat(server.url, 'm', per_minute=60.0, concurrency=1)
    self.assertEqual(replied(chat.by('m', 0.5), asking('a')), ['A'])
    # That one answered says nothing of whether the other's name is right.
    with self.assertRaisesRegex(ConnectionError, 'no such model'):
      chat.by('n', 1.0).answers(asking(*'bcdef'))
    sent = [(body['model'], body['temperature']) for body in server.bodies]
    self.assertEqual(sent, [('m', 0.5), *[('n', 1.0)] * 5])
    self.assertBetween(self.slept[0], 0.5, 1.0)

  def test_the_same_model_beside_it_shares_what_is_known_of_it(self):
    server = self.serve(refusing('bad'))
    chat = endpoint.Chat(server.url, 'm', concurrency=1)
    self.assertEqual(replied(chat.by('n', 0.5), asking('a')), ['A'])
    # Six refusals of one that was answered before end nothing.
    server._script = refusing(*'bcdefg')
    said = chat.by('n', 0.5).replying(9).answers(asking(*'bcdefg'))
    self.assertLen([x for x in said if x.refusal is not None], 6)

  def test_chats_of_other_lengths_share_the_number_at_a_time(self):
    one_too_many = threading.Barrier(3)

    def together(number, body):
      with contextlib.suppress(threading.BrokenBarrierError):
        one_too_many.wait(0.5)
      return echo(number, body)

    server = self.serve(together)
    chat = endpoint.Chat(server.url, 'm', concurrency=2)
    both = [
      threading.Thread(target=chat.replying(n).answers, args=(asking(*'abc'),))
      for n in (1, 2)
    ]
    for thread in both:
      thread.start()
    for thread in both:
      thread.join()
    self.assertEqual((server.most, len(server.bodies)), (2, 6))


class RetriesTest(ServedTest):
  @parameterized.parameters(408, 409, 429, 500, 502, 503)
  def test_asks_again(self, status):
    failing = status, {}, b''
    server = self.serve(in_turn(failing, failing, (200, {}, said('ok'))))
    chat = endpoint.Chat(server.url, 'm', retries=2, pause=1.0)
    self.assertEqual(replied(chat, asking('a')), ['ok'])
    self.assertLen(server.bodies, 3)
    first, second = self.slept  # Doubling, give or take half.
    self.assertBetween(first, 0.5, 1.5)
    self.assertBetween(second, 1.0, 3.0)

  def test_pauses_differ_and_have_an_end(self):
    server = self.serve(in_turn((503, {}, b'')))
    chat = endpoint.Chat(server.url, 'm', retries=12)
    with self.assertRaisesRegex(ConnectionError, 'in 13 attempts; .* 503'):
      chat.answers(asking('a'))
    self.assertLen(server.bodies, 13)
    self.assertLen(set(self.slept), 12)
    self.assertBetween(self.slept[-1], 30.0, 90.0)

  @parameterized.parameters(
    ('17', 17.0, 17.0),
    (' 60 ', 60.0, 60.0),
    ('2.5', 2.5, 2.5),
    ('0', 0.5, 1.5),  # Sooner than the pause is not asked for.
    ('Wed, 21 Oct 2015 07:28:00 GMT', 0.5, 1.5),
    ('nan', 0.5, 1.5),
  )
  def test_waits_as_long_as_it_is_told(self, header, least, most):
    server = self.serve(
      in_turn((429, {'Retry-After': header}, b''), (200, {}, said('ok')))
    )
    endpoint.Chat(server.url, 'm').answers(asking('a'))
    (slept,) = self.slept
    self.assertBetween(slept, least, most)

  @parameterized.parameters(
    (b'{"choices": [{"mess',),
    (b'{"choices": []}',),
    (b'{"error": "busy"}',),
    (b'null',),
    (b'<html>',),
    (b'\xff\xfe',),
  )
  def test_half_a_reply_is_asked_for_again(self, half):
    server = self.serve(in_turn((200, {}, half), (200, {}, said('whole'))))
    chat = endpoint.Chat(server.url, 'm')
    self.assertEqual(replied(chat, asking('a')), ['whole'])
    self.assertLen(server.bodies, 2)

  def test_a_reply_shorter_than_announced(self):
    short = 200, {'Content-Length': '1000'}, said('cut')
    server = self.serve(in_turn(short, (200, {}, said('whole'))))
    chat = endpoint.Chat(server.url, 'm')
    self.assertEqual(replied(chat, asking('a')), ['whole'])

  def test_a_slow_reply_times_out(self):
    released = threading.Event()

    def slow_at_first(number, body):
      if number == 0:
        released.wait(20.0)
      return echo(number, body)

    server = self.serve(slow_at_first)
    chat = endpoint.Chat(server.url, 'm', timeout=0.2)
    self.assertEqual(replied(chat, asking('a')), ['A'])
    released.set()
    self.assertLen(server.bodies, 2)
    self.assertLen(self.slept, 1)

  def test_slow_replies_are_given_up(self):
    released = threading.Event()

    def slow(number, body):
      released.wait(20.0)
      return echo(number, body)

    server = self.serve(slow)
    chat = endpoint.Chat(server.url, 'm', timeout=0.2, retries=1)
    with self.assertRaisesRegex(ConnectionError, 'in 2 attempts; .*timed out'):
      chat.answers(asking('b'))
    released.set()

  def test_nobody_is_there(self):
    server = self.serve(echo)
    server.__exit__()
    chat = endpoint.Chat(server.url, 'm', retries=1)
    with self.assertRaisesRegex(
      endpoint.NobodyThereError,
      f'^nothing answers at {chat.url} in 2 attempts .no connection: '
      'Connection refused.; start what should, or mend base_url$',
    ):
      chat.answers(asking('a'))
    self.assertLen(self.slept, 1)  # It was asked twice.

  @parameterized.parameters(400, 401, 403, 404, 422)
  def test_fails_at_once(self, status):
    server = self.serve(in_turn((status, {}, b'no such\nmodel, key sk-1')))
    chat = endpoint.Chat(server.url, 'm', concurrency=1)
    with self.assertRaisesRegex(ConnectionError, f'refuses with {status}') as e:
      chat.answers(asking(*map(str, range(30))))
    self.assertEqual(self.slept, [])
    self.assertLess(len(server.bodies), 30)  # The rest is called off.
    sentence = str(e.exception)
    self.assertNotIn('\n', sentence)
    if status in (401, 403):
      self.assertNotIn('sk-1', sentence)
      self.assertIn('key_variable', sentence)
    else:
      self.assertIn('no such model', sentence)


def refusing(*texts, status=400):
  """Answers all questions but these, which it refuses."""

  def script(number, body):
    if body['messages'][-1]['content'] in texts:
      return status, {}, b'content filter'
    return echo(number, body)

  return script


class RefusedTest(ServedTest):
  """One question is refused, and others are answered."""

  @parameterized.product(status=(400, 413, 422), first=(False, True))
  def test_the_others_are_answered(self, status, first):
    texts = ['bad', *'abc'] if first else [*'abc', 'bad']
    server = self.serve(refusing('bad', status=status))
    chat = endpoint.Chat(server.url, 'm', concurrency=1)
    replies = chat.answers(asking(*texts))
    found = dict(zip(texts, replies, strict=True))
    self.assertEqual([found[x].text for x in 'abc'], ['A', 'B', 'C'])
    self.assertEqual(found['bad'].text, '')
    self.assertStartsWith(found['bad'].refusal, f'{status} ')
    self.assertEndsWith(found['bad'].refusal, ': content filter')
    self.assertIsNone(found['a'].refusal)
    self.assertLen(server.bodies, 4)

  def test_it_is_kept_and_not_asked_again(self):
    server = self.serve(refusing('bad'))
    path = self.folder / 'replies.jsonl'
    asked = asking('bad', 'a')
    first = endpoint.Chat(server.url, 'm', cache=path).answers(asked)
    again = endpoint.Chat(server.url, 'm', cache=path)
    self.assertEqual(again.answers(asked), first)
    self.assertEmpty(again.unanswered(asked))
    self.assertLen(server.bodies, 2)
    # One that is refused alone, after others were answered, is one as well.
    server._script = refusing('worse')
    replies = endpoint.Chat(server.url, 'm', cache=path).answers(
      asking('worse')
    )
    self.assertIsNotNone(replies[0].refusal)

  def test_other_settings_have_to_be_answered_first(self):
    server = self.serve(echo)
    path = self.folder / 'replies.jsonl'
    endpoint.Chat(server.url, 'm', cache=path).answers(asking('a'))
    server._script = in_turn((400, {}, b'temperature must be 1'))
    warm = endpoint.Chat(server.url, 'm', cache=path, temperature=0.5)
    with self.assertRaisesRegex(ConnectionError, 'temperature must be 1'):
      warm.answers(asking(*'bcdef'))

  def test_fewer_questions_than_would_end_it_are_refused_each(self):
    server = self.serve(refusing(*'abcde'))
    chat = endpoint.Chat(server.url, 'm')
    # Of a judge that is asked one or two at a time the fifth ends it.
    for texts in ('a', 'bc', 'ad'):
      said = chat.answers(asking(*texts))
      self.assertNotIn(None, [x.refusal for x in said])
    with self.assertRaisesRegex(ConnectionError, 'did the first 5 questions'):
      chat.answers(asking('e'))
    self.assertEqual(replied(chat, asking('f')), ['F'])
    self.assertIsNotNone(chat.answers(asking('e'))[0].refusal)

  def test_the_first_ones_end_it(self):
    server = self.serve(in_turn((400, {}, b'no such model')))
    path = self.folder / 'replies.jsonl'
    chat = endpoint.Chat(server.url, 'm', concurrency=1, cache=path)
    with self.assertRaises(ConnectionError) as caught:
      chat.answers(asking(*map(str, range(30))))
    self.assertEqual(
      str(caught.exception),
      f'{chat.url} refuses with 400 Bad Request: no such model; so it did the '
      'first 5 questions',
    )
    self.assertBetween(len(server.bodies), 5, 6)
    # Nothing of it is kept: once the model is there, all is asked.
    server._script = echo
    self.assertEqual(replied(chat, asking('0')), ['0'])

  @parameterized.parameters(6, 30)
  def test_those_under_way_may_be_answered_yet(self, count):
    texts = [f'bad {i}' for i in range(5)]
    over, together = threading.Event(), threading.Barrier(6)

    def script(number, body):
      if number < 6:
        together.wait(20.0)
      if body['messages'][-1]['content'] in texts:
        return 400, {}, b'content filter'
      if number < 6:
        over.wait(0.5)  # The five refusals come first.
      return echo(number, body)

    server = self.serve(script)
    chat = endpoint.Chat(server.url, 'm', concurrency=6)
    others = [f'x{i}' for i in range(count - 5)]
    replies = chat.answers(asking(*texts, *others))
    self.assertEqual([x.refusal is None for x in replies[:5]], [False] * 5)
    self.assertEqual([x.text for x in replies[5:]], [x.upper() for x in others])
    self.assertLen(server.bodies, count)  # Each once.

  def test_with_log_probs_it_is_asked_once_more(self):
    server = self.serve(refusing('bad'))
    chat = endpoint.Chat(server.url, 'm', concurrency=1)
    replies = chat.answers(asking('a', 'bad', 'b'), options=('A', 'B'))
    self.assertEqual([x.text for x in replies], ['A', '', 'B'])
    self.assertIn('logprobs', server.bodies[-1])  # These were not at fault.


class DrainedTest(ServedTest):
  """What is under way when an error comes is paid, and kept."""

  @contextlib.contextmanager
  def slow_but_one(self, answer):
    """A server that answers 'bad' at once, and others once that was done."""
    refused, under_way = threading.Event(), threading.Barrier(4)

    def script(number, body):
      under_way.wait(20.0)
      if body['messages'][-1]['content'] == 'bad':
        refused.set()
        return answer
      refused.wait(20.0)
      time.sleep(0.3)  # The one who asked has read of the error by then.
      return echo(number, body)

    with Server(script) as server:
      yield server

  def test_after_a_refusal(self):
    path = self.folder / 'replies.jsonl'
    with self.slow_but_one((404, {}, b'')) as server:
      chat = endpoint.Chat(server.url, 'm', concurrency=4, cache=path)
      with self.assertRaisesRegex(ConnectionError, '404'):
        chat.answers(asking(*'abc', 'bad', *'defgh'))
      self.assertLen(server.bodies, 4)
      self.assertEqual(chat.unanswered(asking(*'abc')), [])
      self.assertLen(chat.unanswered(asking('bad', *'defgh')), 6)

  def test_after_a_stop_of_a_run(self):
    path, begun = self.folder / 'replies.jsonl', threading.Barrier(4)

    def script(number, body):
      begun.wait(20.0)
      os.kill(os.getpid(), signal.SIGUSR1) if number == 3 else None
      time.sleep(0.3)
      return echo(number, body)

    class Stopped(KeyboardInterrupt):
      """As training.stopping has it."""

    def stop(number, frame):
      raise Stopped

    before = signal.signal(signal.SIGUSR1, stop)
    self.addCleanup(signal.signal, signal.SIGUSR1, before)
    server = self.serve(script)
    chat = endpoint.Chat(server.url, 'm', concurrency=4, cache=path)
    with self.assertRaises(Stopped):
      chat.answers(asking(*'abcdefgh'))
    self.assertLen(server.bodies, 4)
    self.assertLen(chat.unanswered(asking(*'abcdefgh')), 4)

  @parameterized.parameters(False, True)
  def test_refusals_are_kept_too_where_something_was_answered(self, answered):
    path = self.folder / 'replies.jsonl'

    def script(number, body):
      text = body['messages'][-1]['content']
      if text == 'end':
        return 404, {}, b''
      return echo(number, body) if text == 'a' else (400, {}, b'filter')

    server = self.serve(script)
    chat = endpoint.Chat(server.url, 'm', concurrency=1, cache=path)
    asked = asking(*['a'] * answered, 'bad', 'end', 'b')
    with self.assertRaisesRegex(ConnectionError, '404'):
      chat.answers(asked)
    left = asking(*['bad'] * (not answered), 'end', 'b')
    self.assertEqual(chat.unanswered(asked), left)

  def test_after_a_full_disk(self):
    path = self.folder / 'replies.jsonl'
    together = threading.Barrier(4)

    def script(number, body):
      together.wait(20.0)
      return echo(number, body)

    opened, write = [], pathlib.Path.open

    def full_once(self, *how, **options):
      opened.append(self)
      if len(opened) == 3:  # Made, read, and added to for the first time.
        raise OSError(errno.ENOSPC, 'No space left on device')
      return write(self, *how, **options)

    server = self.serve(script)
    chat = endpoint.Chat(server.url, 'm', concurrency=4, cache=path)
    with (
      mock.patch.object(pathlib.Path, 'open', full_once),
      self.assertRaisesRegex(ValueError, 'No space left on device'),
    ):
      chat.answers(asking(*'abcdefgh'))
    self.assertLen(server.bodies, 4)
    self.assertLen(chat.unanswered(asking(*'abcdefgh')), 8 - 3)


class CacheTest(ServedTest):
  def chat(self, server, **options):
    path = self.folder / 'new' / 'replies.jsonl'
    return endpoint.Chat(server.url, 'm', cache=path, **options)

  def test_what_was_asked_is_not_asked_again(self):
    server = self.serve(echo)
    self.chat(server).answers(asking('a', 'b'))
    self.assertLen(server.bodies, 2)
    # How a question travels is no part of it.
    replies = replied(self.chat(server, timeout=9.0), asking('b', 'c', 'a'))
    self.assertEqual(replies, ['B', 'C', 'A'])
    self.assertLen(server.bodies, 3)

  def test_other_settings_are_other_questions(self):
    server = self.serve(echo)
    self.chat(server).answers(asking('a'))
    self.chat(server, temperature=1.0).answers(asking('a'))
    self.chat(server, max_tokens=3).answers(asking('a'))
    self.chat(server).answers([(Message('system', 'a'),)])
    path = self.folder / 'new' / 'replies.jsonl'
    endpoint.Chat(server.url, 'other', cache=path).answers(asking('a'))
    self.assertLen(server.bodies, 5)

  @parameterized.parameters('/', '/chat/completions', '/chat/completions/')
  def test_one_url_in_several_writings(self, end):
    server = self.serve(echo)
    self.chat(server).answers(asking('a'))
    path = self.folder / 'new' / 'replies.jsonl'
    chat = endpoint.Chat(server.url + end, 'm', cache=path)
    self.assertEqual(replied(chat, asking('a', 'b')), ['A', 'B'])
    self.assertEqual(server.paths, ['/v1/chat/completions'] * 2)

  def test_half_a_line_is_asked_again_and_spoils_no_other(self):
    server = self.serve(echo)
    chat = self.chat(server, concurrency=1)
    chat.answers(asking('a', 'b'))
    path = pathlib.Path(chat.cache)
    path.write_bytes(path.read_bytes()[:-9])  # A crash while b was written.
    self.assertEqual(replied(chat, asking('a', 'b')), ['A', 'B'])
    self.assertLen(server.bodies, 3)
    chat.answers(asking('a', 'b'))
    self.assertLen(server.bodies, 3)

  def test_lines_of_another_kind_are_left_out(self):
    server = self.serve(echo)
    chat = self.chat(server)
    path = pathlib.Path(chat.cache)
    path.parent.mkdir()
    path.write_bytes(
      b'{"address": "z", "reply": "a", "logprobs": [1]}\n'
      b'3\n{}\n[]\nnull\n\n{"address": "x"}\n{"address": [], "reply": "b"}\n'
      b'\xff\xfe\n' + b'[' * 100_000 + b'\n{"address": "y", "rep'
    )
    self.assertEqual(replied(chat, asking('a')), ['A'])

  def test_replies_before_a_refusal_are_kept(self):
    server = self.serve(
      in_turn((200, {}, said('ok')), (404, {}, b''), (200, {}, said('ok')))
    )
    chat = self.chat(server, concurrency=1)
    with self.assertRaises(ConnectionError):
      chat.answers(asking('a', 'b'))
    chat.answers(asking('a', 'b'))
    self.assertLen(server.bodies, 3)

  def test_a_path_that_cannot_be_a_file_is_told_before_anything_is_asked(self):
    (self.folder / 'file').write_text('x')
    server = self.serve(echo)
    for path in (self.folder, self.folder / 'file' / 'replies.jsonl'):
      chat = endpoint.Chat(server.url, 'm', cache=path)
      with self.assertRaisesRegex(ValueError, f'the cache {path} ') as e:
        chat.answers(asking('a'))
      self.assertNotIn('\n', str(e.exception))
    self.assertEmpty(server.bodies)


class SettingsTest(ServedTest):
  @parameterized.parameters(
    {'retries': -1},
    {'retries': 1.5},
    {'concurrency': 0},
    {'per_minute': 0},
    {'per_minute': float('nan')},
    {'timeout': 0.0},
    {'timeout': -1.0},
    {'timeout': float('nan')},
    {'timeout': 1e30},
    {'timeout': '60'},
    {'pause': -1.0},
    {'pause': float('inf')},
    {'max_tokens': 0},
    {'max_tokens': True},
    {'max_bytes': 0},
    {'temperature': -0.1},
    {'temperature': float('nan')},
    {'model': ''},
    {'cache': ''},
    {'cache': 3},
  )
  def test_what_cannot_be_names_its_setting(self, **setting):
    server = self.serve(echo)
    settings = {'base_url': server.url, 'model': 'm'} | setting
    (name,) = setting
    asked = endpoint.Chat(**settings)
    with self.assertRaisesRegex(ValueError, f'^{name} must be'):
      asked.answers(asking('a'))
    self.assertEmpty(server.bodies)

  @parameterized.parameters(
    '',
    'localhost:8000',
    'ftp://localhost/v1',
    'file:///etc',
    'http://',
    'http:///v1',
    'http://:80/v1',
    'http://host:port/v1',
    'http://host:99999/v1',
    'http://host:0/v1',
    'http://a b/v1',
    'http://host/v1\n',
    'http://h\xf6st/v1',
    'http://a..b/v1',
    f'http://{"x" * 70}.org/v1',
    None,
    8000,
  )
  def test_a_url_that_cannot_be(self, url):
    with self.assertRaisesRegex(ValueError, '^base_url must be'):
      endpoint.Chat(url, 'm').answers(asking('a'))

  @parameterized.parameters(
    f'http://user:{KEY}@host/v1',
    f'http://{KEY}@host/v1',
    f'http://host/v1?key={KEY}',
    f'http://host/v1#{KEY}',
  )
  def test_a_url_with_a_secret_is_not_repeated(self, url):
    with self.assertRaisesRegex(ValueError, '^base_url must hold no') as e:
      endpoint.Chat(url, 'm').answers(asking('a'))
    self.assertNotIn(KEY, str(e.exception))

  @parameterized.parameters('', 'a key', KEY, KEY.encode(), 'A=B', 'A\0')
  def test_what_is_no_variable_may_be_a_key(self, variable):
    chat = endpoint.Chat('http://host/v1', 'm', key_variable=variable)
    with self.assertRaisesRegex(ValueError, '^key_variable must be') as e:
      chat.answers(asking('a'))
    self.assertNotIn(KEY, str(e.exception))

  def test_a_key_given_as_the_variable_is_not_repeated(self):
    chat = endpoint.Chat('http://host/v1', 'm', key_variable='hf_aBcDeF123456')
    with self.assertRaisesRegex(ValueError, 'key_variable names is not') as e:
      chat.answers(asking('a'))
    self.assertNotIn('aBcDeF', str(e.exception))


class KeyTest(ServedTest):
  @parameterized.parameters(f' {KEY}', f'{KEY} ', f'\t{KEY}  ')
  def test_blanks_around_it_are_left_out(self, value):
    server = self.serve(echo)
    asked = endpoint.Chat(server.url, 'm', key_variable='A_KEY_OF_TESTS')
    with mock.patch.dict(os.environ, {'A_KEY_OF_TESTS': value}):
      asked.answers(asking('x'))
    self.assertEqual(server.headers[0]['Authorization'], f'Bearer {KEY}')

  @parameterized.parameters(
    '', '  ', f'{KEY}\n', f'{KEY}\r\nX: y', f'{KEY[:5]} {KEY[5:]}',
    f'{KEY}\xe9', f'{KEY}\u20ac', f'{KEY}\x7f', f'\x00{KEY}',
  )  # fmt: skip
  def test_what_is_no_key_is_not_sent(self, value):
    server = self.serve(echo)
    chat = endpoint.Chat(server.url, 'm', key_variable='A_KEY_OF_TESTS')
    environment = {'A_KEY_OF_TESTS': value}
    with (
      mock.patch.object(keys.os, 'environ', environment),
      self.assertRaisesRegex(ValueError, 'A_KEY_OF_TESTS') as e,
    ):
      chat.answers(asking('x'))
    self.assertNotIn(KEY, str(e.exception))
    self.assertEmpty(server.bodies)

  def written(self):
    """The key in the writings that a server may use, cut where they vary."""
    coded = [
      base64.b64encode(before + KEY.encode()).decode()[
        math.ceil(len(before) * 4 / 3) : -4
      ]
      for before in (b'', b'x', b'xy', b'Bearer ')
    ]
    return (
      KEY, KEY[:9], KEY[4:12], KEY[::-1], KEY.upper(), *coded,
      urllib.parse.quote(KEY, safe=''), KEY.encode().hex(),
    )  # fmt: skip

  def everything_of(self, error):
    """All that a log could show of an error: its chain, its frames' values."""
    shown = ''
    while error is not None:
      told = traceback.TracebackException.from_exception(
        error, capture_locals=True
      )
      frames = [f for f in told.stack if '/tests/' not in f.filename]
      shown += repr(error) + ''.join(
        f'{name} = {value}\n'
        for frame in frames
        for name, value in (frame.locals or {}).items()
      )
      error = error.__cause__ or error.__context__
    return shown

  @parameterized.product(
    status=(200, 302, 400, 401, 403, 404, 422, 429, 500, 600),
    place=('body', 'error', 'Retry-After', 'Location'),
  )
  def test_it_is_never_shown_whatever_a_server_says(self, status, place):
    for form in self.written():
      headers, content = {}, b'{}'
      if place == 'body':
        content = f'your key {form} is bad'.encode()
      elif place == 'error':
        error = {'message': form, 'code': form, 'type': form, 'param': form}
        content = json.dumps({'error': error}).encode()
      else:
        headers = {place: f'http://{form}/{form}?{form}'}
      server = self.serve(in_turn((status, headers, content)))
      shown = self.everything_of(self.ask(server.url, *'abcde')).lower()
      self.assertNotIn(form.lower(), shown)

  def test_a_reply_with_it_is_kept_without(self):
    cache = self.folder / 'replies.jsonl'
    for form in self.written():
      server = self.serve(in_turn((200, {}, said(f'neutral, {form}!'))))
      asked = endpoint.Chat(
        server.url, 'm', key_variable='A_KEY_OF_TESTS', cache=cache
      )
      with mock.patch.dict(os.environ, {'A_KEY_OF_TESTS': KEY}):
        (reply,) = replied(asked, asking('a'))
      self.assertEqual(reply, 'neutral, [key]!')
      self.assertNotIn(form, cache.read_text())
    self.assertNotIn(KEY, repr(asked))

  def test_the_code_of_an_error_is_told(self):
    for error in ({'code': 'no_such_model'}, {'type': 'no_such_model'}):
      content = json.dumps({'error': error | {'message': KEY}}).encode()
      server = self.serve(in_turn((404, {}, content)))
      error = self.ask(server.url)
      self.assertRegex(str(error), '404 Not Found: no_such_model$')

  @parameterized.parameters(301, 302, 303, 307, 308)
  def test_a_redirect_is_told_and_not_followed(self, status):
    other = self.serve(echo)
    there = other.url.replace('127.0.0.1', 'localhost') + '/x?token=abc'
    server = self.serve(in_turn((status, {'Location': there}, b'')))
    error = self.ask(server.url)
    port = urllib.parse.urlsplit(other.url).port
    self.assertIn(f'with {status} ', str(error))
    self.assertIn(f'a redirect to http://localhost:{port}, ', str(error))
    self.assertNotIn('token', str(error))
    self.assertEmpty(other.headers)
    self.assertLen(server.headers, 1)

  def test_no_proxy_of_the_environment_sees_it(self):
    proxy, server = self.serve(echo), self.serve(echo)
    proxies = {f'{n}_proxy': proxy.url for n in ('http', 'https', 'all')}
    key = {'A_KEY_OF_TESTS': KEY, 'no_proxy': ''}
    with mock.patch.dict(os.environ, proxies | key):
      chat = endpoint.Chat(server.url, 'm', key_variable='A_KEY_OF_TESTS')
      self.assertEqual(replied(chat, asking('a')), ['A'])
    self.assertEmpty(proxy.headers)


class LimitsTest(ServedTest):
  """Servers that write what they like to the socket."""

  def listen(self, serve):
    """The URL of a server that is a function of a connected socket."""
    listener = socket.create_server(('127.0.0.1', 0))
    self.addCleanup(listener.close)

    def accept():
      with contextlib.suppress(OSError):
        while True:
          connected, _ = listener.accept()
          threading.Thread(
            target=self._served, args=(serve, connected), daemon=True
          ).start()

    threading.Thread(target=accept, daemon=True).start()
    return f'http://127.0.0.1:{listener.getsockname()[1]}/v1'

  def _served(self, serve, connected):
    """Reads the request whole first: closing before that resets it."""
    with contextlib.suppress(OSError), connected, connected.makefile('rb') as f:
      f.readline()
      f.read(int(http.client.parse_headers(f)['Content-Length']))
      serve(connected)

  @parameterized.named_parameters(
    ('body', b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n', b' '),
    ('chunks', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
     b'1\r\n \r\n'),
    ('headers', b'HTTP/1.1 200 OK\r\n', b'A: b\r\n'),
    ('status', b'', b'H'),
    ('nothing', b'', b''),
  )  # fmt: skip
  def test_a_slow_drip_has_an_end(self, first, drop):
    def drip(connected):
      connected.sendall(first)
      for _ in range(60):
        time.sleep(0.05)
        connected.sendall(drop)

    began = time.monotonic()
    error = self.ask(self.listen(drip), timeout=0.3)
    self.assertBetween(time.monotonic() - began, 0.6, 2.0)
    self.assertRegex(str(error), 'in 2 attempts; .*timed out')

  @parameterized.named_parameters(
    ('announced', b'Content-Length: 1000000000000000\r\n\r\n', b''),
    ('body', b'\r\n', b' ' * 1000),
    ('chunks', b'Transfer-Encoding: chunked\r\n\r\n',
     b'3e8\r\n' + b' ' * 1000 + b'\r\n'),
    ('one chunk', b'Transfer-Encoding: chunked\r\n\r\nfffffffffff\r\n',
     b' ' * 1000),
    ('headers', b'', b'A: ' + b'b' * 1000 + b'\r\n'),
  )  # fmt: skip
  def test_a_reply_has_a_largest_size(self, first, more):
    sent = []

    def pour(connected):
      connected.sendall(b'HTTP/1.1 200 OK\r\n' + first)
      for _ in range(3000):
        connected.sendall(more)
        sent.append(len(more))

    error = self.ask(self.listen(pour), max_bytes=50_000)
    self.assertIn('more than the 50000 bytes that are read', str(error))

  def test_a_large_reply_is_read_whole(self):
    text = 'x' * 300_000
    server = self.serve(in_turn((200, {}, said(text))))
    chat = endpoint.Chat(server.url, 'm')
    self.assertEqual(replied(chat, asking('a')), [text])

  def test_an_answer_in_chunks(self):
    chunks = b''.join(b'1\r\n%c\r\n' % byte for byte in said('a'))

    def answer(connected):
      connected.sendall(
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
        + chunks + b'0\r\n\r\n'
      )  # fmt: skip

    chat = endpoint.Chat(self.listen(answer), 'm', retries=0)
    self.assertEqual(replied(chat, asking('a')), ['a'])

  @parameterized.parameters(
    (b'\x00\x01 no http at all\r\n\r\n',),
    (b'HTTP/1.1 abc OK\r\n\r\n',),
    (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',),
    (b'',),
  )
  def test_what_is_no_http_is_asked_again(self, answer):
    error = self.ask(self.listen(lambda sock: sock.sendall(answer)))
    self.assertIn('gave no reply in 2 attempts', str(error))

  @parameterized.parameters('86400', '61', '1' + '0' * 400)
  def test_a_wait_of_more_than_a_minute_is_an_end(self, header):
    server = self.serve(in_turn((429, {'Retry-After': header}, b'')))
    error = self.ask(server.url, retries=9)
    self.assertIn('429 Too Many Requests', str(error))
    self.assertIn('asks to wait longer than 60 s', str(error))
    self.assertLen(server.bodies, 1)
    self.assertEmpty(self.slept)

  def test_a_date_is_waited_for(self):
    date = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=40)
    header = email.utils.format_datetime(date, usegmt=True)
    self.assertBetween(answers.seconds(header), 37.0, 40.0)
    self.assertEqual(answers.seconds('Fri, 99 Foo 2999 00:00:00 GMT'), 0.0)
    far = answers.seconds('Fri, 01 Jan 9999 00:00:00 GMT')
    self.assertGreater(far, chat.LONGEST_PAUSE)

  @parameterized.parameters(
    ([{'type': 'text', 'text': 'neutral'}],),
    (3,),
    (True,),
    ({},),
    ('\ud800',),
  )
  def test_content_that_is_no_text(self, content):
    server = self.serve(in_turn((200, {}, said(content))))
    error = self.ask(server.url)
    self.assertIn(
      'in 2 attempts; the last one ended with no message', str(error)
    )

  @parameterized.parameters(
    (b'',), (b'<html>',), (b'\xff\xfe',), (b'[' * 200_000,),
    (b'{"choices":' * 50_000,), (b'9' * 10_000,),
  )  # fmt: skip
  def test_content_that_is_no_json(self, content):
    server = self.serve(in_turn((200, {}, content)))
    error = self.ask(server.url)
    self.assertIn('2 attempts; the last one ended with a reply', str(error))

  def test_a_hundred_thousand_retries_have_pauses_of_a_minute(self):
    server = self.serve(in_turn((503, {}, b'')))
    self.ask(server.url, retries=1100)  # 2 to the 1100th is no float.
    self.assertLess(max(self.slept), 91.0)


HANGING = """
import signal, time
from rlhf_jax.feedback import endpoint
from rlhf_jax.types import Message

# As a shell starts a command: runners of tests may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
  endpoint.Chat('{url}', 'm').answers(
    [(Message('user', str(i)),) for i in range(20)]
  )
except KeyboardInterrupt:
  print(time.monotonic(), flush=True)
"""


class InterruptTest(parameterized.TestCase):
  def test_ctrl_c_ends_a_program_whose_requests_hang(self):
    released = threading.Event()
    self.addCleanup(released.set)

    def silent(number, body):
      released.wait(60.0)
      return echo(number, body)

    with Server(silent) as server:
      process = subprocess.Popen(
        [sys.executable, '-c', HANGING.format(url=server.url)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
      )
      deadline = time.monotonic() + 60.0
      while server.most < 8 and time.monotonic() < deadline:
        time.sleep(0.02)
      self.assertEqual(server.most, 8)
      began = time.monotonic()
      process.send_signal(signal.SIGINT)
      out, _ = process.communicate(timeout=30.0)
      # It is over at once; the interpreter then takes its time on a busy
      # machine, but not until the replies come.
      self.assertLess(float(out) - began, 2.0)
      self.assertLess(time.monotonic() - began, 20.0)

  @parameterized.parameters(
    KeyboardInterrupt, type('Stop', (KeyboardInterrupt,), {})
  )
  def test_an_interrupt_while_threads_start_calls_them_off(self, kind):
    called, released = [], threading.Event()
    self.addCleanup(released.set)
    start, started = threading.Thread.start, []

    def interrupted(thread):
      if len(started) == 2:
        released.set()
        raise kind
      started.append(thread)
      start(thread)

    def call(item, stopped):
      called.append(item)
      released.wait(20.0)
      stopped.wait(20.0)

    with (
      mock.patch.object(threading.Thread, 'start', interrupted),
      self.assertRaises(kind),
      threads.in_threads(call, [(i, i) for i in range(9)], 4),
    ):
      self.fail('it was not interrupted')
    for thread in started:
      thread.join(20.0)
      self.assertFalse(thread.is_alive())
    self.assertLessEqual(len(called), 2)

  def test_a_refusal_leaves_no_thread_waiting(self):
    before = set(threading.enumerate())
    server = Server(lambda number, body: (404 if number == 2 else 503, {}, b''))
    with server:
      chat = endpoint.Chat(server.url, 'm', concurrency=4, pause=50.0)
      with self.assertRaisesRegex(ConnectionError, '404'):
        chat.answers(asking(*map(str, range(9))))
    ours = set(threading.enumerate()) - before
    for thread in ours:
      thread.join(2.0)
    self.assertFalse([thread for thread in ours if thread.is_alive()])


class TlsTest(ServedTest):
  def test_a_server_without_tls(self):
    server = self.serve(echo)
    error = self.ask(server.url.replace('http:', 'https:'), timeout=5.0)
    self.assertIn('no TLS connection: ', str(error))

  def test_a_certificate_that_nobody_vouches_for(self):
    certificate = self.folder / 'own.pem'
    certificate.write_text(SELF_SIGNED)
    server = self.serve(echo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.wrap(context)
    url = server.url.replace('http://127.0.0.1', 'https://localhost')
    error = self.ask(url)
    self.assertIn('shows a certificate that is not trusted: ', str(error))
    self.assertEmpty(server.headers)
    post._tls.cache_clear()
    self.addCleanup(post._tls.cache_clear)
    with mock.patch.dict(os.environ, {'SSL_CERT_FILE': str(certificate)}):
      replies = replied(endpoint.Chat(url, 'm', retries=0), asking('a'))
    self.assertEqual(replies, ['A'])


# Of localhost, for a hundred years, by itself; made for this test.
SELF_SIGNED = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgfXpkbOa9C0nkf/fB
VNlgtLbEINwf1V6HCjA2dbld3IqhRANCAAQwyE3JoYR+X/aQjSCAI/9AJ4mSEczV
w/umk/tazsbjA296yGXoxQyT6gPtq1p4PLPl3KoYmHW2YLI764gqelmT
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUHHL5t3zRN0A+/Qj78v/pqDnzIf8wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODA5MzYzNFoYDzIxMjYxMTA0
MDkzNjM0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQwyE3JoYR+X/aQjSCAI/9AJ4mSEczVw/umk/tazsbjA296yGXoxQyT
6gPtq1p4PLPl3KoYmHW2YLI764gqelmTo2kwZzAdBgNVHQ4EFgQUTpIwuQm5/hGm
DN//c6mJ1SwItHUwHwYDVR0jBBgwFoAUTpIwuQm5/hGmDN//c6mJ1SwItHUwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIgMg6tzCy9X8CvH6/IbqTe0CEFoTMOVUfay4R3W2wRLjkCIQDh5WsKla24
GARkdvtl3mkh6T5qeU2zLxR4xKvjsyfn6A==
-----END CERTIFICATE-----
"""


if __name__ == '__main__':
  absltest.main()
