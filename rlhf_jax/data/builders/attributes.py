"""Datasets of responses that were rated by attribute."""

from rlhf_jax.data import formats
from rlhf_jax.data.builders.builder import FeedbackBuilder
from rlhf_jax.data.builders.layouts import Layout, Part
from rlhf_jax.data.builders.rankings import Oasst
from rlhf_jax.data.splits import TRAIN, VALIDATION
from rlhf_jax.types import Rated


class Helpsteer(FeedbackBuilder):
  """Helpfulness, correctness, coherence, complexity, verbosity: 0 to 4."""

  RECORD = Rated
  TITLE = 'Answers that people rated by five attributes'
  HOMEPAGE = 'https://huggingface.co/datasets/nvidia/HelpSteer'
  SOURCE = (
    'train.jsonl.gz and validation.jsonl.gz of nvidia/HelpSteer or '
    'nvidia/HelpSteer2'
  )
  LICENCE = 'CC BY 4.0'
  CITATION = """@article{wang2023helpsteer,
  title={HelpSteer: Multi-attribute Helpfulness Dataset for SteerLM},
  author={Wang, Zhilin and others},
  journal={arXiv:2311.09528},
  year={2023}
}"""
  LAYOUTS = (
    Layout(
      tuple(Part(f'{split}.jsonl*', split) for split in (TRAIN, VALIDATION)),
      formats.HELPSTEER,
    ),
  )


class OasstAttributes(FeedbackBuilder):
  """Quality, toxicity, humor, creativity, violence, helpfulness: 0 to 4."""

  RECORD = Rated
  TITLE = "Replies in OpenAssistant's conversations, rated by six attributes"
  HOMEPAGE = Oasst.HOMEPAGE
  SOURCE = (
    'oasst2_attributes.jsonl.gz, lines of {"prompt", "response", "attributes"} '
    'of the labels of OpenAssistant/oasst2'
  )
  LICENCE = 'Apache-2.0'
  CITATION = Oasst.CITATION
  LAYOUTS = (Layout((Part('oasst2_attributes.jsonl*'),), formats.OASST_RATED),)


class Hanna(FeedbackBuilder):
  """Relevance, coherence, empathy, surprise, engagement, complexity: 0 to 4."""

  RECORD = Rated
  TITLE = 'Stories that people rated by six attributes'
  HOMEPAGE = 'https://github.com/dig-team/hanna-benchmark-asg'
  SOURCE = (
    'hanna_attributes.jsonl.gz, lines of {"prompt", "story", "attributes"} of '
    'the ratings of dig-team/hanna-benchmark-asg'
  )
  LICENCE = 'MIT'
  CITATION = """@inproceedings{chhun2022hanna,
  title={Of Human Criteria and Automatic Metrics: A Benchmark of the Evaluation
    of Story Generation},
  author={Chhun, Cyril and others},
  booktitle={COLING},
  year={2022}
}"""
  LAYOUTS = (Layout((Part('hanna_attributes.jsonl*'),), formats.HANNA),)
