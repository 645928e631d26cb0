"""SteerLM's data by a chain's own queries, of a model that rates all alike."""

import dataclasses
import pathlib
import tempfile

import jax
import jax.numpy as jnp
from absl.testing import absltest

from rlhf_jax import sandbox
from rlhf_jax.data.encoding import Counts
from rlhf_jax.data.limits import Limits
from rlhf_jax.experiment import dataset_writing, notes
from rlhf_jax.experiment.definition import PolicyVariant
from rlhf_jax.experiment.models import roles
from rlhf_jax.feedback.attributes import Scale, Steering
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import attribute_model, attribute_writer, steerlm
from tests.experiment import small

NAMES = sandbox.Attributes._fields
SCALE = Scale(names=NAMES, spelling=sandbox.spell)
TOKENIZER = sandbox.tokenizer(sandbox.CONDITION_WORDS)
MODEL = dataclasses.replace(small.MODEL, vocab_size=TOKENIZER.vocab_size)
# What the attribute model says of every response, and what that is in levels.
SAYS = (3.6, 0.5, 1.5, 9.0, -2.0)
LEVELS = dict(zip(NAMES, (4, 0, 2, 4, 0), strict=True))


class SteerlmTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    best = Steering(scale=SCALE, values=dict.fromkeys(NAMES, 4))
    stages = (
      attribute_model.stages(attribute_model.Config(names=NAMES, steps=1))
      | attribute_writer.label_stages(attribute_writer.Labels(scale=SCALE))
      | steerlm.annotation_stages(
        steerlm.Annotation(scale=SCALE, batch_size=16),
        data=('rated', 'comparisons'),
      )
      | steerlm.stages(steerlm.Config(steps=1))
      | steerlm.bootstrap_stages(
        steerlm.Bootstrap(
          scale=SCALE,
          quality=('correctness',),
          samples=2,
          # Whatever the untrained policy says, it soon stops.
          sampling=Sampling(temperature=3.0),
        ),
        steerlm.Annotation(scale=SCALE),
      )
    )
    self.chain = small.chain(
      folder,
      stages,
      data=dataclasses.replace(small.WORLD, words=sandbox.CONDITION_WORDS),
      model=MODEL,
      limits=Limits(
        max_prompt_tokens=sandbox.max_prompt_tokens() + 25,
        max_response_tokens=sandbox.MAX_RESPONSE_TOKENS,
      ),
      variants={'steerlm': PolicyVariant(policy='steerlm', condition=best)},
    )
    models = roles(MODEL)
    params = models.reward.init(jax.random.key(0), scores=len(NAMES))
    head = {
      'kernel': jnp.zeros_like(params['head']['kernel']),
      'bias': jnp.array(SAYS),
    }
    self.chain.loaded.update(
      attribute_model={'attributes': params | {'head': head}},
      steerlm={'policy': models.policy.init(jax.random.key(1))},
    )

  def written(self, name):
    folder = self.chain.folders[name]
    folder.path.mkdir(parents=True)
    folder.finish(dataset_writing.write(self.chain, name))
    return self.chain.data.records(name)

  def test_annotated_then_bootstrapped(self):
    annotated = self.written('annotated')
    said = [rated.response for rated in self.chain.data.records('rated')]
    for compared in self.chain.data.records('comparisons'):
      said += compared.responses
    self.assertEqual([a.response for a in annotated], said)
    self.assertEqual(
      {a.prompt.condition for a in annotated}, {SCALE.condition(LEVELS)}
    )
    (warning,) = notes.warnings(self.chain.experiment, self.chain.data)
    self.assertEqual(
      warning,
      'steerlm: trained on no response with helpfulness:4 or with verbosity:4 '
      'or with coherence:4',
    )

    self.written('bootstrapped_own')
    own = self.written('bootstrapped')
    asked = {a.prompt.messages for a in annotated}
    self.assertNotEmpty(own)
    self.assertLessEqual(len(own), 2 * len(asked))
    self.assertLessEqual({o.prompt.messages for o in own}, asked)
    self.assertEqual(
      {o.prompt.condition for o in own}, {SCALE.condition(LEVELS)}
    )

  def test_what_a_writer_learns_fits_the_limits(self):
    labels = self.written('attribute_labels')
    examples, counts = self.chain.data.encode(labels)
    self.assertLen(labels, small.RECORDS)
    self.assertEqual(counts, Counts())
    rated = self.chain.data.records('rated')
    for example, record in zip(examples, rated, strict=True):
      (ids,) = example.response_ids
      self.assertEqual(ids[-1], TOKENIZER.eos_id)
      values = SCALE.parse(TOKENIZER.decode(ids))
      self.assertEqual(tuple(values.values()), record.ratings)
      self.assertEqual(
        TOKENIZER.decode(example.prompt_ids),
        f'{record.prompt.text} {record.response} <extra_id_2>',
      )


if __name__ == '__main__':
  absltest.main()
