"""Images from disk or stream to batches on the device."""
