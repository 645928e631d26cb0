"""Verdicts on responses, asked of a chat model by a template in a file."""

from rlhf_jax.feedback.verdicts.asking import Asked, PairJudge, Rater
from rlhf_jax.feedback.verdicts.template import Template, TemplateError
from rlhf_jax.feedback.verdicts.templates import load, names
