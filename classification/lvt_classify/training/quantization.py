"""Quantization-aware fine-tuning: training with the rounding of int8, so that an int8 export loses less.

Every layer with weights rounds its weights and its input to 8 bits, in training and in validation; gradients
pass as if nothing were rounded. Weights: symmetric, one scale per output channel. Inputs: one range per
layer, which grows at once with larger values and shrinks slowly, because calibration takes the extremes of
many images. Norms, softmax and products of two activations stay in float, as in our exports.

The parameters stay float and keep their names, so checkpoints are the same as those of any other run.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lvt_core import LVT
from lvt_core.errors import UserError
from lvt_core.layers import CSA
from lvt_core.layers.rasa import AtrousQuery

logger = logging.getLogger(__name__)

WEIGHT_LEVELS = 127  # on each side of zero
INPUT_LEVELS = 255
SHRINK = 0.01  # share of a range's excess that it loses per batch


class InputRange(nn.Module):
    """Rounding of a layer's input to 256 values between the extremes of the inputs so far.

    Attributes:
        extremes: Lowest and highest value ``(2,)``, with zero between them; not in the ``state_dict``.
    """

    extremes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("extremes", torch.zeros(2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Round a tensor of any shape; in training the range follows its values."""
        values = x.float()
        if self.training and not _recomputes():
            low, high = torch.aminmax(values.detach())
            self._follow(torch.stack((low.clamp(max=0), high.clamp(min=0))))
        low, high = self.extremes.unbind()
        scale = ((high - low) / INPUT_LEVELS).clamp(min=torch.finfo(torch.float32).tiny)
        zero = (-low / scale).round().to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, INPUT_LEVELS).to(x.dtype)

    @torch.no_grad()
    def _follow(self, batch: Tensor) -> None:
        """Move the extremes to those of a batch: at once outwards, slowly inwards."""
        shrunk = self.extremes.lerp(batch, SHRINK)
        self.extremes.copy_(torch.stack((torch.minimum(batch, shrunk)[0], torch.maximum(batch, shrunk)[1])))


def quantize_weight(weight: Tensor, channel_dims: int = 1) -> Tensor:
    """Round a weight to 255 values per output channel, symmetric around zero.

    Args:
        weight: Weight whose first dimensions are the output channels.
        channel_dims: Number of these dimensions: 2 for CSA's ``(tap, out, in)``.
    """
    rows = weight.flatten(0, channel_dims - 1).flatten(1)  # (channels, the rest)
    largest = rows.detach().abs().amax(dim=1)
    scale = (largest / WEIGHT_LEVELS).clamp(min=torch.finfo(torch.float32).tiny)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    rounded = torch.fake_quantize_per_channel_affine(rows, scale, zero, 0, -WEIGHT_LEVELS, WEIGHT_LEVELS)
    return rounded.view_as(weight)


def make_quantization_aware(model: nn.Module) -> None:
    """Let all layers of a model round their weights and inputs; the model is changed in place.

    Raises:
        UserError: The model is not an LVT, and no other model can be exported.
    """
    if not isinstance(getattr(model, "backbone", None), LVT):
        raise UserError("--quantization-aware: requires --model lvt_cls, the classifier that can be exported")
    inner = {id(module.conv) for module in model.modules() if isinstance(module, AtrousQuery)}
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d, CSA, AtrousQuery)) and id(module) not in inner
    }
    device = next(model.parameters()).device
    for layer in layers.values():
        layer.input_range = InputRange().to(device)
        layer.register_forward_pre_hook(_round)
        layer.register_forward_hook(_restore, always_call=True)
    logger.info("8 bits for weights and inputs of %d layers: %s", len(layers), ", ".join(layers))


def input_ranges(model: nn.Module) -> dict[str, Tensor]:
    """Return all ranges of a model, by the names of their layers."""
    return {
        name.removesuffix(".input_range"): module.extremes
        for name, module in model.named_modules()
        if isinstance(module, InputRange)
    }


def load_input_ranges(model: nn.Module, ranges: Mapping[str, Tensor]) -> None:
    """Restore the ranges that `input_ranges` returned.

    Raises:
        KeyError: A layer has no range.
    """
    for name, extremes in input_ranges(model).items():
        extremes.copy_(ranges[name])


def share_input_ranges(model: nn.Module, average: nn.Module) -> None:
    """Let the moving average of a model use the ranges of the model itself."""
    for module, averaged in zip(model.modules(), average.modules(), strict=True):
        if isinstance(module, InputRange):
            averaged.extremes = module.extremes


def join_ranges(model: nn.Module) -> None:
    """Give all processes the union of their ranges, in place: each has seen images of its own."""
    for extremes in input_ranges(model).values():
        spread = extremes * extremes.new_tensor((-1, 1))  # zero lies between the extremes
        dist.all_reduce(spread, dist.ReduceOp.MAX)
        extremes.copy_(spread * spread.new_tensor((-1, 1)))


def _recomputes() -> bool:
    """Whether a backward pass computes again what ``--grad-checkpointing`` dropped."""
    return torch._C._current_graph_task_id() != -1  # no public function says it


def _round(layer: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    owner, name = _weight(layer)
    # An attribute of the same name hides the parameter for as long as the layer runs.
    owner.__dict__[name] = quantize_weight(owner._parameters[name], 2 if isinstance(layer, CSA) else 1)
    return (layer.input_range(inputs[0]), *inputs[1:])


def _restore(layer: Any, inputs: Any, output: Any) -> None:
    owner, name = _weight(layer)
    owner.__dict__.pop(name, None)


def _weight(layer: Any) -> tuple[Any, str]:
    """Return the module that owns a layer's weight, and the weight's name in it."""
    if isinstance(layer, CSA):
        return layer, "tap_weight"
    return (layer.conv if isinstance(layer, AtrousQuery) else layer), "weight"
