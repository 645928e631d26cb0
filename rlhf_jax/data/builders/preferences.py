"""Datasets of responses that somebody compared."""

import functools
import itertools
import pathlib

from rlhf_jax.data import formats, jsonl, readers
from rlhf_jax.data.builders.builder import FeedbackBuilder
from rlhf_jax.data.builders.layouts import Layout, Part
from rlhf_jax.data.formats.format import stream_of
from rlhf_jax.data.readers import Stream
from rlhf_jax.data.sources import HH
from rlhf_jax.data.splits import TEST, TRAIN, VALIDATION
from rlhf_jax.types import Comparison

_HH = (
  'harmless-base',
  'helpful-base',
  'helpful-online',
  'helpful-rejection-sampled',
)


class HhRlhf(FeedbackBuilder):
  """Anthropic's dialogues; the kind of a prompt is the subset."""

  RECORD = Comparison
  TITLE = "Dialogues with people's preferences, helpful and harmless"
  HOMEPAGE = 'https://github.com/anthropics/hh-rlhf'
  SOURCE = (
    'folders such as harmless-base and helpful-base, each with train.jsonl.gz '
    'and test.jsonl.gz, of anthropics/hh-rlhf'
  )
  LICENCE = 'MIT'
  CITATION = """@article{bai2022training,
  title={Training a Helpful and Harmless Assistant with Reinforcement Learning
    from Human Feedback},
  author={Bai, Yuntao and others},
  journal={arXiv:2204.05862},
  year={2022}
}"""
  LAYOUTS = (
    Layout(
      tuple(
        Part(f'{subset}/{split}.jsonl*', split, subset)
        for split in (TRAIN, TEST)
        for subset in _HH
      ),
      formats.HH_RLHF,
    ),
    Layout(
      tuple(map(Part, HH)),
      readers.pairs,
    ),
  )


class AlpacaFarm(FeedbackBuilder):
  """The kind of a prompt is who preferred: people, GPT-4, or noisy judges."""

  RECORD = Comparison
  TITLE = 'Pairs of answers to instructions, preferred by people or simulated'
  HOMEPAGE = 'https://github.com/tatsu-lab/alpaca_farm'
  SOURCE = (
    'alpaca_human_preference.json, alpaca_gpt4_preference.json or '
    'alpaca_noisy_multi_preference.json of tatsu-lab/alpaca_farm'
  )
  LICENCE = 'CC BY-NC 4.0'
  CITATION = """@article{dubois2023alpacafarm,
  title={AlpacaFarm: A Simulation Framework for Methods that Learn from Human
    Feedback},
  author={Dubois, Yann and others},
  journal={arXiv:2305.14387},
  year={2023}
}"""
  LAYOUTS = (
    Layout(
      tuple(
        Part(f'alpaca_{judge}_preference.json', kind=judge)
        for judge in ('human', 'gpt4', 'noisy_multi')
      ),
      formats.ALPACA_FARM,
    ),
  )


class Ultrafeedback(FeedbackBuilder):
  """The binarized pairs; the margin is between GPT-4's scores."""

  RECORD = Comparison
  TITLE = "Pairs of answers with a judge's scores"
  HOMEPAGE = 'https://github.com/OpenBMB/UltraFeedback'
  SOURCE = (
    'train_prefs-*.parquet and test_prefs-*.parquet, in it or in its folder '
    'data, of HuggingFaceH4/ultrafeedback_binarized (or train-*, test-* of '
    'trl-lib/ultrafeedback_binarized; or the same as .jsonl)'
  )
  LICENCE = 'MIT'
  CITATION = """@article{cui2023ultrafeedback,
  title={UltraFeedback: Boosting Language Models with High-quality Feedback},
  author={Cui, Ganqu and others},
  journal={arXiv:2310.01377},
  year={2023}
}"""
  LAYOUTS = (
    *(
      Layout(
        (
          Part(f'{below}{TRAIN}{name}*.{suffix}', TRAIN),
          Part(f'{below}{TEST}{name}*.{suffix}', TEST),
        ),
        formats.ULTRAFEEDBACK,
      )
      for suffix in ('parquet', 'jsonl', 'jsonl.gz')
      for name in ('_prefs', '-')
      for below in ('', 'data/')
    ),
    Layout((Part('ultrafeedback_pairs.jsonl.gz'),), formats.ULTRAFEEDBACK),
  )


