"""Sets of questions to measure answers on: all of them are test."""

from rlhf_jax.data import formats
from rlhf_jax.data.builders.builder import FeedbackBuilder
from rlhf_jax.data.builders.layouts import Layout, Part
from rlhf_jax.data.splits import TEST
from rlhf_jax.types import Prompt


def _layouts(bench: str, other: str) -> tuple[Layout, ...]:
  """Questions as FastChat has them, whole or alone, or under another name."""
  paths = (
    f'fastchat/llm_judge/data/{bench}/question.jsonl',
    f'{bench}/question.jsonl',
    'question.jsonl',
    other,
  )
  return tuple(Layout((Part(path, TEST),), formats.QUESTIONS) for path in paths)


class Vicuna(FeedbackBuilder):
  """The kind of a prompt is the category."""

  RECORD = Prompt
  TITLE = 'Eighty questions of nine categories, to measure on'
  HOMEPAGE = 'https://github.com/lm-sys/FastChat'
  SOURCE = (
    'question.jsonl of lm-sys/FastChat, fastchat/llm_judge/data/vicuna_bench'
  )
  LICENCE = 'Apache-2.0'
  CITATION = """@misc{chiang2023vicuna,
  title={Vicuna: An Open-Source Chatbot Impressing GPT-4 with 90\\%* ChatGPT
    Quality},
  author={Chiang, Wei-Lin and others},
  year={2023},
  howpublished={https://lmsys.org/blog/2023-03-30-vicuna}
}"""
  LAYOUTS = _layouts('vicuna_bench', 'vicuna80.jsonl')


class MtBench(FeedbackBuilder):
  """First turns alone: a second one follows an answer that is not here."""

  RECORD = Prompt
  TITLE = 'Eighty questions of eight categories, to measure on'
  HOMEPAGE = Vicuna.HOMEPAGE
  SOURCE = 'question.jsonl of lm-sys/FastChat, fastchat/llm_judge/data/mt_bench'
  LICENCE = 'Apache-2.0'
  CITATION = """@article{zheng2023judging,
  title={Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena},
  author={Zheng, Lianmin and others},
  journal={arXiv:2306.05685},
  year={2023}
}"""
  LAYOUTS = _layouts('mt_bench', 'mt_bench80.jsonl')
