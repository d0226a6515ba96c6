"""Panoptic segmentation part of the tour."""
