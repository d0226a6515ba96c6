"""The architecture that the weights of an LVT have: its kind, its depths, its classes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from lvt_core.config import NUM_STAGES, LVTConfig

SEGFORMER, TOKENS, POOLED, BACKBONE_ONLY = "segformer", "lvt_cls", "lvt_pooled", "lvt"
_KINDS = (
    (SEGFORMER, "decode_head.classifier.weight", "decode_head.classifier.weight"),
    (TOKENS, "cls_token", "head.weight"),
    (POOLED, "head.weight", "head.weight"),
)


def kind_of(weights: Mapping[str, Tensor]) -> tuple[str, int]:
    """Find the kind of an LVT and its number of classes, by its weights in our names."""
    for kind, mark, head in _KINDS:
        if mark in weights and head in weights:
            return kind, weights[head].shape[0]
    return BACKBONE_ONLY, 0


def depths_of(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Count the blocks of each stage; the published depths if the weights have other names."""
    blocks = {
        match.groups() for key in weights if (match := re.search(r"stages\.(\d)\.blocks\.(\d+)\.", key))
    }
    depths = tuple(sum(stage == str(i) for stage, _ in blocks) for i in range(NUM_STAGES))
    return depths if all(depths) else LVTConfig.depths
