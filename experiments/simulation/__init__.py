"""Reward learning in the sandbox without networks, in seconds a seed."""

from experiments.simulation.candidates import Candidates
from experiments.simulation.rewards import Arm, Setting, begin, fitted, gaps
from experiments.simulation.tables import run

__all__ = ['Arm', 'Candidates', 'Setting', 'begin', 'fitted', 'gaps', 'run']
