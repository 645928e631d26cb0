"""Which files are compared and imitated: HH's, or your own."""

import dataclasses

from experiments.text_chain import chain
from rlhf_jax.data import formats
from rlhf_jax.data.files import columns_of, own_files
from rlhf_jax.data.sources import HH_CHOSEN, HH_PAIRS, INSTRUCTIONS, Feedback
from rlhf_jax.experiment.overrides import naming
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(chain.Settings):
  """What is set most often, and:

  Attributes:
    hh_demonstrations: imitate HH's chosen answers in place of instructions.
    comparisons: your own files in data_dir, commas between them, in place of
      HH's. Without `demonstrations`, their best answers are imitated.
    demonstrations: your own files to imitate, likewise.
    comparison_columns, demonstration_columns: what your files call the fields
      of their format, as in 'prompt=question,chosen=good,rejected=bad'.
  """

  hh_demonstrations: bool = False
  comparisons: str = ''
  demonstrations: str = ''
  comparison_columns: str = ''
  demonstration_columns: str = ''


def source(settings: Settings) -> Feedback:
  """HH's files, or those that the settings name."""
  compared = (settings.comparisons, settings.comparison_columns)
  imitated = (settings.demonstrations, settings.demonstration_columns)
  for name in ('comparison_columns', 'demonstration_columns'):
    columns = getattr(settings, name)
    with naming(name, columns):
      columns_of(columns)
  comparisons, demonstrations = HH_PAIRS, INSTRUCTIONS
  if settings.hh_demonstrations:
    demonstrations = HH_CHOSEN
  if settings.comparisons:
    comparisons = own_files(*compared, read=formats.comparisons)
    demonstrations = own_files(*compared, read=formats.demonstrations)
  if settings.demonstrations:
    demonstrations = own_files(*imitated, read=formats.demonstrations)
  return Feedback(
    settings.data_dir,
    comparisons=comparisons,
    demonstrations=demonstrations,
    vocab_size=settings.vocab_size,
  )
