"""Image classification with token labels: options, data, token labels, training."""
