"""Float32 where half precision would change the result: the logits that are ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lvt_classify.models import head_names


@contextmanager
def float32_head(model: Any) -> Iterator[None]:
    """Let a classifier's last layers compute in float32 under autocast, so that few logits tie.

    Args:
        model: Model of timm. Other functions from images to logits stay as they are.
    """
    with ExitStack() as stack:
        for layer in head_layers(model):
            layer.forward = partial(_in_float32, layer.forward)  # type: ignore[method-assign]
            stack.callback(layer.__dict__.pop, "forward")
        yield


def head_layers(model: Any) -> list[nn.Linear | nn.Conv2d]:
    """Return the layers that make a classifier's logits; none for functions that are not timm's models."""
    if not isinstance(model, nn.Module) or not hasattr(model, "default_cfg"):
        return []
    layers = [module for name in head_names(model) for module in model.get_submodule(name).modules()]
    return [layer for layer in layers if isinstance(layer, (nn.Linear, nn.Conv2d))]


def _in_float32(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())
