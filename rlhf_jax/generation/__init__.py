"""Sampling responses from a language model."""

from rlhf_jax.generation.decode import sample
from rlhf_jax.generation.draws import greedy, gumbel, inverse_cdf
from rlhf_jax.generation.sampling import Sampling, transform
