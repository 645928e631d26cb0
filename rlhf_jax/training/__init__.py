"""State, optimizers, the loop, checkpoints and metrics, a module each."""
