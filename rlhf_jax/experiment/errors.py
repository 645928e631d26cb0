"""What is wrong with an experiment, in a sentence."""


class ExperimentError(ValueError):
  """An experiment that cannot be run as it is written."""
