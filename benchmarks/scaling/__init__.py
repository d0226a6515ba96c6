"""Benchmarks of training on several processes, and a model of training on many GPUs."""
