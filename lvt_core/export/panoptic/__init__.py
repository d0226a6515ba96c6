"""Panoptic networks: three exported parts, with numpy between them."""
