"""Training: tasks, epochs, metrics, checkpoints and logs."""
