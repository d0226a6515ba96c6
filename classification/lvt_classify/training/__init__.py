"""The training run: set-up, epochs, checkpoints, log."""
