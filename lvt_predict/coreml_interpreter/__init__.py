"""A numpy interpreter of Core ML programs, for systems without Core ML."""