class PkuSafeRlhf(FeedbackBuilder):
  """The more helpful answer first; the kind of a prompt is who answered."""

  RECORD = Comparison
  TITLE = 'Pairs of answers to harmful questions, the more helpful one first'
  HOMEPAGE = 'https://github.com/PKU-Alignment/safe-rlhf'
  SOURCE = (
    'data/Alpaca-7B, data/Alpaca2-7B and data/Alpaca3-8B, each with '
    'train.jsonl and test.jsonl, of PKU-Alignment/PKU-SafeRLHF'
  )
  LICENCE = 'CC BY-NC 4.0'
  CITATION = """@article{ji2024pku,
  title={PKU-SafeRLHF: Towards Multi-Level Safety Alignment for LLMs with Human
    Preference},
  author={Ji, Jiaming and others},
  journal={arXiv:2406.15513},
  year={2024}
}"""
  LAYOUTS = tuple(
    Layout(
      tuple(
        Part(f'{below}{model}{split}.jsonl*', split, model.strip('/'))
        for split in (TRAIN, TEST)
        for model in models
      ),
      formats.PKU_SAFE_RLHF,
    )
    for below, models in itertools.product(
      ('data/', ''), (('Alpaca-7B/', 'Alpaca2-7B/', 'Alpaca3-8B/'), ('',))
    )
  )


# Splits as rows of summarize_from_feedback say them.
_SPLITS = {
  'train': TRAIN,
  'valid1': VALIDATION,
  'valid2': VALIDATION,
  'test': TEST,
}


def _summaries(path: pathlib.Path) -> dict[str, Stream]:
  """The comparisons of a file by the split that their rows say."""
  there = dict.fromkeys(map(_split, jsonl.read_any(path)))

  def rows(split):
    return (row for row in jsonl.read_any(path) if _split(row) == split)

  return {
    split: stream_of(rows(split), path.name, (formats.SUMMARIES,))
    for split in there
  }


def _split(row: jsonl.Row) -> str:
  said = row.fields.get('split')
  if said not in _SPLITS:
    raise jsonl.DataError(
      f"{row.where}: field 'split' must be one of {', '.join(_SPLITS)}, not "
      f'{said!r}.'
    )
  return _SPLITS[said]


class SummarizeFromFeedback(FeedbackBuilder):
  """Each row says its split itself."""

  RECORD = Comparison
  TITLE = 'Pairs of summaries of posts and articles, preferred by people'
  HOMEPAGE = 'https://github.com/openai/summarize-from-feedback'
  SOURCE = (
    'batch3.json to batch22.json, in it or in its folder comparisons, of '
    'openai/summarize-from-feedback'
  )
  LICENCE = 'MIT; posts are of TL;DR (CC BY 4.0)'
  CITATION = """@inproceedings{stiennon2020learning,
  title={Learning to Summarize with Human Feedback},
  author={Stiennon, Nisan and others},
  booktitle={NeurIPS},
  year={2020}
}"""
  LAYOUTS = tuple(
    Layout(
      tuple(
        Part(f'{below}{name}')
        for name in ('batch*.json', 'cnndm*.json', 'edit_b2_eval_test.json')
      ),
      _summaries,
    )
    for below in ('comparisons/', '')
  )


_LLMBAR = {
  'Natural': 'Natural',
  'Adversarial/Neighbor': 'Neighbor',
  'Adversarial/GPTInst': 'GPTInst',
  'Adversarial/GPTOut': 'GPTOut',
  'Adversarial/Manual': 'Manual',
}


class Llmbar(FeedbackBuilder):
  """A set to measure judges on: all of it is test."""

  RECORD = Comparison
  TITLE = 'Pairs of which one follows the instruction, to measure judges on'
  HOMEPAGE = 'https://github.com/princeton-nlp/LLMBar'
  SOURCE = 'Dataset/LLMBar/*/dataset.json of princeton-nlp/LLMBar'
  LICENCE = 'MIT'
  CITATION = """@inproceedings{zeng2024llmbar,
  title={Evaluating Large Language Models at Evaluating Instruction Following},
  author={Zeng, Zhiyuan and others},
  booktitle={ICLR},
  year={2024}
}"""
  LAYOUTS = (
    *(
      Layout(
        tuple(
          Part(f'{below}{path}/dataset.json', TEST, kind)
          for path, kind in _LLMBAR.items()
        ),
        functools.partial(
          formats.read,
          format=formats.LLMBAR,
          columns={'instruction': 'input'},
        ),
      )
      for below in ('Dataset/LLMBar/', '')
    ),
    Layout((Part('llmbar.jsonl', TEST),), formats.LLMBAR),
  )
