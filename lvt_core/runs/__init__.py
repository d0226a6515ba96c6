"""Rules that the trainings of all tasks share: one run in a folder, equal data in all processes."""
