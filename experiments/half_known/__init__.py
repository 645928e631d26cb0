"""Sums that a real model half knows, beside what people prefer."""

from experiments.half_known.chain import experiment
from experiments.half_known.source import Source, one_of_each

__all__ = ['Source', 'experiment', 'one_of_each']
