"""Generator of scenes: scanned digits on painted backgrounds, with the truth about every pixel."""
