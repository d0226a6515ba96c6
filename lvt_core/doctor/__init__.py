"""``lvt doctor``: every file of a data set read once, and all defects listed."""
