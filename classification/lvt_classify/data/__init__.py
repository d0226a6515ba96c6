"""Data pipeline: images from disk or from a stream, to batches on the device."""
