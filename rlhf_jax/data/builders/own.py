"""Files of one's own, of any format that is known, prepared like the rest."""

import dataclasses
import pathlib

from rlhf_jax.data import folders, formats
from rlhf_jax.data.builders.builder import FeedbackBuilder
from rlhf_jax.data.builders.layouts import Layout, Part
from rlhf_jax.types import Comparison, Demonstration, Prompt

_SOURCE = (
  'files of any format of rlhf_jax.data.formats '
  f'({folders.SAID}), or what Hugging Face `datasets` saved'
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole(Layout):
  """All data of a folder, in the splits that its names say."""

  parts: tuple[Part, ...] = ()

  def files(self, folder: pathlib.Path) -> list[tuple[pathlib.Path, Part]]:
    """As of Layout."""
    return [
      (folder / name, Part(name, split))
      for split, names in folders.find(folder).splits.items()
      for name in names
    ]

  def notes(self, folder: pathlib.Path) -> tuple[str, ...]:
    """On what lies beside the data and is none."""
    return folders.notes(folders.find(folder).descriptions)


class Comparisons(FeedbackBuilder):
  """Whatever compares or labels responses."""

  RECORD = Comparison
  TITLE = 'Preferences of your own'
  SOURCE = _SOURCE
  LICENCE = 'your own'
  LAYOUTS = (Whole(read=formats.comparisons),)


class Demonstrations(FeedbackBuilder):
  """Whatever has answers to imitate; of comparisons, the best."""

  RECORD = Demonstration
  TITLE = 'Answers to imitate of your own'
  SOURCE = _SOURCE
  LICENCE = 'your own'
  LAYOUTS = (Whole(read=formats.demonstrations),)


class Prompts(FeedbackBuilder):
  """Whatever asks: the prompts of any file, each once."""

  RECORD = Prompt
  TITLE = 'Prompts of your own'
  SOURCE = _SOURCE
  LICENCE = 'your own'
  LAYOUTS = (Whole(read=formats.prompts),)
