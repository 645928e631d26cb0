"""Datasets of answers to imitate."""

from rlhf_jax.data import formats
from rlhf_jax.data.builders.builder import FeedbackBuilder
from rlhf_jax.data.builders.layouts import Layout, Part
from rlhf_jax.types import Demonstration


class Alpaca(FeedbackBuilder):
  """What a model wrote when it was shown a few instructions of people."""

  RECORD = Demonstration
  TITLE = 'Instructions and answers that a model wrote'
  HOMEPAGE = 'https://github.com/tatsu-lab/stanford_alpaca'
  SOURCE = 'alpaca_data.json of tatsu-lab/stanford_alpaca'
  LICENCE = 'CC BY-NC 4.0'
  CITATION = """@misc{taori2023alpaca,
  title={Stanford Alpaca: An Instruction-following LLaMA Model},
  author={Taori, Rohan and others},
  year={2023},
  howpublished={https://github.com/tatsu-lab/stanford_alpaca}
}"""
  LAYOUTS = tuple(
    Layout((Part(name),), formats.ALPACA)
    for name in ('alpaca_data.json', 'alpaca_subset.jsonl.gz')
  )


class Dolly(FeedbackBuilder):
  """The kind of a prompt is the category of the task."""

  RECORD = Demonstration
  TITLE = 'Instructions and answers that people wrote'
  HOMEPAGE = 'https://github.com/databrickslabs/dolly'
  SOURCE = 'databricks-dolly-15k.jsonl of databricks/databricks-dolly-15k'
  LICENCE = 'CC BY-SA 3.0'
  CITATION = """@misc{conover2023dolly,
  title={Free Dolly: Introducing the World's First Truly Open Instruction-Tuned
    LLM},
  author={Conover, Mike and others},
  year={2023},
  howpublished={https://github.com/databrickslabs/dolly}
}"""
  LAYOUTS = (
    Layout((Part('databricks-dolly-15k.jsonl'),), formats.DOLLY),
    Layout((Part('dolly_3k.jsonl.gz'),), formats.ALPACA),
  )
