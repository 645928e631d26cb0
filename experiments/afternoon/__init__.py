"""What a first afternoon with a real model reads: dialogues and film reviews.

All text goes to the model as it is, without markers of turns, so that any
model of text serves.
"""

from experiments.afternoon.chain import experiment
from experiments.afternoon.source import KINDS, Source

__all__ = ['KINDS', 'Source', 'experiment']
