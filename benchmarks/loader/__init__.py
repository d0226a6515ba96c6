"""Benchmarks of the training loader against the loader of timm."""
