"""Sets of questions to measure answers on: all of them are test."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow_datasets as tfds

from rlhf_jax.data import formats
from rlhf_jax.data.builders.builder import FeedbackBuilder
from rlhf_jax.data.builders.layouts import Layout, Part
from rlhf_jax.data.builders.preferences import AlpacaFarm
from rlhf_jax.data.readers import Stream
from rlhf_jax.data.splits import SECOND_TURNS, TEST
from rlhf_jax.types import Prompt

_VERSION = tfds.core.Version('1.1.0')
_NOTES = FeedbackBuilder.RELEASE_NOTES | {'1.1.0': 'Reference answers.'}


def _layouts(
  bench: str, other: str, read: Callable[[pathlib.Path], Any]
) -> tuple[Layout, ...]:
  """Questions as FastChat has them, whole or alone, or under another name."""
  paths = (
    f'fastchat/llm_judge/data/{bench}/question.jsonl',
    f'{bench}/question.jsonl',
    'question.jsonl',
    other,
  )
  return tuple(Layout((Part(path, TEST),), read) for path in paths)


class Vicuna(FeedbackBuilder):
  """The kind of a prompt is the category."""

  RECORD = Prompt
  VERSION = _VERSION
  RELEASE_NOTES = _NOTES
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
  LAYOUTS = _layouts('vicuna_bench', 'vicuna80.jsonl', formats.QUESTIONS)


def _by_turn(path: pathlib.Path) -> Mapping[str, Stream]:
  """The two turns of a file's questions: the first is test, and the second."""
  first, second = formats.TURNS
  return {TEST: first.stream(path), SECOND_TURNS: second.stream(path)}


class MtBench(FeedbackBuilder):
  """The second turn follows an answer to the first: a split of its own."""

  RECORD = Prompt
  VERSION = _VERSION
  RELEASE_NOTES = _NOTES | {'1.1.0': 'Second turns, and reference answers.'}
  TITLE = 'Eighty questions of two turns, of eight categories, to measure on'
  HOMEPAGE = Vicuna.HOMEPAGE
  SOURCE = 'question.jsonl of lm-sys/FastChat, fastchat/llm_judge/data/mt_bench'
  LICENCE = 'Apache-2.0'
  CITATION = """@article{zheng2023judging,
  title={Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena},
  author={Zheng, Lianmin and others},
  journal={arXiv:2306.05685},
  year={2023}
}"""
  LAYOUTS = _layouts('mt_bench', 'mt_bench80.jsonl', _by_turn)


class AlpacaEval(FeedbackBuilder):
  """Instructions alone; the kind of a prompt is the set that it is from."""

  RECORD = Prompt
  TITLE = "AlpacaFarm's instructions to evaluate on, of five sets"
  HOMEPAGE = 'https://github.com/tatsu-lab/alpaca_eval'
  SOURCE = (
    'alpaca_eval.json of tatsu-lab/alpaca_eval, alpaca_farm_evaluation.json of '
    'tatsu-lab/alpaca_farm, or alpacafarm_ranked.jsonl.gz'
  )
  LICENCE = 'CC BY-NC 4.0'
  CITATION = AlpacaFarm.CITATION
  LAYOUTS = tuple(
    Layout((Part(name, TEST),), formats.ALPACA_EVAL)
    for name in (
      'alpaca_eval.json',
      'alpaca_farm_evaluation.json',
      'alpacafarm_ranked.jsonl*',
    )
  )
