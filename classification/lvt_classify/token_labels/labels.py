"""Labels of a batch: classes, crop geometry and token-label maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lvt_classify.token_labels.sparse import LabelMaps


@dataclass
class Labels:
    """Labels of a batch.

    Attributes:
        targets: True classes ``(B,)``.
        geometry: From each crop's fractions to its image's, ``(B, 2, 3)``.
        maps: Token-label maps, or ``None``.
    """

    targets: Tensor
    geometry: Tensor
    maps: LabelMaps | None

    def to(self, device: torch.device, non_blocking: bool = False) -> Labels:
        """Move to a device; timm's prefetcher calls this."""
        move: dict[str, Any] = {"device": device, "non_blocking": non_blocking}
        maps = None if self.maps is None else self.maps.to(**move)
        return Labels(self.targets.to(**move), self.geometry.to(**move), maps)

    def pin_memory(self) -> Labels:
        """For `DataLoader`: the copy to a GPU waits for nothing from such memory alone."""
        maps = None if self.maps is None else self.maps.pin_memory()
        return Labels(self.targets.pin_memory(), self.geometry.pin_memory(), maps)
