"""Models whose tokenizer is not the policy's, and what they say of texts."""

import dataclasses
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from rlhf_jax.data import tokens
from rlhf_jax.models import huggingface, language_model, scalar_model
from rlhf_jax.stages import DatasetStage
from rlhf_jax.types import Message, Prompt, Response
from tests.experiment import small
from tests.experiment.dataset_writing_test import Config, numbered

SCORES = 3
COLUMNS = 512  # More than any of the texts has; 0 is the padding's id alone.
PROMPTS = [
  Prompt((Message('user', text),)) for text in ('what is it ?', 'é', 'why')
]
# Other ids than the texts have, and longer than the limits.
SAID = [Response('it is 7 .', ids=(1, 2)), 'no', 'it is 7 . ' * 40]


def asked(prompt):
  return f'\n\nHuman:\n{prompt.text}\n\nAssistant:\n'


def measured(learner):
  """The update of a learner that takes its loss, and learns nothing."""

  def update(state, frozen, batch, key, *, models, optimizer, config):
    del optimizer
    terms, _ = learner.loss(
      state.params, frozen, batch, key, models=models, config=config
    )
    state = state.replace(step=state.step + 1)
    return state, {name: mean for name, (_, mean) in terms.items()}

  return update


class Case(absltest.TestCase):
  """Folders 'trunk', 'rater' and 'ranker' of a model that reads bytes."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.root = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.tokenizer = tokens.train_bpe(['it is 7 .'], vocab_size=270)
    cls.config = dataclasses.replace(
      small.MODEL, width=8, vocab_size=cls.tokenizer.vocab_size
    )
    cls.model = scalar_model(cls.config)
    cls.read = staticmethod(jax.jit(cls.model.scores))
    key = jax.random.key(3)
    cls.params = {
      'trunk': language_model(cls.config).init(key),
      'rater': cls.model.init(key, scores=SCORES),
      'ranker': cls.model.init(key),
    }
    for name, params in cls.params.items():
      huggingface.write(cls.root / name, cls.config, params)
      cls.tokenizer.save(cls.root / name)

  def chain(self, stages=None, limits=small.LIMITS, **frozen):
    """A chain with `stages`, then a 'made' that asks what is frozen."""
    made = DatasetStage(
      build=numbered, config=Config(), data='demonstrations', frozen=frozen
    )
    stages = (stages or {}) | {'made': made}
    return small.chain(self.root / 'stages', stages, limits=limits)

  def queries(self, chain):
    examples, _ = chain.data.encode(chain.data.records('demonstrations')[:4])
    return small.queries(chain, 'made', examples).batch(0)[1]

  def ids(self, prompt, *said):
    """[1, COLUMNS] ids of a prompt and responses, and which are real."""
    ids = self.tokenizer.encode(asked(prompt))
    for text in said:
      ids += self.tokenizer.encode(str(text))
      ids += [self.tokenizer.eos_id] if Response.of(text).ended else []
    ids = jnp.array([ids + [0] * (COLUMNS - len(ids))])
    return ids, jnp.arange(COLUMNS)[None] < jnp.sum(ids != 0)

  def scores(self, name, prompt, *said):
    """What a model says of a prompt and responses."""
    found = self.read(self.params[name], *self.ids(prompt, *said))
    return np.asarray(found[0])
