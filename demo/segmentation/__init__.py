"""Semantic segmentation part of the tour."""
