"""Datasets of TFDS: importing this room makes `tfds.builder(NAME)` know them.

They are prepared to ArrayRecord and read without TensorFlow, by
`python -m launch.prepare NAME --from DIR` or by TFDS's `download_and_prepare`.
"""

from rlhf_jax.data.builders.attributes import Hanna, Helpsteer, OasstAttributes
from rlhf_jax.data.builders.builder import FeedbackBuilder
from rlhf_jax.data.builders.demonstrations import Alpaca, Dolly
from rlhf_jax.data.builders.own import Comparisons, Demonstrations, Prompts
from rlhf_jax.data.builders.preferences import (
  AlpacaFarm,
  HhRlhf,
  Llmbar,
  PkuSafeRlhf,
  SummarizeFromFeedback,
  Ultrafeedback,
)
from rlhf_jax.data.builders.questions import AlpacaEval, MtBench, Vicuna
from rlhf_jax.data.builders.rankings import (
  AlpacaFarmRanked,
  Oasst,
  UltrafeedbackRanked,
)
