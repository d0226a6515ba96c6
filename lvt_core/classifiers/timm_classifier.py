"""timm's interface of a classification model, shared by both of LVT's classifiers."""

# No `annotations` of the future here: torch.fx and TorchScript read types, not their names.

import abc
import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from lvt_core.backbone import LVT, check_input_size
from lvt_core.config import LVTConfig


class TimmClassifier(nn.Module, abc.ABC):
    """A backbone with a classification head behind it; subclasses add the head.

    Subclasses define ``pools``, ``norm``, ``head``, `_make_heads`, `forward_features` and
    `forward_head`.

    Args:
        config: Architecture.
        global_pool: Pooling, one of the subclass's ``pools``.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: ``global_pool`` is not one of ``pools``.
    """

    pools: tuple[str, ...]
    if TYPE_CHECKING:  # TorchScript supports no such annotations
        norm: nn.Module
        head: nn.Module

    def __init__(
        self,
        config: LVTConfig,
        *,
        global_pool: str,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self._check_pool(global_pool)
        self.config = config
        self.num_stages = len(config.depths)
        self.num_classes = config.num_classes
        self.in_chans = config.in_chans
        self.global_pool = global_pool
        self.num_features = self.head_hidden_size = config.embed_dims[-1]
        self.backbone = LVT(config, device=device, dtype=dtype)
        self.feature_info = [
            {**info, "module": f"backbone.{info['module']}"} for info in self.backbone.feature_info
        ]

    def _check_pool(self, global_pool: str) -> None:
        if global_pool not in self.pools:
            raise ValueError(f"global_pool={global_pool!r}: must be one of {self.pools}")

    @abc.abstractmethod
    def _make_heads(self) -> None:
        """Make the modules that depend on the number of classes."""

    @abc.abstractmethod
    def finish_features(self, x: Tensor) -> Tensor:
        """Turn the last map ``(B, C, h, w)`` into the head's input."""

    def forward_features(self, x: Tensor) -> Tensor:
        """Turn images ``(B, in_chans, H, W)`` into the head's input: normalised, not pooled."""
        return self.finish_features(self.backbone(x)[-1])

    @abc.abstractmethod
    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Turn features into logits ``(B, num_classes)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Turn images ``(B, in_chans, H, W)`` into logits ``(B, num_classes)``."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Compute the maps of chosen stages, in timm's form.

        Args:
            x: Images ``(B, in_chans, H, W)``.
            indices: Stages; an integer means that many last stages, ``None`` all.
            norm: Apply the final norm to the last stage's map.
            stop_early: Do not compute the stages after the last chosen one.
            output_fmt: ``'NCHW'``.
            intermediates_only: Return only the maps.

        Returns:
            Maps; or ``(features, maps)``, where features are the result of `forward_features` (the last
            computed map, if it stopped early).

        Raises:
            ValueError: ``output_fmt`` is another format, or an index does not exist.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt='{output_fmt}': must be 'NCHW'")
        check_input_size(x)
        final = self.num_stages - 1
        take, last = feature_take_indices(len(self.backbone.stages), indices)
        maps: list[Tensor] = []
        for index, stage in enumerate(self.backbone.stages):
            if (
                index <= last or not stop_early
            ):  # TorchScript supports no slice of a length that it must compute
                x = stage(x)
                if index in take:
                    maps.append(self._norm_map(x) if norm and index == final else x)
        if intermediates_only:
            return maps
        return (x if stop_early and last < final else self.finish_features(x)), maps

    def _norm_map(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Drop everything that the chosen stages do not need; return their indices from the start."""
        stages = self.backbone.stages
        take, last = feature_take_indices(len(stages), indices)
        pruned = last < len(stages) - 1
        self.backbone.stages = stages[: last + 1]
        if pruned:
            self.num_features = self.head_hidden_size = self.config.embed_dims[last]
        if prune_norm or pruned:
            self.norm = nn.Identity()
        if prune_head or pruned:
            self.reset_classifier(0, "")
            self._drop_token_mixing()
        return take

    def _drop_token_mixing(self) -> None:
        """Drop the layers between the last map and the head; by default there are none."""

    def get_classifier(self) -> nn.Module:
        """Return the layer that makes the class logits."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the head by a new one for another number of classes.

        Args:
            num_classes: Classes; 0 removes the head.
            global_pool: Pooling, one of ``pools``; ``None`` keeps the present one.

        Raises:
            ValueError: A value is not allowed.
        """
        self.config = dataclasses.replace(self.config, num_classes=num_classes)
        if global_pool is not None:
            self._check_pool(global_pool)
            self.global_pool = global_pool
        self.num_classes = num_classes
        self._make_heads()
        self.train(self.training)

    def _factory(self) -> Any:
        """Return the device and the type of the parameters, for new ones."""
        reference = next(self.backbone.parameters())
        return {"device": reference.device, "dtype": reference.dtype}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Group the parameters from input to output, for layer-wise learning-rate decay."""
        stages = [
            (r"^backbone\.stages\.(\d+)\.patch_embed", (0,)),
            (r"^backbone\.stages\.(\d+)\.blocks\.(\d+)", None),
        ]
        return {
            "stem": r"^backbone\.stages\.0\.patch_embed",
            "blocks": r"^backbone\.stages\.(\d+)" if coarse else stages,
            "class_blocks": [
                (r"^cls_token", (0,)),
                (r"^class_blocks\.(\d+)", None),
                (r"^norm", (99999,)),  # timm's mark for "with the group before"
            ],
        }

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade compute for memory: recompute each block's activations in the backward pass."""
        self.backbone.set_grad_checkpointing(enable)
