"""Models in folders: what they answer, and as a judge that is asked."""

import dataclasses
import io
import json
import pathlib
import tempfile
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from rlhf_jax.data import tokens
from rlhf_jax.data.limits import Limits
from rlhf_jax.evaluation import orders
from rlhf_jax.experiment import ExperimentError, folder_policy
from rlhf_jax.experiment.folder_policy import FolderChat, FolderPolicy
from rlhf_jax.feedback import verdicts
from rlhf_jax.models import huggingface, language_model, scalar_model
from rlhf_jax.types import Message, Prompt
from tests.experiment import small

LIMITS = Limits(
  max_prompt_tokens=4096, max_response_tokens=3, buckets=(64, 512, 1024, 2048)
)


class FolderPolicyTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory()), 'tiny'
    )
    cls.tokenizer = tokens.train_bpe(['what is it ?'], vocab_size=265)
    config = dataclasses.replace(
      small.MODEL, vocab_size=cls.tokenizer.vocab_size
    )
    cls.model = language_model(config)
    cls.params = cls.model.init(jax.random.key(1))
    huggingface.write(cls.folder, config, cls.params)
    cls.tokenizer.save(cls.folder)
    cls.policy = FolderPolicy(cls.folder, limits=LIMITS, console=io.StringIO())

  def next_logps(self, text):
    """[V] log-probs of the next token, read alone and without padding."""
    ids = self.tokenizer.encode(f'\n\nHuman:\n{text}\n\nAssistant:\n')
    ids = jnp.array([ids])
    hidden = self.model.hidden(self.params, ids, jnp.ones_like(ids, bool))
    logits = self.model.logits(self.params, hidden[0, -1])
    return np.asarray(jax.nn.log_softmax(logits))

  def test_options_are_next_tokens(self):
    texts = ['it', 'what is it ? ' * 30, 'is']
    prompts = [Prompt((Message('user', text),)) for text in texts]
    actual = self.policy.option_logps(prompts, ('A', 'B'))
    places = [self.tokenizer.encode(option)[0] for option in 'AB']
    expected = [self.next_logps(text)[places] for text in texts]
    np.testing.assert_allclose(actual, expected, atol=1e-5)

  def test_the_likelier_option_is_the_answer(self):
    asked = (Message('user', 'it'),)
    (answer,) = FolderChat(self.policy).answers([asked], options=('A', 'B'))
    logps = self.next_logps('it')
    first, second = (logps[self.tokenizer.encode(o)[0]] for o in 'AB')
    self.assertEqual(answer.text, 'A' if first > second else 'B')
    np.testing.assert_allclose(
      [answer.logprobs['A'], answer.logprobs['B']], [first, second], atol=1e-5
    )

  def test_without_options_it_speaks(self):
    (answer,) = FolderChat(self.policy).answers([(Message('user', 'it'),)])
    first = int(np.argmax(self.next_logps('it')))
    self.assertTrue(answer.text.startswith(self.tokenizer.decode([first])))
    self.assertIsNone(answer.logprobs)

  def test_what_it_replied_it_replies_again(self):
    chat = FolderChat(self.policy, temperature=5.0)
    first, other = ((Message('user', text),) for text in ('it', 'is'))
    before = chat.answers([first, other])
    with mock.patch.object(
      self.policy, 'respond', wraps=self.policy.respond
    ) as respond:
      third = (Message('user', 'what'),)
      again = chat.answers([other, third, first, third])
      self.assertEqual(again[::2], before[::-1])
      self.assertEqual(again[1], again[3])
      ((prompts, _),) = [call.args for call in respond.call_args_list]
      self.assertEqual(prompts, [Prompt(third)])
      self.assertEqual(chat.answers([first]), before[:1])
      self.assertEqual(respond.call_count, 1)

  def test_what_is_too_long_is_refused_and_others_are_answered(self):
    limits = dataclasses.replace(LIMITS, max_prompt_tokens=256)
    texts = ['it', 'what is it ? ' * 300, 'is']
    asked = [(Message('user', text),) for text in texts]
    counts = [
      len(self.tokenizer.encode(f'\n\nHuman:\n{text}\n\nAssistant:\n'))
      for text in texts
    ]
    self.assertGreater(counts[1], 256)
    path = self.folder / 'config.json'
    said = path.read_text()
    self.addCleanup(path.write_text, said)
    for narrow in (False, True):  # By the limits, or by what the folder says.
      if narrow:
        config = json.loads(said) | {'max_position_embeddings': counts[1] + 2}
        path.write_text(json.dumps(config))
        limits = LIMITS
      policy = FolderPolicy(self.folder, limits=limits, console=io.StringIO())
      for options in ((), ('A', 'B')):
        chat = FolderChat(policy)
        self.assertEqual(chat.kept(asked, options=options)[::2], [None, None])
        first, long, last = chat.answers(asked, options=options)
        most = counts[1] - 1 if narrow else 256
        self.assertEqual(
          long.refusal,
          f'longer than the {most} tokens that tiny reads, with 3 to reply',
        )
        alone = FolderChat(policy).answers(asked[::2], options=options)
        self.assertEqual([first, last], alone)
        self.assertIsNone(first.refusal)
        self.assertEqual(chat.kept(asked, options=options), [first, long, last])
        self.assertEqual(chat.answers(asked[1:2], options=options), [long])

  def test_a_judge_by_probability(self):
    judge = verdicts.PairJudge(
      FolderChat(self.policy), verdicts.load('pair_logprob_1')
    )
    prompts = [Prompt((Message('user', 'what ?'),))] * 2
    credits = orders.both(judge, prompts, ['it', 'is'], ['is', 'it'])
    self.assertTrue(np.all((credits > 0) & (credits < 1)))
    # The second pair is the first one turned round.
    np.testing.assert_allclose(credits[1], 1 - credits[0, ::-1], atol=1e-6)
    self.assertEqual(judge.name, 'tiny, pair_logprob_1')

  def test_options_that_begin_alike(self):
    prompts = [Prompt((Message('user', 'it'),))]
    for options in (('A', 'A'), ('A', 'AB')):
      with self.assertRaisesRegex(ExperimentError, 'begin with the same'):
        self.policy.option_logps(prompts, options)

  def test_other_limits_are_another_model(self):
    limits = dataclasses.replace(LIMITS, max_response_tokens=4)
    first = folder_policy.fingerprint(self.folder, LIMITS)
    self.assertEqual(first, folder_policy.fingerprint(self.folder, LIMITS))
    self.assertNotEqual(first, folder_policy.fingerprint(self.folder, limits))

  def test_a_reward_model_says_nothing(self):
    folder = self.folder.with_name('reward')
    huggingface.write(
      folder, small.MODEL, scalar_model(small.MODEL).init(jax.random.key(0))
    )
    with self.assertRaisesRegex(ExperimentError, 'which says nothing'):
      FolderPolicy(folder, limits=LIMITS, console=io.StringIO())


if __name__ == '__main__':
  absltest.main()
