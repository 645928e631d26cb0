"""Aligning language models by feedback, in functional JAX."""
