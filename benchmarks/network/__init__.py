"""Benchmarks of the network and of its parts against their literal forms, and against other networks."""
