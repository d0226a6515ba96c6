"""Initialisation of the layers' weights (after PVTv2)."""

from __future__ import annotations

import math

from torch import nn


def init_linear_(*layers: nn.Module) -> None:
    """Draw each weight from a truncated normal with deviation 0.02, set each bias to 0."""
    for layer in layers:
        assert isinstance(layer, nn.Linear)
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def init_conv_(conv: nn.Conv2d) -> None:
    """Draw the weight from a normal with deviation ``sqrt(2 / fan_out)``, set the bias to 0."""
    fan_out = conv.kernel_size[0] * conv.kernel_size[1] * conv.out_channels // conv.groups
    nn.init.normal_(conv.weight, std=math.sqrt(2.0 / fan_out))
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
