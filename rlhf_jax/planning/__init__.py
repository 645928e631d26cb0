"""Whether an experiment fits on chips that are not here, and what bounds it."""
