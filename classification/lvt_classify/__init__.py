"""Image classification with token labels: commands, options, data, token labels, training."""
