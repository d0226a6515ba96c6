"""LVT, the backbone: from an image to four maps (paper, section 3.3).

Legend: B batch, H W the image's height and width, C_i the channels of stage i.
"""

# No `annotations` of the future here: torch.fx and TorchScript read types, not their names.

from typing import Any

import torch
from timm.layers import calculate_drop_path_rates
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lvt_core.config import MIN_INPUT_SIZE, NUM_STAGES, LVTConfig
from lvt_core.layers import CSA, RASA, Block, DepthwiseMlp, Mlp, PatchEmbed
from lvt_core.layers.init import init_linear_

torch.fx.wrap("check_input_size")  # one node of a traced graph


class LVT(nn.Module):
    """Lite Vision Transformer, 3.4 M parameters as published.

    Args:
        config: Architecture; `num_classes` is not used here.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        config: LVTConfig | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        config = config or LVTConfig()
        self.config = config
        rates: Any = calculate_drop_path_rates(config.drop_path_rate, list(config.depths), stagewise=True)
        self.stages = nn.ModuleList(
            Stage(config, i, rates[i], device=device, dtype=dtype) for i in range(NUM_STAGES)
        )
        self.feature_info = [
            {"num_chs": dim, "reduction": 4 * 2**i, "module": f"stages.{i}"}
            for i, dim in enumerate(config.embed_dims)
        ]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Turn images ``(B, in_chans, H, W)`` into four maps ``(B, C_i, H/2^(i+2), W/2^(i+2))``, rounded up.

        Raises:
            ValueError: The image is smaller than 32 x 32.
        """
        check_input_size(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade compute for memory: recompute each block's activations in the backward pass."""
        for stage in self.stages:
            stage.grad_checkpointing = enable  # type: ignore[assignment]


class Stage(nn.Module):
    """Patch embedding and blocks of one stage.

    Args:
        config: Architecture of the network.
        index: Number of the stage, from 0.
        drop_path: Stochastic-depth rate of each block.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        config: LVTConfig,
        index: int,
        drop_path: list[float],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory: Any = {"device": device, "dtype": dtype}
        first = index == 0
        dim = config.embed_dims[index]
        self.patch_embed = PatchEmbed(
            config.in_chans if first else config.embed_dims[index - 1],
            embed_dim=dim,
            kernel_size=7 if first else 3,
            stride=4 if first else 2,
            **factory,
        )
        self.blocks = nn.ModuleList(
            Block(
                dim,
                attn=_mixer(config, index, **factory),
                mlp=_mlp(config, index, **factory),
                drop_path=rate,
                **factory,
            )
            for rate in drop_path
        )
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        """Turn a map ``(B, C_in, H, W)`` into ``(B, C, H/stride, W/stride)``, rounded up."""
        return self.run_blocks(self.patch_embed(x))

    def run_blocks(self, x: Tensor) -> Tensor:
        """Turn embedded patches ``(B, H, W, C)`` into the stage's map ``(B, C, H, W)``."""
        for block in self.blocks:
            if torch.jit.is_scripting():
                x = block(x)
            elif self.grad_checkpointing and self.training:
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return x.permute(0, 3, 1, 2)


def check_input_size(x: Tensor, smallest: int = MIN_INPUT_SIZE) -> None:
    """Reject images that are too small for the last stage.

    Args:
        x: Images ``(..., H, W)``.
        smallest: Shortest side that is allowed.

    Raises:
        ValueError: Height or width is below 32 pixels.
    """
    height, width = x.shape[-2:]
    if height < smallest or width < smallest:
        raise ValueError(
            f"input of {height} x {width} pixels: LVT supports images of at least {smallest} x {smallest}"
        )


def _mixer(config: LVTConfig, index: int, **factory: Any) -> nn.Module:
    dim, heads = config.embed_dims[index], config.num_heads[index]
    drops = {"attn_drop": config.attn_drop_rate, "proj_drop": config.drop_rate, **factory}
    if config.mixers[index] == "csa":
        return CSA(dim, num_heads=heads, **drops)
    return RASA(
        dim,
        num_heads=heads,
        sr_ratio=config.sr_ratios[index],
        atrous_rates=config.atrous_rates,
        num_recursions=config.num_recursions,
        **drops,
    )


def _mlp(config: LVTConfig, index: int, **factory: Any) -> nn.Module:
    dim = config.embed_dims[index]
    hidden_dim = int(dim * config.mlp_ratios[index])
    if config.mixers[index] == "rasa":
        return DepthwiseMlp(dim, hidden_dim=hidden_dim, drop=config.drop_rate, **factory)
    mlp = Mlp(dim, hidden_dim, drop=config.drop_rate, **factory)
    init_linear_(mlp.fc1, mlp.fc2)
    return mlp
