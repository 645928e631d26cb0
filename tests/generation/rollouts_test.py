"""Samples and texts of rollouts, worked by hand on the toy policy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.feedback import scoring
from rlhf_jax.generation import draws
from rlhf_jax.generation.decode import policy_sampler
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.types import Message, Prompt
from tests import toy
from tests.generation import cut_definitions as definitions

WORDS = ('yes', 'no', '.', '?')


def decode(responses):
  return [' '.join(WORDS[i] for i in ids if i != toy.EOS) for ids in responses]


def asked(text):
  return Prompt((Message('user', text),))


class RolloutsTest(absltest.TestCase):
  def test_texts_hold_what_was_written_and_no_padding(self):
    texts = scoring.response_texts(toy.all_rollouts(0), decode)
    expected = [
      ' '.join(WORDS[i] for i in response if i != toy.EOS)
      for response in toy.responses()
    ]
    self.assertEqual(texts, [expected])

  def test_a_sampler_answers_every_prompt(self):
    params = toy.POLICY.init(jax.random.key(0))
    rollouts = toy.MODELS.sampler(
      params, toy.prompts(4), jax.random.key(1), samples=3, sampling=Sampling()
    )
    self.assertEqual(
      rollouts.tokens.shape, (4, 3, toy.LONGEST_PROMPT + toy.LONGEST)
    )
    listed = set(toy.responses())
    tokens, mask = map(np.asarray, rollouts.responses)
    for row, keep in zip(
      tokens.reshape(12, -1), mask.reshape(12, -1), strict=True
    ):
      self.assertIn(tuple(row[keep].tolist()), listed)


VOCABULARY, STOP, PADDING, RESPONSE = 9, 8, 7, 5
EVERYTHING = {
  'temperature': 0.8,
  'top_k': 7,
  'top_p': 0.95,
  'min_p': 0.02,
  'typical_p': 0.93,
  'epsilon': 0.02,
  'eta': 0.03,
  'repetition_penalty': 1.7,
  'min_new_tokens': 2,
}
CUTS = ('top_k', 'top_p', 'min_p', 'typical_p', 'epsilon', 'eta')
# Of which sampling_test tells, and the one that is a spy here.
OTHERS = {'min_tokens_to_keep', 'top_k_bound', 'draw'}


def penalised(row, seen, step, rules):
  """Logits [V] of the next token after all but cuts, and the former alone."""
  for token in seen if 'repetition_penalty' in rules else ():
    rate = rules['repetition_penalty']
    row[token] *= rate if row[token] < 0.0 else 1 / rate
  if step < rules.get('min_new_tokens', 0):
    row[STOP] = -np.inf
  return row / rules.get('temperature', 1.0)


def log_softmax(row):
  return row - row.max() - np.log(np.exp(row - row.max()).sum())


def cut(row, rules):
  """Logits [V], −inf where any cut takes a token; each sees what is left."""
  for name in CUTS:
    if name in rules:
      left = np.flatnonzero(np.isfinite(row))
      kept = getattr(definitions, name)(row[left], rules[name])
      row = np.where(
        np.isin(np.arange(len(row)), left[sorted(kept)]), row, -np.inf
      )
  return row


class LawTest(parameterized.TestCase):
  """The law of every token, all rules at once, on a table of nine words."""

  def setUp(self):
    super().setUp()
    table = 1.5 * np.random.default_rng(3).normal(size=(VOCABULARY,) * 2)
    self.table = table.astype(np.float32)
    self.drawn, self.key = [], jax.random.key(9)

  def draw(self, keys, logits):
    def record(*x):
      self.drawn.append(jax.tree.map(np.asarray, x))

    jax.debug.callback(record, jax.random.key_data(keys), logits, ordered=True)
    return draws.gumbel(keys, logits)

  def sample(self, rules):
    sampler = policy_sampler(
      toy.POLICY, max_response=RESPONSE, stop_ids=(STOP,), pad_id=PADDING
    )
    prompts = toy.prompts(4)
    index = np.array([4, 0, 7, 2], np.int32)
    rollouts = sampler.sample(
      {'embedding': jnp.asarray(self.table)},
      prompts.replace(index=index),
      self.key,
      samples=3,
      sampling=Sampling(**rules, draw=self.draw),
    )
    jax.effects_barrier()
    return prompts, index, rollouts

  @parameterized.parameters(({},), (EVERYTHING,))
  def test_every_token_is_drawn_from_its_law(self, rules):
    prompts, index, rollouts = self.sample(rules)
    tokens, mask = map(np.asarray, rollouts.responses)
    ended = np.asarray(rollouts.ended)
    cuts = 0
    np.testing.assert_array_equal(rollouts.index, index)
    np.testing.assert_array_equal(tokens[~mask], PADDING)
    for b, k in np.ndindex(4, 3):
      prompt = prompts.tokens[b][prompts.attention_mask[b]].tolist()
      response = tokens[b, k][mask[b, k]].tolist()
      self.assertEqual(ended[b, k], response[-1] == STOP)
      self.assertNotIn(STOP, response[:-1])
      self.assertEqual(len(response) == RESPONSE or ended[b, k], True)
      for t, token in enumerate(response):
        before = prompt + response[:t]
        row = self.table[before[-1]].astype(np.float64)
        # The uncut law has the temperature alone.
        whole = log_softmax(row / rules.get('temperature', 1.0))
        row = cut(penalised(row, set(before), t, rules), rules)
        law = log_softmax(row)
        cuts += np.isneginf(law).sum()
        _, logits = self.drawn[t]
        found = log_softmax(logits[3 * b + k].astype(np.float64))
        np.testing.assert_allclose(found, law, atol=1e-5)
        np.testing.assert_allclose(
          [rollouts.logps[b, k, t], rollouts.truncated_logps[b, k, t]],
          [whole[token], law[token]],
          atol=1e-5,
        )
      for logps in (rollouts.logps, rollouts.truncated_logps):
        np.testing.assert_array_equal(logps[b, k, len(response) :], 0.0)
    self.assertEqual(cuts > 0, bool(rules))
    self.keys_are_each_used_once(index)

  def keys_are_each_used_once(self, index):
    fold, seen = jax.random.fold_in, []
    for t, (keys, _) in enumerate(self.drawn):
      for row, (b, k) in enumerate(np.ndindex(4, 3)):
        expected = fold(fold(fold(self.key, index[b]), k), t)
        np.testing.assert_array_equal(keys[row], jax.random.key_data(expected))
        seen.append(tuple(keys[row].tolist()))
    self.assertLen(set(seen), len(seen))

  def test_every_field_has_a_value(self):
    fields = {field.name for field in dataclasses.fields(Sampling)}
    self.assertEqual(fields, EVERYTHING.keys() | OTHERS)


if __name__ == '__main__':
  absltest.main()
