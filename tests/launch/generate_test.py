"""Talking to a model in a folder, without an experiment."""

import contextlib
import dataclasses
import io
from unittest import mock

import jax
import jax.numpy as jnp
import pytest

from launch import generate
from rlhf_jax.data import tokens
from rlhf_jax.models import huggingface, language_model, scalar_model
from tests.experiment import small

MODEL = dataclasses.replace(small.MODEL, layers=2)


def run(*arguments):
  """Exit status, standard output and standard error."""
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    status = generate.main(list(map(str, arguments)))
  return status, out.getvalue(), err.getvalue()


def test_the_likeliest_tokens(tmp_path):
  folder = tmp_path / 'model'
  tokenizer = tokens.train_bpe(['what is it ?'], vocab_size=265)
  config = dataclasses.replace(MODEL, vocab_size=tokenizer.vocab_size)
  model = language_model(config)
  params = model.init(jax.random.key(1))
  huggingface.write(folder, config, params)
  tokenizer.save(folder)
  status, out, err = run(
    '--model', folder, '--prompt', 'what is it ?', '--samples', 1,
    '--temperature', 0, '--max-tokens', 3,
  )  # fmt: skip
  assert status == 0, err
  asked = tokenizer.encode('\n\nHuman:\nwhat is it ?\n\nAssistant:\n')
  said = []
  for _ in range(3):  # Each from all before it, without a cache.
    ids = jnp.array([[*asked, *said]])
    hidden = model.hidden(params, ids, jnp.ones_like(ids, bool))
    said.append(int(jnp.argmax(model.logits(params, hidden[0, -1]))))
    if said[-1] == tokenizer.eos_id:
      break
  assert out.splitlines() == [
    'what is it ?',
    f'  → {tokenizer.decode(said)}',
  ]


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ((), 'a policy is of an experiment or of a folder: give FILE or --model'),
    (('x.py', '--model', 'DIR'), 'give FILE or --model DIR'),
    (('--model', 'DIR', '--set', 'a=1'), '--set is of an experiment'),
    (('--model', 'DIR'), 'DIR holds a reward model, which says nothing'),
    (('--model', 'DIR', '--max-tokens', '0'), '--max-tokens must be from 1'),
    (('--model', 'nowhere'), 'there is no config.json in nowhere'),
  ],
)
def test_mistakes_are_a_sentence(arguments, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  params = scalar_model(MODEL).init(jax.random.key(0))
  huggingface.write('DIR', MODEL, params)
  status, out, err = run(*arguments, '--prompt', 'x')
  assert (status, out) == (1, '')
  assert message in err
  assert err.count('\n') <= 2


def test_a_stop_is_a_word(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with mock.patch.object(generate, 'prompts', side_effect=KeyboardInterrupt):
    assert run('--model', 'DIR') == (130, '', 'stopped\n')
