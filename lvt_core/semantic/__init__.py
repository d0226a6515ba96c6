"""Semantic segmentation's truth: label maps, and intersection over union."""
