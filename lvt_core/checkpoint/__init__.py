"""Checkpoints: read safely, renamed to our names, fitted strictly, copied; written whole."""

from lvt_core.checkpoint.load import (
    LoadReport,
    convert_checkpoint,
    load_checkpoint,
    load_content,
    save_checkpoint,
    timm_filter,
)
from lvt_core.checkpoint.read import CheckpointError

__all__ = [
    "CheckpointError",
    "LoadReport",
    "convert_checkpoint",
    "load_checkpoint",
    "load_content",
    "save_checkpoint",
    "timm_filter",
]
