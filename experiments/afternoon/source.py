"""Pairs of answers that people compared, and of film reviews that they rated.

Reviews are cut behind their first words: what follows is a response to these.
Each review is in one of three parts, by a hash of it: the first is what a
judge counts words in, the second what a reward is learnt from, the third is
held out. Dialogues are held out by a hash of what the user says first.
"""

import collections
import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rlhf_jax.addressing import Code
from rlhf_jax.data import fields, jsonl, readers, splits, templates, tokens
from rlhf_jax.data.sources import Corpus
from rlhf_jax.feedback.word_odds import WordOdds
from rlhf_jax.models import huggingface
from rlhf_jax.types import Comparison, Prompt, Response
from rlhf_jax.types.rules import Count, ShareBetween
from rlhf_jax.types.values import checked

DIALOGUES = {
  'helpful': (
    'hh_helpful_base_test.jsonl.gz',
    'hh_helpful_online_test.jsonl.gz',
    'hh_helpful_rejection_sampled_test.jsonl.gz',
  ),
  'harmless': ('hh_harmless_base_test.jsonl.gz',),
}
KINDS = ('review', *DIALOGUES)
REVIEWS = 'rt_polarity.jsonl.gz'
# Tokens that end a sentence, at which going on with a review stops.
STOPS = ('.', 'Ġ.', '!', 'Ġ!', '?', 'Ġ?')
REVIEW = {'text': fields.filled, 'label': fields.number}

WANTED = """\
the files of a first afternoon are not there ({missing}); give their folder by \
--set data=DIR. It wants
  {dialogues}
    The four test files of Anthropic's HH-RLHF (MIT, \
github.com/anthropics/hh-rlhf), a line each as {{"id": "", "subset": "", \
"prompt": [{{"role": "user", "content": "…"}}], "chosen": "…", \
"rejected": "…"}}. Some of it is meant to upset: it is published for research.
  {reviews}
    Sentence polarity data 1.0 of Pang and Lee, ACL 2005 (CC BY 4.0 as NLTK \
gives it; rt-polarity.pos and .neg of \
cs.cornell.edu/people/pabo/movie-review-data), a line each as \
{{"text": "…", "label": 1}}, 1 positive and 0 negative."""

NO_MODEL = """\
there is no model in {folder}; name a folder by --set model=DIR, or make it by \
python -m launch.import_weights smollm2 {folder}"""


@dataclasses.dataclass(frozen=True)
@checked
class Source:
  """Where the files are, and how much of them is read.

  Attributes:
    data: their folder.
    tokenizer: folder of the model that reads them.
    pairs: most pairs that each reward is learnt from.
    test_pairs: most held-out pairs of each.
    held_out: share of the dialogues that is held out.
    longest: of an answer and of what is said before it, in characters; pairs
      with longer ones are left out.
    opening: words of a review that are given to go on from.
    prompts: most such openings.
  """

  data: str
  tokenizer: str
  _: dataclasses.KW_ONLY
  pairs: Count = 400
  test_pairs: Count = 250
  held_out: ShareBetween = 0.4
  longest: Count = 240
  opening: Count = 4
  prompts: Count = 32

  def fingerprint(self) -> str:
    """As of `fingerprint`.

    Raises:
      DataError: a file is not there, or no model.
    """
    return fingerprint(self, [self.path(n) for n in (*_names(), REVIEWS)])

  def path(self, name: str) -> pathlib.Path:
    """Of a file in the folder.

    Raises:
      DataError: it is not there; a sentence on all that is wanted.
    """
    path = pathlib.Path(self.data) / name
    if not path.is_file():
      said = WANTED.format(
        missing=path, dialogues='\n  '.join(_names()), reviews=REVIEWS
      )
      raise jsonl.DataError(said)
    return path

  def load(self, folder: pathlib.Path) -> Corpus:
    """Pairs to learn from and others, by kind, and openings of reviews.

    They are 'helpful_pairs', 'test_helpful_pairs' and so on; the openings are
    of reviews that are held out.

    Gold is a judge that counted the words of other reviews.
    """
    del folder  # Nothing takes long.
    found = {}
    for kind, names in DIALOGUES.items():
      pairs = [p for n in names for p in readers.pairs(self.path(n))]
      short = dialogues(pairs, kind, longest=self.longest)
      sides = splits.split(short, self.held_out)
      found[f'{kind}_pairs'], found[f'test_{kind}_pairs'] = sides
    judged, learnt, held_out = _parts(_reviews(self.path(REVIEWS)))
    found['review_pairs'] = _continued(learnt)
    found['test_review_pairs'] = _continued(held_out)
    limits = {'test_': self.test_pairs}
    found = {
      name: pairs[: limits.get(name[:5], self.pairs)]
      for name, pairs in found.items()
    }
    found['openings'] = self._openings(held_out)
    return Corpus(
      stopping_at(STOPS, tokens.load(self.tokenizer)),
      templates.PLAIN,
      found,
      gold=WordOdds.of(judged, name='words of other reviews'),
    )

  def _openings(self, reviews: Sequence[tuple[str, int]]) -> list[Prompt]:
    """The first words of reviews, each once, of both kinds by turns."""
    sides = ([t for t, label in reviews if label == kind] for kind in (1, 0))
    turns = itertools.chain.from_iterable(zip(*sides, strict=False))
    words = [text.split(' ')[: self.opening] for text in turns]
    said = dict.fromkeys(' '.join(w) for w in words if len(w) == self.opening)
    return [readers.one_turn(text) for text in said][: self.prompts]


