"""The backbone as OpenMMLab's frameworks build it from a config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS
from torch import Tensor

from lvt_core.backbone import LVT, check_input_size
from lvt_core.checkpoint import load_checkpoint
from lvt_core.config import NUM_STAGES, LVTConfig
from lvt_core.errors import UserError


@MODELS.register_module(name="LVT")
class OpenMMLabLVT(LVT):
    """`LVT` with what dense tasks want to set; the network and its names are the same.

    In a config::

        backbone=dict(type="LVT", drop_path_rate=0.1,
                      init_cfg=dict(type="Pretrained", checkpoint="pretrained/backbone.pth"))

    Args:
        out_indices: Stages whose maps are returned, from 0, rising. Stages after the last one do not run.
        frozen_stages: How many of the first stages do not learn.
        grad_checkpointing: Recompute the blocks' activations in the backward pass, to save memory.
        init_cfg: Where the weights come from: ``dict(type="Pretrained", checkpoint=FILE)``, a file of ours
            or of the original release, backbone or classifier; ``None`` for fresh ones.
        architecture: Fields of `LVTConfig`.

    Raises:
        UserError: A value is not allowed.
    """

    def __init__(
        self,
        *,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = 0,
        grad_checkpointing: bool = False,
        init_cfg: dict[str, Any] | None = None,
        **architecture: Any,
    ) -> None:
        super().__init__(_config(architecture))
        self.out_indices = tuple(out_indices)
        if not self.out_indices or sorted(set(self.out_indices) & set(range(NUM_STAGES))) != list(
            out_indices
        ):
            raise UserError(f"backbone.out_indices={out_indices}: must be rising numbers from 0 to 3")
        if frozen_stages not in range(NUM_STAGES + 1):
            raise UserError(f"backbone.frozen_stages={frozen_stages}: must be 0 (none) to {NUM_STAGES} (all)")
        if init_cfg is not None and (
            init_cfg.get("type") != "Pretrained" or set(init_cfg) != {"type", "checkpoint"}
        ):
            raise UserError(
                f"backbone.init_cfg={dict(init_cfg)}: must be None or "
                "dict(type='Pretrained', checkpoint=FILE)"
            )
        self.init_cfg = init_cfg
        self.frozen_stages = frozen_stages
        self.set_grad_checkpointing(grad_checkpointing)
        for i, stage in enumerate(self.stages):
            if i < frozen_stages or i > self.out_indices[-1]:
                stage.requires_grad_(False)
        self.train()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Image ``(B, in_chans, H, W)`` to the asked-for maps ``(B, C_i, H / 2^(i+2), W / 2^(i+2))``."""
        check_input_size(x)
        maps = []
        for i in range(self.out_indices[-1] + 1):
            x = self.stages[i](x)
            if i in self.out_indices:
                maps.append(x)
        return tuple(maps)

    def train(self, mode: bool = True) -> OpenMMLabLVT:
        """Training or evaluation; frozen stages stay in evaluation."""
        super().train(mode)
        for stage in self.stages[: getattr(self, "frozen_stages", 0)]:
            stage.eval()
        return self

    def init_weights(self) -> None:
        """Load `init_cfg`'s checkpoint, strictly; the frameworks call this before training.

        Raises:
            CheckpointError: The file cannot be read or does not fit.
        """
        if self.init_cfg is not None:
            load_checkpoint(self, self.init_cfg["checkpoint"])


def _config(architecture: dict[str, Any]) -> LVTConfig:
    unknown = sorted(set(architecture) - set(LVTConfig.field_names()))
    if unknown:
        allowed = ", ".join(LVTConfig.field_names())
        raise UserError(
            f"backbone.{unknown[0]}={architecture[unknown[0]]!r}: no such option; LVT has {allowed}"
        )
    try:
        return LVTConfig(**architecture)
    except ValueError as error:
        raise UserError(f"backbone: {error}") from error
