"""A small data set in the layouts of the real ones, and a tour of the three tasks on it."""
