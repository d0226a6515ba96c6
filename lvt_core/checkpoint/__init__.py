"""Checkpoints: the steps from a file to a model, one module each.

`read` the file, take its `weights` in our names, `fit` them to the model, copy them (`load`). `save` writes
files and converts them between our names and the original release's, which `names` lists.
"""

from lvt_core.checkpoint.facts import Facts, facts_of
from lvt_core.checkpoint.load import LoadReport, load_checkpoint, load_content, load_weights, timm_filter
from lvt_core.checkpoint.read import CheckpointError, read_checkpoint
from lvt_core.checkpoint.save import convert_checkpoint, save_checkpoint
from lvt_core.checkpoint.weights import Weights, weights_of

__all__ = [
    "CheckpointError",
    "Facts",
    "LoadReport",
    "Weights",
    "convert_checkpoint",
    "facts_of",
    "load_checkpoint",
    "load_content",
    "load_weights",
    "read_checkpoint",
    "save_checkpoint",
    "timm_filter",
    "weights_of",
]
