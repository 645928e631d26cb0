"""Models that an experiment is given: what they must be, by role."""

import pathlib
import tempfile

from absl.testing import absltest

from rlhf_jax import sandbox
from rlhf_jax.data import tokens
from rlhf_jax.experiment import (
  ExperimentError,
  PolicyVariant,
  Pretrained,
  given_models,
  store,
)
from rlhf_jax.methods import sft
from rlhf_jax.training import checkpoints
from tests.experiment import small


class FinishedTest(absltest.TestCase):
  """The parameters of a finished stage, of whichever tokenizer."""

  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.root = pathlib.Path(folder.name)
    self.same = self.kept('same', sandbox.tokenizer())
    # As many ids, which stand for other words.
    words = sandbox.vocabulary()
    self.other = self.kept('other', tokens.word_level(words[::-1]))

  def kept(self, name, tokenizer):
    """Parameters as a stage with this tokenizer leaves them."""
    folder = self.root / name / store.PARAMS
    folder.parent.mkdir()
    store.write_vocabulary(folder.parent, tokenizer)
    checkpoints.save_params(
      folder,
      {'policy': small.params('policy')},
      also=[folder.parent / store.VOCABULARY],
    )
    return folder

  def chain(self, folder):
    config = sft.Config(steps=1)
    stages = sft.stages(config, start=str(folder), name='more')
    return small.chain(self.root / 'stages', stages)

  def test_a_stage_starts_from_what_reads_its_ids(self):
    self.chain(self.same)
    with self.assertRaisesRegex(
      ExperimentError,
      f"'more' takes its policy from {self.other}, which was trained with "
      'another tokenizer than the data has; give data.tokenizer that one',
    ):
      self.chain(self.other)

  def test_what_an_earlier_version_left_is_taken_and_told(self):
    folder = self.root / 'earlier' / store.PARAMS
    checkpoints.save_params(folder, {'policy': small.params('policy')})
    self.assertIn(
      f"warning: stage 'more' takes its policy from {folder}, which does not "
      'say which tokenizer it was trained with',
      self.chain(folder).console.getvalue(),
    )
    self.assertNotIn('warning', self.chain(self.same).console.getvalue())

  def test_so_does_what_is_measured(self):
    trained = self.chain(self.same).trained
    for folder in (self.same, self.other):
      measured = {'given': PolicyVariant(policy=Pretrained(str(folder)))}
      if folder == self.same:
        given_models.check_given(trained, measured)
        continue
      with self.assertRaisesRegex(
        ExperimentError, "'given' takes its policy from .*another tokenizer"
      ):
        given_models.check_given(trained, measured)


if __name__ == '__main__':
  absltest.main()
