"""Measurements, one command each; every one prints ratios of what it ran side by side."""
