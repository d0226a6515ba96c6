"""Panoptic annotations in COCO's format, and panoptic quality."""
