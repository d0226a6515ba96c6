"""From a picture to a result: networks opened from files, and run by PyTorch."""
