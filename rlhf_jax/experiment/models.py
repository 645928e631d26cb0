"""Models by role, with a sampler and a scorer, for one tokenizer."""

from collections.abc import Sequence
from typing import Any

from rlhf_jax.data import at_hand, chat_templates
from rlhf_jax.data.templates import Format
from rlhf_jax.data.tokens import Tokenizer
from rlhf_jax.feedback import scoring
from rlhf_jax.generation import rollouts
from rlhf_jax.models import (
  BOTTLENECK,
  TransformerConfig,
  language_model,
  scalar_model,
)
from rlhf_jax.stages import Ensemble, Frozen
from rlhf_jax.types import Models, Record, Reward


def roles(model: Any, absent: tuple[int, ...] = ()) -> Models:
  """Policy, reward model and critic of one size.

  `absent` ids are no tokens: the policy gives them probability 0.
  """
  scalar = scalar_model(model)
  return Models(
    policy=language_model(model, absent),
    reward=scalar,
    critic=scalar,
    bottleneck=BOTTLENECK,
  )


def assembled(
  models: Models,
  tokenizer: Tokenizer,
  template: Format,
  *,
  max_response: int,
  reward: Frozen | None = None,
  records: Sequence[Record] = (),
) -> Models:
  """Models with a sampler of the policy's and a scorer.

  Args:
    models: by role.
    tokenizer, template: of the policy; they say what ends a response.
    max_response: tokens at most in a response.
    reward: what scores: a program, or an ensemble of reward models; a reward
      model alone where it is neither.
    records: what is asked, where a program scores it.
  """
  scorer = scoring.model_scorer(models.reward)
  if isinstance(reward, Ensemble):
    scorer = scoring.model_scorer(models.reward, reward.combine)
  elif callable(reward):
    scorer = scoring.text_scorer(reward, records, tokenizer.decode)
  sampler = rollouts.policy_sampler(
    models.policy,
    max_response=max_response,
    stop_ids=template.stop_ids(tokenizer),
    pad_id=tokenizer.pad_id,
  )
  return models._replace(sampler=sampler, scorer=scorer)


def models_of(
  model: TransformerConfig,
  tokenizer: Tokenizer,
  *,
  max_response: int = 512,
  reward: Reward | None = None,
  prompts: Sequence[Any] = (),
) -> Models:
  """Models of one size for a tokenizer, without an experiment.

  Args:
    model: the size of policy, reward model and critic.
    tokenizer: of all of them.
    max_response: tokens at most in a response.
    reward: (prompts, responses) -> scores, where a program scores.
    prompts: what it is asked about, as of `data.prompts`.
  """
  return assembled(
    roles(model, tokenizer.absent_ids(model.vocab_size)),
    tokenizer,
    chat_templates.of(tokenizer),
    max_response=max_response,
    reward=reward,
    records=at_hand.prompt_records(prompts) if prompts else (),
  )
