'use strict';

// All texts go in by textContent, so that none of them runs as HTML.

const at = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll('#choices button')];
const RETRY = 3000; // Milliseconds until what failed is sent again.
const LOOK = 10000; // Until one looks again for pairs that others have.
const token = decodeURIComponent(location.hash.slice(1));

let annotator = '';
let shown = null; // What the server said last.
let since = 0;
let busy = false;
let again = 0;

const pause = (time) => new Promise((done) => setTimeout(done, time));

function trouble(text) {
  at('trouble').textContent = text;
  at('trouble').hidden = !text;
}

// Sends until the server has it; what it refuses is said, and gives null.
async function send(what, body) {
  const headers = {'Content-Type': 'application/json'};
  if (token) headers.Authorization = `Bearer ${token}`;
  for (;;) {
    let said = 'the server does not answer';
    try {
      const reply = await fetch(what, {
        method: 'POST', headers, body: JSON.stringify({annotator, ...body}),
      });
      const found = await reply.json();
      if (reply.ok) {
        trouble('');
        return found;
      }
      said = found.error;
      if (reply.status < 500) {
        trouble(`This cannot be: ${said}.`);
        return null;
      }
    } catch (error) {
      // No connection, or half a reply.
    }
    trouble(`Not kept yet: ${said}. It is sent again every few seconds; leave this page open.`);
    await pause(RETRY);
  }
}

async function ask(what, body = {}) {
  if (busy) return;
  busy = true;
  clearTimeout(again);
  for (const button of buttons) button.disabled = true;
  const found = await send(what, body);
  busy = false;
  if (found) show(found);
  else if (shown) ready();
}

function ready() {
  for (const button of buttons) {
    const back = button.dataset.said === 'back';
    button.disabled = back ? shown.first : shown.pair === null;
    button.hidden = !back && shown.pair === null;
    button.setAttribute('aria-pressed', String(button.dataset.said === shown.said));
    if (back) button.removeAttribute('aria-pressed');
  }
}

function show(found) {
  shown = found;
  at('who').hidden = true;
  at('choices').hidden = false;
  at('bar').hidden = false;
  at('bar').max = found.done + found.left || 1;
  at('bar').value = found.done;
  at('progress').textContent = `${found.done} done, ${found.left} to go`;
  at('pair').hidden = found.pair === null;
  at('over').hidden = found.pair !== null;
  at('keys').parentElement.hidden = found.pair === null;
  ready();
  if (found.pair === null) over(found);
  else pair(found);
}

function pair(found) {
  since = performance.now();
  const several = found.prompt.length > 1;
  at('prompt').replaceChildren(...found.prompt.flatMap((turn) => {
    const text = element('p', 'said', turn.content);
    text.dir = 'auto';
    return several ? [element('p', 'role', turn.role), text] : [text];
  }));
  for (const [place, id] of ['left', 'right'].entries()) {
    const text = document.querySelector(`#${id} .said`);
    const blank = !found.texts[place].trim();
    text.textContent = blank ? 'an empty response' : found.texts[place];
    text.classList.toggle('none', blank);
  }
  at('asked').focus({preventScroll: true});
  scrollTo({top: 0, behavior: 'instant'});
}

function over(found) {
  at('why').textContent = found.left
    ? 'What is left is before others just now; this page looks again by itself.'
    : 'Nothing is left for you to judge. You may close this page.';
  at('summary').replaceChildren(...(found.summary.map((line) => element('li', '', line))));
  at('thanks').focus();
  if (found.left) again = setTimeout(() => ask('next'), LOOK);
}

function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

function choose(said) {
  if (busy || !shown) return;
  if (said === 'back') {
    if (!shown.first) ask('back', {pair: shown.pair ?? ''});
    return;
  }
  if (shown.pair === null) return;
  const seconds = (performance.now() - since) / 1000;
  ask('choose', {pair: shown.pair, said, left: shown.side, seconds});
}

for (const button of buttons) {
  button.addEventListener('click', () => choose(button.dataset.said));
}

addEventListener('keydown', (event) => {
  const other = event.ctrlKey || event.altKey || event.metaKey || event.repeat;
  if (other || !shown || !at('keys').checked) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const meant = buttons.find((b) => b.dataset.keys.split(' ').includes(key));
  if (meant && !meant.disabled) {
    event.preventDefault();
    choose(meant.dataset.said);
  }
});

addEventListener('beforeunload', (event) => {
  if (busy && shown) event.preventDefault();
});

at('who').addEventListener('submit', (event) => {
  event.preventDefault();
  annotator = at('name').value;
  try {
    localStorage.setItem('annotator', annotator);
  } catch (error) {
    // A browser that keeps nothing.
  }
  ask('next');
});

try {
  at('name').value = localStorage.getItem('annotator') ?? '';
} catch (error) {
  // Likewise.
}
at('name').focus();
