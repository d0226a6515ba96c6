"""Labels of a batch: classes, geometry of the crops, token-label maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lvt_classify.token_labels.sparse import LabelMaps


@dataclass
class Labels:
    """Labels of a batch of B images.

    Attributes:
        targets: True classes ``(B,)``.
        geometry: Matrices that take fractions of the crops to fractions of the images, ``(B, 2, 3)``.
        maps: Token-label maps, or ``None``.
    """

    targets: Tensor
    geometry: Tensor
    maps: LabelMaps | None

    def to(self, device: torch.device, non_blocking: bool = False) -> Labels:
        """Move the labels to a device, as timm's prefetcher requests."""
        move: dict[str, Any] = {"device": device, "non_blocking": non_blocking}
        maps = None if self.maps is None else self.maps.to(**move)
        return Labels(self.targets.to(**move), self.geometry.to(**move), maps)

    def pin_memory(self) -> Labels:
        """Pin memory, as `DataLoader` requests, so that the copy to the GPU is asynchronous."""
        maps = None if self.maps is None else self.maps.pin_memory()
        return Labels(self.targets.pin_memory(), self.geometry.pin_memory(), maps)
