"""Files of one's own, of any format that is known, prepared like the rest."""

from rlhf_jax.data import formats
from rlhf_jax.data.builders.builder import FeedbackBuilder
from rlhf_jax.data.builders.layouts import Layout, Part
from rlhf_jax.data.folders import READ
from rlhf_jax.types import Comparison, Demonstration, Prompt

_FILES = (Part('*'),)
_SOURCE = f'files of any format of rlhf_jax.data.formats ({", ".join(READ)})'


class Comparisons(FeedbackBuilder):
  """Whatever compares or labels responses."""

  RECORD = Comparison
  TITLE = 'Preferences of your own'
  SOURCE = _SOURCE
  LICENCE = 'your own'
  LAYOUTS = (Layout(_FILES, formats.comparisons),)


class Demonstrations(FeedbackBuilder):
  """Whatever has answers to imitate; of comparisons, the best."""

  RECORD = Demonstration
  TITLE = 'Answers to imitate of your own'
  SOURCE = _SOURCE
  LICENCE = 'your own'
  LAYOUTS = (Layout(_FILES, formats.demonstrations),)


class Prompts(FeedbackBuilder):
  """Whatever asks: the prompts of any file, each once."""

  RECORD = Prompt
  TITLE = 'Prompts of your own'
  SOURCE = _SOURCE
  LICENCE = 'your own'
  LAYOUTS = (Layout(_FILES, formats.prompts),)
