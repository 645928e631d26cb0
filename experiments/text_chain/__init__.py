"""What experiments on real text share: a small transformer from scratch, SFT.

A few million parameters are far too few to be helpful: such experiments show
that a chain runs on text, not that it aligns.
"""

from experiments.text_chain.chain import Settings, experiment, sft_stages

__all__ = ['Settings', 'experiment', 'sft_stages']
