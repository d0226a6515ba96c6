"""A forward pass block by block, so that the input of each mixer can be seen or its work changed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from torch import Tensor, nn

from lvt_core.backbone import LVT, Stage
from lvt_core.classifiers.pooled_head import LVTPooled
from lvt_core.classifiers.token_head import LVTClassifier
from lvt_core.layers import Block
from lvt_core.segformer import SegFormer

Place = tuple[int, int]  # stage and block, from 0
Mixer = Callable[[nn.Module, Tensor], Tensor]
Network = LVTClassifier | LVTPooled | SegFormer


class Walk(NamedTuple):
    """Results of a walk.

    Attributes:
        maps: Map of each stage, ``(B, C_i, H_i, W_i)``.
        inputs: Input of the mixers at the places to keep, ``(B, H_i, W_i, C_i)``.
    """

    maps: list[Tensor]
    inputs: dict[Place, Tensor]


def unchanged(layer: nn.Module, x: Tensor) -> Tensor:
    """Run a mixer as it is."""
    return layer(x)


def walk(backbone: LVT, images: Tensor, *, mixer: Mixer = unchanged, keep: Collection[Place] = ()) -> Walk:
    """Compute the maps of a backbone in evaluation mode.

    Args:
        backbone: Backbone.
        images: Images ``(B, in_chans, H, W)``.
        mixer: Function that does a mixer's work, on its layer and its input.
        keep: Places whose input is kept.
    """
    x, maps, inputs = images, [], {}
    for i, stage in enumerate(backbone.stages):
        assert isinstance(stage, Stage)
        x = stage.patch_embed(x)  # (B, H_i, W_i, C_i)
        for j, block in enumerate(stage.blocks):
            assert isinstance(block, Block)
            mixed = block.norm1(x)
            if (i, j) in keep:
                inputs[i, j] = mixed
            x = x + mixer(block.attn, mixed)
            x = x + block.mlp(block.norm2(x))
        x = x.permute(0, 3, 1, 2)  # (B, C_i, H_i, W_i)
        maps.append(x)
    return Walk(maps, inputs)


def outputs_of(model: Network, maps: list[Tensor]) -> Tensor:
    """Compute the network's outputs from the backbone's maps."""
    if isinstance(model, SegFormer):
        return model.decode_head(maps)
    return model.forward_head(model.finish_features(maps[-1]))


def local_logits(model: Network, maps: list[Tensor]) -> Tensor:
    """Compute the logits of each place: those of tokens ``(B, K, h, w)``, or SegFormer's at stride 4.

    A pooled head makes the logits of each token before they are pooled.
    """
    if isinstance(model, SegFormer):
        return model.decode_head(maps)
    features = model.finish_features(maps[-1])
    if isinstance(model, LVTPooled):
        return model.head(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    tokens: Any = model.aux_head(features[:, 1:])  # (B, L, K)
    return tokens.transpose(1, 2).unflatten(2, maps[-1].shape[2:])
