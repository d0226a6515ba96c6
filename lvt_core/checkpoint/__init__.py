"""Checkpoints: read safely, renamed to our names, fitted strictly, copied; written whole."""

from lvt_core.checkpoint.load import LoadReport, load_checkpoint, load_content, load_weights, timm_filter
from lvt_core.checkpoint.read import CheckpointError, read_checkpoint
from lvt_core.checkpoint.save import convert_checkpoint, save_checkpoint
from lvt_core.checkpoint.weights import Weights, weights_of

__all__ = [
    "CheckpointError",
    "LoadReport",
    "Weights",
    "convert_checkpoint",
    "load_checkpoint",
    "load_content",
    "load_weights",
    "read_checkpoint",
    "save_checkpoint",
    "timm_filter",
    "weights_of",
]
