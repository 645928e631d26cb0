"""Files in the formats that people have, found by their fields or named.

A format is data: a name, a schema of `data.fields`, and a function of a row. It
is a reader, path -> records, as is `read`, which finds the format.
"""

from rlhf_jax.data.formats.answers import (
  ALPACA,
  ALPACA_EVAL,
  CHAT,
  DOLLY,
  LABELLED,
  PROBLEMS,
  QUESTIONS,
  SHAREGPT,
  TEXTS,
  TRL_COMPLETION,
  TRL_PROMPTS,
  TRL_UNPAIRED,
  TURNS,
)
from rlhf_jax.data.formats.choices import CHOICES
from rlhf_jax.data.formats.completions import ULTRAFEEDBACK_COMPLETIONS
from rlhf_jax.data.formats.finding import (
  FORMATS,
  comparisons,
  demonstrations,
  labels,
  prompts,
  read,
)
from rlhf_jax.data.formats.format import Format
from rlhf_jax.data.formats.preferences import (
  ALPACA_FARM,
  HH_RLHF,
  LLMBAR,
  PANDALM,
  PKU_SAFE_RLHF,
  REWARD_BENCH_2,
  SUMMARIES,
  TRL_PREFERENCE,
  ULTRAFEEDBACK,
)
from rlhf_jax.data.formats.rankings import (
  OASST_RANKED,
  OASST_TREES,
  QA_FEEDBACK,
  SCORED_OUTPUTS,
  TIERS,
  TOPICAL_CHAT,
  VICUNA_ANSWERS,
)
from rlhf_jax.data.formats.ratings import HANNA, HELPSTEER, OASST_RATED
