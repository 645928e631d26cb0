"""Similarity of a prompt's responses: which of them mean the same.

By their words (`texts`), by the distance of their embeddings (`embeddings`), or
by entailment in both directions (`entailment`), judged by a model in a folder
(`nli_folder`) or behind a chat endpoint (`endpoint`).
"""

from rlhf_jax.feedback.similarity import (
  embeddings,
  endpoint,
  entailment,
  nli_folder,
  texts,
)
from rlhf_jax.feedback.similarity.embeddings import embedding
from rlhf_jax.feedback.similarity.texts import (
  Similarity,
  answer,
  exact,
  final_number,
  final_text,
  ngram,
  rouge_l,
)
