"""Benchmarks, one command each; every figure is a ratio between forms that ran in turns in one process."""
