"""The page of `launch.annotate` in a real browser."""

import contextlib
import json
import pathlib
import tempfile
import unittest

from absl.testing import absltest, parameterized

from launch.annotating.desk import Desk
from launch.annotating.pairs import Pair
from rlhf_jax.storage import journal
from rlhf_jax.types import Message, Prompt
from tests import browser
from tests.launch import pages, served

EVIL = '<img src=x onerror="document.title=1"><script>alert(1)</script>'


def chat(*texts):
  roles = ('user', 'assistant')
  turns = (Message(roles[i % 2], text) for i, text in enumerate(texts))
  return Prompt(tuple(turns))


def some(count):
  return [Pair(chat(f'q{i}'), (f'good {i}', f'bad {i}')) for i in range(count)]


@unittest.skipUnless(browser.program(), 'there is no chromium: apt install it')
class PageTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.browser = cls.enterClassContext(browser.started())

  def setUp(self):
    super().setUp()
    scratch = self.enterContext(tempfile.TemporaryDirectory())
    self.out = pathlib.Path(scratch) / 'choices.jsonl'

  def desk(self, found, **options):
    kept = self.enterContext(contextlib.closing(journal.Journal(self.out)))
    return Desk(found, kept, **options)

  def rows(self):
    return [json.loads(line) for line in self.out.read_text().splitlines()]

  def begin(self, here, name='ann', **size):
    return pages.begun(self.browser, here, name, **size)

  def test_by_keys_alone(self):
    with served.served(self.desk(some(4)), token='a-token-of-ours') as here:
      page = self.begin(here)
      for done, key in enumerate(('1', 'ArrowRight', 'e', 'u')):
        pages.see(page, done)
        page.key(key)
      pages.see(page, 4)
      self.assertIn('Nothing is left', page.js("at('why').textContent"))
      self.assertEqual(page.js('document.activeElement.id'), 'thanks')
      # Nothing is left to choose, and one may still go back.
      there = (
        '[...buttons].filter(b => b.offsetParent).map(b => b.dataset.said)'
      )
      self.assertEqual(page.js(there), ['back'])
      page.key('b')
      page.until('shown.pair !== null && !busy')
      self.assertLen(page.js(there), 6)
      page.key('u')
      pages.see(page, 4)
    found = [row['choice'] for row in self.rows()]
    left = [row['left'] for row in self.rows()]
    self.assertEqual(found, [left[0], 3 - left[1], 'equal', 'unsure'])
    self.assertEqual(page.said, [])

  def test_by_clicks_and_back_once(self):
    with served.served(self.desk(some(2))) as here:
      page = self.begin(here)
      back = 'document.querySelector("[data-said=back]")'
      self.assertTrue(page.js(f'{back}.disabled'))
      first = pages.texts(page)
      page.js('document.querySelector("[data-said=left]").click()')
      pages.see(page, 1)
      page.js(f'{back}.click()')
      page.until('shown.said === "left" && !busy')
      self.assertEqual(pages.texts(page), first)
      pressed = '[...document.querySelectorAll("[aria-pressed=true]")]'
      self.assertEqual(page.js(f'{pressed}.map(b => b.dataset.said)'), ['left'])
      page.js('document.querySelector("[data-said=equal]").click()')
      page.until('shown.said === null && !busy')
      self.assertNotEqual(pages.texts(page), first)
    self.assertEqual([row['choice'] for row in self.rows()], ['equal'])

  def test_texts_never_run(self):
    pair = Pair(chat(EVIL, EVIL, 'and?'), (EVIL, f'  two\n   lines {EVIL}'))
    with served.served(self.desk([pair])) as here:
      page = self.begin(here)
      said = pages.texts(page)
      self.assertEqual(said[:3], [EVIL, EVIL, 'and?'])
      self.assertCountEqual(said[3:], pair.responses)
      self.assertEqual(page.js('document.querySelectorAll("img").length'), 0)
      self.assertEqual(page.js('document.title'), 'Which response is better?')
      # Even where a text were put in as HTML, nothing of it would run.
      page.js(f'document.body.innerHTML += {json.dumps(EVIL)}')
      page.js('new Promise(done => setTimeout(done, 200))')
      self.assertEqual(page.js('document.title'), 'Which response is better?')

  def test_a_server_that_goes_away_loses_nothing(self):
    found = some(2)
    desk = self.desk(found)
    with served.served(desk) as here:
      page = self.begin(here)
    page.key('1')
    page.until("!document.getElementById('trouble').hidden")
    self.assertIn('Not kept yet', page.js("at('trouble').textContent"))
    with served.served(desk, port=here.port):
      pages.see(page, 1)
      self.assertTrue(page.js("at('trouble').hidden"))
    self.assertLen(self.rows(), 1)

  def test_keys_may_be_switched_off_and_ctrl_is_the_browsers(self):
    with served.served(self.desk(some(2))) as here:
      page = self.begin(here)
      page.key('s', modifiers=2)
      page.js("at('keys').click()")
      page.key('s')
      page.js("at('keys').click()")
      page.key('1')
      pages.see(page, 1)
    (row,) = self.rows()
    self.assertEqual(row['choice'], row['left'])

  def test_what_a_screen_reader_says(self):
    with served.served(self.desk(some(1))) as here:
      page = self.browser.page()
      page.go(here.address)
      self.assertIn(
        ('textbox', 'Your name, or any word that you keep to'), page.names()
      )
      page = self.begin(here)
      found = page.names()
      self.assertEqual(page.js('document.activeElement.id'), 'asked')
    for due in (
      ('heading', 'Which response is better?'),
      ('heading', 'Prompt'),
      ('region', 'Response A'),
      ('region', 'Response B'),
      ('group', 'Your choice'),
      ('button', 'A is better'),
      ('button', 'Equal'),
      ('button', 'Not sure'),
      ('progressbar', 'Pairs that you are through with'),
      ('main', ''),
    ):
      self.assertIn(due, found)

  @parameterized.parameters(390, 1280)
  def test_everything_has_its_place(self, width):
    long = 'word ' * 300 + 'x' * 400
    pair = Pair(chat(long), (long, f'{long} 2'))
    with served.served(self.desk([pair])) as here:
      page = self.begin(here, width=width, height=800)
      # No box is drawn around a heading, to which the focus goes by itself.
      around = 'getComputedStyle(document.activeElement).outlineStyle'
      self.assertEqual(page.js(around), 'none')
      # Nothing is wider than the page, and the buttons stay in sight.
      wide = page.js('document.documentElement.scrollWidth')
      self.assertLessEqual(wide, width)
      ends = '[...buttons].map(b => b.getBoundingClientRect())'
      ends = page.js(f'{ends}.map(r => [r.top, r.bottom, r.height])')
    self.assertTrue(all(top > 0 and bottom <= 800 for top, bottom, _ in ends))
    self.assertTrue(all(height >= 36 for *_, height in ends))


if __name__ == '__main__':
  absltest.main()
