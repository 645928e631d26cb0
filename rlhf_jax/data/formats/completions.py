"""UltraFeedback as it was published: four completions, and a judge's scores."""

from collections.abc import Iterator

from rlhf_jax.data import fields
from rlhf_jax.data.formats.conversations import Unusable
from rlhf_jax.data.formats.format import Format
from rlhf_jax.data.readers import Row, all_named, one_turn
from rlhf_jax.types import Comparison


def _completions(row: Row, where: str) -> Iterator[Comparison]:
  scored = [
    one for one in row['completions'] if one['overall_score'] is not None
  ]
  if len(scored) < 2:
    raise Unusable('fewer than two of its completions have a score')
  scored.sort(key=lambda one: -one['overall_score'])
  texts = tuple(one['response'] for one in scored)
  scores = tuple(one['overall_score'] for one in scored)
  yield Comparison(
    one_turn(row['instruction'], where=where),
    texts,
    scores[0] - scores[1],
    scores,
    models=all_named(*(one['model'] for one in scored)),
  )


# Cui et al. 2023. The margin is that of the best over the second.
ULTRAFEEDBACK_COMPLETIONS = Format(
  'UltraFeedback completions',
  {
    'instruction': fields.filled,
    'completions': fields.list_of(
      fields.object_of(
        {
          'response': fields.text,
          'overall_score': fields.or_null(fields.number),
          'model': fields.NAME,
        }
        | fields.ignored(
          'principle custom_system_prompt annotations critique '
          'fine-grained_score'
        )
      )
    ),
  }
  | fields.ignored('source models correct_answers incorrect_answers'),
  _completions,
)
