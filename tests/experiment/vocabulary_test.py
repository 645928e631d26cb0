"""A chain's policy says the tokens of the tokenizer, and no other id."""

import dataclasses
import io
import pathlib
import tempfile

import jax
import numpy as np
import tokenizers
from absl.testing import absltest

from rlhf_jax import data, experiment
from rlhf_jax.data import Corpus
from rlhf_jax.data.tokens import EOS, PAD, Tokenizer
from rlhf_jax.experiment import Experiment, Limits
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import sft
from rlhf_jax.models import presets
from rlhf_jax.types import Demonstration, Message, Prompt

PROMPT = Prompt((Message('user', 'a'),))
IDS = {'a': 0, 'b': 3, 'c': 4, PAD: 9, EOS: 10}  # With two gaps.


@dataclasses.dataclass(frozen=True)
class Words:
  def fingerprint(self):
    return 'words with gaps'

  def load(self, folder):
    backend = tokenizers.Tokenizer(
      tokenizers.models.WordLevel(IDS, unk_token='<|unknown|>')
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens([PAD, EOS])
    return Corpus(
      Tokenizer(backend),
      data.PLAIN,
      {
        'demonstrations': [Demonstration(PROMPT, 'b c')],
        'test_prompts': [PROMPT],
      },
    )


class VocabularyTest(absltest.TestCase):
  def test_a_padded_model_samples_tokens_alone(self):
    chain = experiment.prepare(
      Experiment(
        seed=0,
        data=Words(),
        model=presets.sandbox(16),
        limits=Limits(max_prompt_tokens=4, max_response_tokens=6),
        stages=sft.stages(sft.Config(steps=1, batch_size=2)),
      ),
      pathlib.Path(self.enter_context(tempfile.TemporaryDirectory())),
      console=io.StringIO(),
    )
    models = chain.models()
    examples, _ = chain.data.encode([PROMPT])
    rollouts = models.sampler.sample(
      models.sampler.load(models.policy.init(jax.random.key(0))),
      chain.data.prompts(examples, 0, 1),
      jax.random.key(1),
      samples=64,
      sampling=Sampling(temperature=4.0),
    )
    tokens, mask = map(np.asarray, rollouts.responses)
    self.assertEqual(set(np.unique(tokens[mask])), set(IDS.values()))
    self.assertIs(chain.trained.models().policy, models.policy)

  def test_ids_of_no_token_are_the_gaps_and_the_tail(self):
    tokenizer = Words().load(None).tokenizer
    self.assertEqual(tokenizer.absent_ids(13), (1, 2, 5, 6, 7, 8, 11, 12))
    self.assertEqual(data.word_level(['a', 'b']).absent_ids(4), ())


if __name__ == '__main__':
  absltest.main()
