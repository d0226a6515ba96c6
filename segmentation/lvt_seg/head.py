"""`lvt_core`'s SegFormer head as mmsegmentation's decode head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor

from lvt_core import SegFormerHead

# The mean over all pixels, those that do not count included, as the published model was trained.
CROSS_ENTROPY = {"type": "CrossEntropyLoss", "avg_non_ignore": False}


@MODELS.register_module()
class LVTSegFormerHead(BaseDecodeHead):
    """The published head; mmsegmentation's own ``SegformerHead`` is another function.

    The network is `lvt_core.SegFormerHead`; loss and prediction are mmsegmentation's.

    Args:
        in_channels: Channels of the maps, finest first.
        channels: Width of the branches and of the fused map.
        num_classes: Number of classes.
        dropout_ratio: Dropout before the last layer.
        loss_decode: The loss, or several.
        ignore_index: Label that does not count.
        sampler: Sampler of the pixels that the loss uses.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        channels: int = 256,
        num_classes: int,
        dropout_ratio: float = 0.1,
        loss_decode: dict[str, Any] | Sequence[dict[str, Any]] = CROSS_ENTROPY,
        ignore_index: int = 255,
        sampler: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            channels,
            num_classes=num_classes,
            out_channels=num_classes,
            dropout_ratio=0,  # the head has its own
            in_index=tuple(range(len(in_channels))),
            input_transform="multiple_select",
            init_cfg=None,
            loss_decode=loss_decode,
            ignore_index=ignore_index,
            sampler=sampler,
        )
        del self.conv_seg  # the base class's last layer; the published files carry it unused
        self.head = SegFormerHead(
            in_channels, embed_dim=channels, num_classes=num_classes, drop_rate=dropout_ratio
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Turn maps ``(B, C_i, H_i, W_i)``, finest first, into logits ``(B, num_classes, H_1, W_1)``."""
        return self.head(inputs)
