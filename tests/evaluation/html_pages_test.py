"""The report as HTML: nothing runs or is fetched, and it stays of a size."""

import base64
import dataclasses
import html
import pathlib
import re
import tempfile
import unittest
from html import parser

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import (
  blocks,
  findings,
  html_pages,
  report,
  samples,
  summary,
)
from rlhf_jax.evaluation.side_by_side import Answers
from rlhf_jax.types import Message, Prompt
from tests import browser

EVIL = '</style><script>document.title = 1</script><img src=x onerror=x>"\''


def policy(name, gain, count=30, response=None):
  generator = np.random.default_rng(list(name.encode()))
  kinds = ('sum', 'list', 'word')
  return samples.PolicySamples(
    name=name,
    prompts=[
      Prompt((Message('user', f'ask {i}?'),), kind=kinds[i % 3])
      for i in range(count)
    ],
    responses=[
      response or f'{name} says {i}' + '!' * (i % 4) for i in range(count)
    ],
    lengths=np.arange(count) % 7 + 1,
    ended=np.arange(count) % 5 > 0,
    gold=gain + generator.normal(size=count).round(),
  )


def policies(**options):
  found = (policy('sft', 0.0, **options), policy('ppo', 1.0, **options))
  return {one.name: one for one in found}


def answers_of(found, shown=3):
  measured = summary.summarise(found)
  credits = {'ppo': measured['ppo'].credits}
  return Answers(found, list(found), 'sft', credits, shown)


class Tags(parser.HTMLParser):
  """The tags of a page, and whether each that was opened is closed."""

  VOID = ('meta', 'link', 'img', 'input', 'br')

  def __init__(self, text):
    super().__init__()
    self.found, self.open = [], []
    self.feed(text)
    assert not self.open, self.open

  def handle_starttag(self, tag, attrs):
    self.found.append((tag, dict(attrs)))
    if tag not in self.VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag


class PagesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.out = pathlib.Path(folder)

  def write(self, found, title='A title', **options):
    measured = summary.summarise(found)
    report.write(
      self.out,
      findings.Findings(
        title=title, policies=measured, samples=found, **options
      ),
    )
    return (self.out / 'report.html').read_text()

  def test_it_says_what_the_markdown_says(self):
    page = self.write(policies(), notes=['A `note`.'], made=['[a](b.json)'])
    Tags(page)
    words = html.unescape(re.sub(r'<[^>]+>', '', page))
    for line in (self.out / 'report.md').read_text().splitlines():
      if line.startswith('| ppo | 0.'):
        for cell in line.strip('| ').split(' | '):
          self.assertIn(cell, words)
      if line.startswith('## '):
        self.assertIn(f'<h2>{line[3:]}</h2>', page)
    self.assertIn('<code>note</code>', page)
    self.assertIn('<a href="b.json">a</a>', page)

  def test_nothing_is_fetched_and_only_its_own_script_runs(self):
    page = self.write(policies())
    tags = Tags(page).found
    for _, attributes in tags:
      for name in ('src', 'href'):
        self.assertStartsWith(attributes.get(name) or 'data:', 'data:')
      self.assertFalse([name for name in attributes if name.startswith('on')])
    (policy,) = [a['content'] for _, a in tags if 'http-equiv' in a]
    self.assertIn("default-src 'none'", policy)
    self.assertNotIn("script-src 'unsafe", policy)
    image = page.split('base64,', 1)[1].split('"')[0]
    content = (self.out / 'win_rates.png').read_bytes()
    self.assertEqual(base64.b64decode(image), content)

  def test_texts_are_texts(self):
    found = policies(response=EVIL)
    evil = Prompt((Message('user', EVIL),), kind=EVIL)
    found = {
      EVIL if name == 'ppo' else name: dataclasses.replace(
        one, name=EVIL if name == 'ppo' else name, prompts=[evil] * 30
      )
      for name, one in found.items()
    }
    page = self.write(found, title=EVIL, notes=[EVIL], made=[EVIL])
    tags = Tags(page).found
    self.assertEqual([tag for tag, _ in tags].count('script'), 1)
    self.assertFalse([a for tag, a in tags if tag == 'img' and 'onerror' in a])
    self.assertIn(html.escape(EVIL), page)

  def test_links_lead_to_files_and_to_the_web_alone(self):
    for to, leads in (
      ('stages/sft', True),
      ('../seed-0/report.md', True),
      ('https://example.org/a', True),
      ('javascript:alert(1)', False),
      ('JavaScript:alert', False),
      ('data:text/html,x', False),
      ('//example.org', False),
    ):
      self.assertEqual('<a ' in html_pages.inline(f'[x]({to})'), leads, to)
    self.assertEqual(
      html_pages.inline('`a < **b**` is **so & so**.'),
      '<code>a &lt; **b**</code> is <strong>so &amp; so</strong>.',
    )

  def test_its_size_has_a_bound(self):
    names = ('sft', 'ppo', 'a', 'b', 'c', 'd')
    long = {'count': 1500, 'response': 'word ' * 3000}
    found = {name: policy(name, 0.0, **long) for name in names}
    page = html_pages.page([answers_of(found)], self.out)
    self.assertLess(len(page), html_pages.MOST_LETTERS + 30_000)
    shown = page.count('<article')
    self.assertBetween(shown, 50, html_pages.MOST_PROMPTS - 1)
    self.assertIn(f'{shown} of 1500 prompts are here.', page)
    found = policies(count=1500)
    page = html_pages.page([answers_of(found)], self.out)
    self.assertEqual(page.count('<article'), html_pages.MOST_PROMPTS)

  def test_plots_beyond_a_size_stay_files(self):
    big = b'\x89PNG' + bytes(html_pages.MOST_EMBEDDED // 2)
    for name in 'abc':
      (self.out / f'{name}.png').write_bytes(big)
    images = [blocks.Image(f'{name}.png', name) for name in 'abc']
    page = html_pages.page(images, self.out)
    self.assertEqual(page.count('src="data:image/png'), 1)
    self.assertIn('<a href="c.png">c</a>', page)

  def test_without_kinds_policies_or_verdicts_there_is_nothing_to_choose(self):
    alone = {'sft': dataclasses.replace(policy('sft', 0.0), gold=None)}
    alone['sft'] = dataclasses.replace(
      alone['sft'], prompts=[Prompt((Message('user', 'q'),))] * 30
    )
    page = self.write(alone)
    self.assertNotIn('<select', page)
    self.assertEqual(page.count('<article'), 1)


@unittest.skipUnless(browser.program(), 'there is no chromium: apt install it')
class InBrowserTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.browser = cls.enterClassContext(browser.started())
    folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
    cls.found = policies()
    for i, one in enumerate(('b', 'a', 'c')):
      cls.found[one] = dataclasses.replace(policy('ppo', i / 2.0), name=one)
    measured = summary.summarise(cls.found)
    report.write(
      folder,
      findings.Findings(title='T', policies=measured, samples=cls.found),
    )
    cls.address = (folder / 'report.html').as_uri()

  def page(self, **size):
    page = self.browser.page(**size)
    page.go(self.address)
    return page

  def column(self, page, place):
    rows = '[...document.querySelector("table.sort").tBodies[0].rows]'
    return page.js(f'{rows}.map(r => r.cells[{place}].textContent)')

  def test_a_click_on_a_heading_sorts(self):
    page = self.page()
    heads = 'document.querySelectorAll("table.sort thead th")'
    before = self.column(page, 0)
    page.js(f'{heads}[0].querySelector("button").click()')
    self.assertEqual(self.column(page, 0), sorted(before))
    page.js(f'{heads}[1].querySelector("button").click()')
    self.assertEqual(page.js(f'{heads}[1].ariaSort'), 'descending')
    wins = self.column(page, 1)
    self.assertEqual(wins[-1], '–')  # Of the one that all are compared with.
    rates = [float(cell.split()[0]) for cell in wins[:-1]]
    self.assertEqual(rates, sorted(rates, reverse=True))
    page.js(f'{heads}[1].querySelector("button").click()')
    wins = self.column(page, 1)
    rates = [float(cell.split()[0]) for cell in wins[:-1]]
    self.assertEqual((rates, wins[-1]), (sorted(rates), '–'))
    self.assertEqual(page.said, [])

  def shown(self, page):
    code = '[...document.querySelectorAll("article:not([hidden]) blockquote")]'
    return page.js(f'{code}.map(e => e.textContent)')

  def choose(self, page, **values):
    for name, value in values.items():
      page.js(
        f'(form => {{ form.elements.{name}.value = "{value}";'
        'form.dispatchEvent(new Event("input")); })'
        '(document.querySelector("form.filters"))'
      )

  def test_answers_are_filtered_by_subset_verdict_length_and_words(self):
    page = self.page()
    self.assertLen(self.shown(page), 3)
    sft, ppo = self.found['sft'], self.found['ppo']
    rows = range(30)
    self.choose(page, kind='list')
    due = {f'ask {i}?' for i in rows if i % 3 == 1}
    self.assertEqual(set(self.shown(page)), due)
    self.choose(page, policy='ppo', verdict='loses')
    due = {
      f'ask {i}?' for i in rows if i % 3 == 1 and ppo.gold[i] < sft.gold[i]
    }
    self.assertNotEmpty(due)
    self.assertEqual(set(self.shown(page)), due)
    self.choose(page, kind='', verdict='wins', long='0')
    due = {f'ask {i}?' for i in rows if ppo.gold[i] > sft.gold[i]}
    self.assertEqual(set(self.shown(page)), due)
    self.choose(page, verdict='', long='1')
    self.assertEmpty(self.shown(page))
    self.choose(page, long='', words='SAYS 17')
    self.assertEqual(self.shown(page), ['ask 17?'])
    said = page.js('document.querySelector("output").textContent')
    self.assertEqual(said, '1 of 1 prompts that fit are shown')

  def test_more_are_shown_when_asked_for(self):
    page = self.page()
    page.js('document.getElementById("more").click()')
    self.assertLen(self.shown(page), 23)
    page.js('document.getElementById("more").click()')
    self.assertLen(self.shown(page), 30)
    self.assertTrue(page.js('document.getElementById("more").hidden'))

  @parameterized.parameters(390, 1280)
  def test_nothing_is_wider_than_the_page(self, width):
    page = self.page(width=width)
    wide = page.js('document.documentElement.scrollWidth')
    self.assertLessEqual(wide, width)

  def test_what_is_folded_is_printed(self):
    page = self.page()
    closed = 'document.querySelectorAll("details:not([open])").length'
    self.assertGreater(page.js(closed), 0)
    page.js('dispatchEvent(new Event("beforeprint"))')
    self.assertEqual(page.js(closed), 0)
    page.js('dispatchEvent(new Event("afterprint"))')
    self.assertGreater(page.js(closed), 0)


if __name__ == '__main__':
  absltest.main()
