'use strict';

const AT_A_TIME = 20; // Prompts that "Show more" adds.

// What a cell is sorted by: the number that it begins with, or its words.
function value(cell) {
  const text = cell.textContent.trim();
  const number = Number.parseFloat(text.replace('−', '-'));
  return Number.isNaN(number) ? text : number;
}

function order(first, second) {
  const numbers = [first, second].map((x) => typeof x === 'number');
  if (numbers[0] && numbers[1]) return first - second;
  if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;
  return first.localeCompare(second);
}

function sort(table, heads, place) {
  const head = heads[place];
  // Numbers begin with the largest, words with A.
  const first = head.classList.contains('number') ? 'descending' : 'ascending';
  const other = first === 'ascending' ? 'descending' : 'ascending';
  const way = head.getAttribute('aria-sort') === first ? other : first;
  for (const one of heads) one.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', way);
  const rows = [...table.tBodies[0].rows];
  const found = new Map(rows.map((row) => [row, value(row.cells[place])]));
  const none = (row) => found.get(row) === '–'; // Last, whichever way.
  rows.sort((a, b) => none(a) - none(b) || order(found.get(a), found.get(b))
    * (way === 'ascending' ? 1 : -1));
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll('table.sort')) {
  const heads = [...table.tHead.rows[0].cells];
  if (table.tBodies[0].rows.length < 2) continue;
  for (const [place, head] of heads.entries()) {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    button.addEventListener('click', () => sort(table, heads, place));
    head.append(button);
  }
}

const answers = document.getElementById('answers');
if (answers) {
  const form = answers.querySelector('form');
  const more = document.getElementById('more');
  const articles = [...answers.querySelectorAll('article')];
  const words = new Map(articles.map((a) => [a, a.textContent.toLowerCase()]));
  const least = Number(answers.dataset.shown);
  let most = least;

  const asked = (name) => form.elements[name]?.value ?? '';

  function fits(article) {
    const [kind, policy] = [asked('kind'), asked('policy')];
    if (kind && article.dataset.kind !== kind) return false;
    if (!words.get(article).includes(asked('words').toLowerCase())) return false;
    const cards = [...article.querySelectorAll('section')];
    const card = cards.find((c) => c.dataset.policy === policy);
    return ['verdict', 'long'].every(
      (name) => !asked(name) || card.dataset[name] === asked(name));
  }

  function show() {
    const found = articles.filter(fits);
    const seen = new Set(found.slice(0, most));
    for (const article of articles) article.hidden = !seen.has(article);
    more.hidden = seen.size === found.length;
    form.querySelector('output').textContent =
      `${seen.size} of ${found.length} prompts that fit are shown`;
  }

  form.hidden = false;
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', () => {
    most = Math.max(least, AT_A_TIME);
    show();
  });
  more.addEventListener('click', () => {
    most += AT_A_TIME;
    show();
  });
  show();
}

// On paper nothing can be unfolded.
const folded = () => document.querySelectorAll('details:not([open])');
let opened = [];
addEventListener('beforeprint', () => {
  opened = [...folded()];
  for (const one of opened) one.open = true;
});
addEventListener('afterprint', () => {
  for (const one of opened) one.open = false;
});
