"""Entailment by a model in a Hugging Face folder; needs PyTorch."""

import functools
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from rlhf_jax.feedback.similarity.entailment import LABELS, Classify
from rlhf_jax.types.rules import Count


def nli_folder(
  path: str | os.PathLike, *, batch_size: Count = 32, max_tokens: Count = 512
) -> Classify:
  """A sequence classifier that was trained on pairs of texts, such as MNLI.

  The folder is read when first asked. The longer text of a pair is cut where
  both together exceed `max_tokens`.

  Args:
    path: a folder with config.json, weights and a tokenizer.
    batch_size: pairs in a forward pass.
    max_tokens: of premise and hypothesis together.

  Returns:
    (premises, hypotheses) -> [N] labels. Asking it raises ValueError where
    PyTorch or transformers is missing, or the model's classes are not the three
    labels.
  """
  return functools.partial(
    _classify,
    path=pathlib.Path(path),
    batch_size=batch_size,
    max_tokens=max_tokens,
  )


def label_order(id2label: Mapping[int | str, str]) -> np.ndarray:
  """The label of each of a model's classes [3], by the names in its config.

  Raises:
    ValueError: the names are not contradiction, neutral and entailment.
  """
  names = {int(i): str(name).strip().lower() for i, name in id2label.items()}
  if sorted(names) != [0, 1, 2] or set(names.values()) != set(LABELS):
    raise ValueError(
      f'the model has the classes {dict(id2label)}, where id2label in its '
      'config.json has to name contradiction, neutral and entailment'
    )
  return np.array([LABELS[names[i]] for i in range(3)])


def _classify(
  premises: Sequence[str],
  hypotheses: Sequence[str],
  *,
  path: pathlib.Path,
  batch_size: Count,
  max_tokens: Count,
) -> np.ndarray:
  torch, tokenizer, model, labels = _load(path)
  chosen = []
  for start in range(0, len(premises), batch_size):
    part = slice(start, start + batch_size)
    tokens = tokenizer(
      list(premises[part]),
      list(hypotheses[part]),
      padding=True,
      truncation='longest_first',
      max_length=max_tokens,
      return_tensors='pt',
    )
    with torch.inference_mode():
      logits = model(**tokens.to(model.device)).logits
    chosen += logits.argmax(-1).tolist()
  return labels[np.array(chosen, int)]


@functools.cache
def _load(path):
  """Torch, and a folder's tokenizer, model and order of labels; kept."""
  try:
    import torch
    import transformers
  except ImportError as e:
    raise ValueError(
      f'the model of entailment in {path} needs PyTorch and transformers: pip '
      'install torch transformers'
    ) from e
  config = transformers.AutoConfig.from_pretrained(path)
  labels = label_order(config.id2label)
  tokenizer = transformers.AutoTokenizer.from_pretrained(path)
  load = transformers.AutoModelForSequenceClassification.from_pretrained
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  return torch, tokenizer, load(path).to(device).eval(), labels