FOLDERS = ('data', 'tokenizer')


def fingerprint(source: Any, paths: Sequence[pathlib.Path]) -> str:
  """Of a source's settings, the content of files, and the code that reads.

  Args:
    source: a dataclass whose `FOLDERS` are where things are, and no more.
    paths: of its data.

  Raises:
    DataError: there is no model in its folder `tokenizer`.
  """
  if not huggingface.is_folder(source.tokenizer):
    raise jsonl.DataError(NO_MODEL.format(folder=source.tokenizer))
  read = [*paths, *tokens.files(source.tokenizer)]
  values = [v for n, v in vars(source).items() if n not in FOLDERS]
  return Code().digest(type(source), values, [*map(jsonl.digest, read)])


def stopping_at(
  names: Sequence[str], tokenizer: tokens.Tokenizer
) -> tokens.Tokenizer:
  """The tokenizer, at whose tokens of these names sampling stops, too."""
  known = [t for t in names if tokenizer.backend.token_to_id(t) is not None]
  return dataclasses.replace(tokenizer, stops=(*tokenizer.stops, *known))


SAID = {'user': 'Human', 'assistant': 'Assistant'}


def dialogues(
  pairs: Iterable[Comparison], kind: str, *, longest: int
) -> Iterator[Comparison]:
  """The first short pair of each opening, as text.

  Args:
    pairs: of dialogues.
    kind: of their prompts.
    longest: an answer, and what is said before it, in characters.
  """
  seen = set()
  for pair in pairs:
    turns = [f'{SAID[m.role]}: {m.content}' for m in pair.prompt.messages]
    first, text = turns[0], '\n\n'.join([*turns, 'Assistant:'])
    most = max(map(len, (text, *pair.responses)))
    if first in seen or most > longest:
      continue
    seen.add(first)
    yield pair._replace(
      prompt=readers.one_turn(text, kind, pair.prompt.where),
      responses=tuple(f' {said}' for said in pair.responses),
    )


def _names():
  return [name for names in DIALOGUES.values() for name in names]


def _reviews(path):
  """(text, 1 where it is positive) of every line."""
  rows = (row.fields for row in fields.read(path, REVIEW))
  return [(row['text'], int(row['label'])) for row in rows]


def _parts(reviews):
  """What a judge counts, what is learnt from, and what is held out."""
  parts = [], [], []
  for review in reviews:
    prompt = readers.one_turn(review[0])
    held_out, learnt = (splits.is_held_out(prompt, s) for s in (0.15, 0.45))
    parts[held_out + learnt].append(review)
  return parts


def _continued(reviews):
  """A positive review and a negative one that begin with the same word."""
  begun = collections.defaultdict(lambda: ([], []))
  for text, label in reviews:
    word, _, rest = text.partition(' ')
    if rest:
      # It goes on after this: as what a model writes does where it is cut.
      begun[word][1 - label].append(Response(f' {rest}', ended=False))
  pairs = (
    Comparison(readers.one_turn(word, 'review'), pair)
    for word, sides in begun.items()
    for pair in zip(*sides, strict=False)
  )
  return [p for p in pairs if p.responses[0] != p.responses[1]]
