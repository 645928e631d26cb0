"""What a person does on the page of `launch.annotate`, in a real browser."""


def begun(browser, here, name='ann', **size):
  """A page on which somebody has begun.

  Args:
    browser: of `tests.browser`.
    here: where the page is, as of `served`.
    name: that they give.
    size: of the page.
  """
  page = browser.page(**size)
  page.go(here.address + (f'#{here.token}' if here.token else ''))
  page.js("document.getElementById('name').value = ''")
  page.type(name)
  page.key('Enter')
  see(page)
  return page


def see(page, done=None):
  """Waits for a pair, or for the end."""
  page.until("!document.querySelector('#choices').hidden && !busy")
  if done is not None:
    page.until(f'shown.done === {done}')


def texts(page):
  """The prompt's texts, and the two responses'."""
  found = "[...document.querySelectorAll('.said')].map(e => e.textContent)"
  return page.js(found)


def choose_all(page, better):
  """Chooses by keys until nothing is left. Returns how many pairs it was.

  Args:
    page: on which somebody has begun.
    better: texts -> whether they are of a better response to the left.
  """
  done = 0
  while page.js('shown.pair !== null'):
    page.key('1' if better(*texts(page)[-2:]) else '2')
    done += 1
    see(page, done)
  return done
