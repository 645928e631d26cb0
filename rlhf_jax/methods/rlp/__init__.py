"""Reward learning on policy (RLP): the reward model again, on policy samples.

SFT, preferences, a reward model and a policy trained on it are steps 0 to 3. In
step 4 the reward model is trained again with unlabelled samples of that policy
(`samples`): with an information bottleneck on two views of each prompt
(`retraining`, RLP-UML), with preferences made of what the samples agree on
(`synthetic`, RLP-SPG), or both; in step 5 a policy learns from it, from SFT on.
`scale` keeps the new reward on the old one's scale, `rounds` repeats;
`labelled` is what the paper compares `synthetic` to, and `manner`, beyond it,
keeps how a policy says things.

Source: Lang, Huang & Li 2024, "Fine-Tuning Language Models with Reward Learning
on Policy" (arXiv 2403.19279).
"""

from rlhf_jax.methods.rlp import (
  consistency,
  labelled,
  manner,
  retraining,
  samples,
  scale,
  synthetic,
)
from rlhf_jax.methods.rlp.retraining import (
  Config,
  loss,
  paper,
  stable,
  stages,
  update,
)
from rlhf_jax.methods.rlp.samples import rounds
