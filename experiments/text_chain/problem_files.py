"""Word problems with a worked solution: JSONL files, a problem a line.

As GSM8K's are:
{"question": "Ana has 3 bags of 4 apples. How many?",
 "answer": "3 * 4 = 12\\n#### 12"}
`answer` is a worked solution, then #### and the answer. "id" and "subset" may
be there too; results are broken down by subset. Nothing is downloaded.
"""

import dataclasses

from experiments.text_chain import chain
from rlhf_jax.data import readers
from rlhf_jax.data.problems import Problems
from rlhf_jax.data.sources import Files
from rlhf_jax.feedback import verifying
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(chain.Settings):
  """What is set most often, and:

  Attributes:
    file: the problems to train on.
    test_file: the problems to test on; where '', a tenth of `file` is held out.
  """

  data_dir: str = 'data'
  file: str = 'train.jsonl'
  test_file: str = ''
  max_prompt_tokens: Count = 192
  max_response_tokens: Count = 192


def source(settings: Settings) -> Problems:
  """The problems; gold is whether the last number is right."""

  def problems(name):
    return Files((name,), readers.problems)

  return Problems(
    settings.data_dir,
    problems(settings.file),
    test=problems(settings.test_file) if settings.test_file else None,
    vocab_size=settings.vocab_size,
    gold=verifying.number,
  )
