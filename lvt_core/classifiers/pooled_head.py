"""LVT with a plain head: LayerNorm, pooling, one Linear."""

from typing import Any

import torch
from timm.layers import SelectAdaptivePool2d
from torch import Tensor, nn

from lvt_core.classifiers.timm_classifier import TimmClassifier
from lvt_core.config import LVTConfig
from lvt_core.layers.init import init_linear_


class LVTPooled(TimmClassifier):
    """`lvt`: 3,686,604 parameters at 1000 classes.

    Args:
        config: Architecture; ``num_classes=0`` leaves out the head.
        global_pool: ``'avg'``, ``'max'``, ``'avgmax'``, or ``''`` for the map from `forward_head`.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: ``global_pool`` is another value.
    """

    pools = ("avg", "max", "avgmax", "")

    def __init__(
        self,
        config: LVTConfig | None = None,
        *,
        global_pool: str = "avg",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        factory: Any = {"device": device, "dtype": dtype}
        super().__init__(config or LVTConfig(), global_pool=global_pool, **factory)
        self.norm = nn.LayerNorm(self.num_features, **factory)
        self._make_heads()

    def _make_heads(self) -> None:
        self.pool = SelectAdaptivePool2d(pool_type=self.global_pool, flatten=bool(self.global_pool))
        self.head_drop = nn.Dropout(self.config.drop_rate)
        self.head = nn.Identity()
        if self.num_classes:
            self.head = nn.Linear(self.num_features, self.num_classes, **self._factory())
            init_linear_(self.head)

    def finish_features(self, x: Tensor) -> Tensor:
        """Normalise the last map ``(B, C, h, w)``; same shape."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Turn the map ``(B, C, h, w)`` into logits ``(B, K)``; with ``pre_logits`` into features ``(B, C)``.

        With ``global_pool=''`` the result is the map itself.
        """
        x = self.pool(x)
        if self.global_pool == "":
            return x
        x = self.head_drop(x)
        return x if pre_logits else self.head(x)
