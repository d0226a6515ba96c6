"""Benchmarks of exported networks: every runtime, precision and task."""
