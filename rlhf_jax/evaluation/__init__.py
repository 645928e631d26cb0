"""Evaluation: what each policy answered, judged, measured and reported."""

from rlhf_jax.evaluation.judges import Judge
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.evaluation.summary import Summary, summarise

__all__ = ['Judge', 'PolicySamples', 'Summary', 'summarise']
