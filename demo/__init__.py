"""A small embedded data set in the real data sets' layouts, and a tour of the tasks on it."""
