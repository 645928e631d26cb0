"""Datasets of several answers to a prompt, in an order or with scores."""

from rlhf_jax.data import formats
from rlhf_jax.data.builders.builder import FeedbackBuilder
from rlhf_jax.data.builders.layouts import Layout, Part
from rlhf_jax.data.builders.preferences import AlpacaFarm, Ultrafeedback
from rlhf_jax.types import Comparison


class AlpacaFarmRanked(FeedbackBuilder):
  """Up to 19 responses to a prompt, the best first, with a judge's scores."""

  RECORD = Comparison
  TITLE = "Many models' answers to AlpacaFarm's instructions, scored by GPT-4"
  HOMEPAGE = 'https://github.com/tatsu-lab/alpaca_eval'
  SOURCE = (
    'alpacafarm_ranked.jsonl.gz, lines of {"instruction", "responses": '
    '[{"model", "output", "score"}]} of the results of tatsu-lab/alpaca_eval'
  )
  LICENCE = 'CC BY-NC 4.0'
  CITATION = AlpacaFarm.CITATION
  LAYOUTS = (
    Layout((Part('alpacafarm_ranked.jsonl*'),), formats.SCORED_OUTPUTS),
  )


class UltrafeedbackRanked(FeedbackBuilder):
  """Whole lists; the kind of a prompt is the file that it is from."""

  RECORD = Comparison
  TITLE = "Four models' answers to each instruction, scored by GPT-4"
  HOMEPAGE = Ultrafeedback.HOMEPAGE
  SOURCE = (
    'evol_instruct.jsonl, false_qa.jsonl, flan.jsonl, sharegpt.jsonl, '
    'truthful_qa.jsonl and ultrachat.jsonl of openbmb/UltraFeedback'
  )
  LICENCE = 'MIT'
  CITATION = Ultrafeedback.CITATION
  LAYOUTS = (
    Layout(
      tuple(
        Part(f'{name}.jsonl', kind=name)
        for name in (
          'evol_instruct',
          'false_qa',
          'flan',
          'sharegpt',
          'truthful_qa',
          'ultrachat',
        )
      ),
      formats.ULTRAFEEDBACK_COMPLETIONS,
    ),
  )


class Oasst(FeedbackBuilder):
  """A ranking for every prompt; the kind of a prompt is its language."""

  RECORD = Comparison
  TITLE = "People's rankings of replies in OpenAssistant's conversations"
  HOMEPAGE = 'https://github.com/LAION-AI/Open-Assistant'
  SOURCE = (
    '2023-04-12_oasst_ready.trees.jsonl.gz of OpenAssistant/oasst1 or '
    '2023-11-05_oasst2_ready.trees.jsonl.gz of OpenAssistant/oasst2'
  )
  LICENCE = 'Apache-2.0'
  CITATION = """@article{kopf2023openassistant,
  title={OpenAssistant Conversations: Democratizing Large Language Model
    Alignment},
  author={K{\\"o}pf, Andreas and others},
  journal={arXiv:2304.07327},
  year={2023}
}"""
  LAYOUTS = (
    Layout((Part('*oasst*ready.trees.jsonl*'),), formats.OASST_TREES),
    Layout((Part('oasst_ranked.jsonl.gz'),), formats.OASST_RANKED),
  )
