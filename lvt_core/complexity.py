"""Parameters and multiply-adds, by module."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Complexity:
    """A model's size and cost for one image.

    Attributes:
        input_size: ``(height, width)``.
        params: Parameters by module name; ``''`` is the whole model.
        macs: Multiply-adds by module name, under the convention of `complexity`.
    """

    input_size: tuple[int, int]
    params: dict[str, int]
    macs: dict[str, int]

    @property
    def total_params(self) -> int:
        return self.params[""]

    @property
    def total_macs(self) -> int:
        return self.macs[""]

    def table(self, depth: int = 2) -> str:
        """Format a table of all modules down to a nesting depth."""
        rows = [("module", "params", "MMACs")]
        for name, params in self.params.items():
            if name.count(".") < depth:
                rows.append((name or "total", f"{params:,}", f"{self.macs[name] / 1e6:,.1f}"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return "\n".join(
            f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows
        )


def complexity(model: nn.Module, input_size: int | tuple[int, int] = 224) -> Complexity:
    """Count parameters and multiply-adds of one image in evaluation.

    Convention: one multiply-add (MAC) is one multiplication and one addition (what the literature of
    small networks calls a "FLOP"). Every matrix product and convolution counts, those of attention
    (``Q K^T``, ``A V``, CSA's tap mixing) included; softmax, norms, activations, pooling and
    additions do not. The published network has 0.889 G at 224 x 224.

    Args:
        model: Module with input ``(1, in_chans, height, width)``; it is not changed.
        input_size: Side, or height and width, in pixels.
    """
    size = (input_size, input_size) if isinstance(input_size, int) else input_size
    params = {
        name: sum(parameter.numel() for parameter in module.parameters())
        for name, module in model.named_modules()
    }
    return Complexity(size, params, count_macs(model, size))


def count_macs(model: nn.Module, input_size: tuple[int, int]) -> dict[str, int]:
    """Count multiply-adds by module name, as `complexity` does; ``''`` is the whole model.

    Args:
        model: Module, as in `complexity`.
        input_size: Height and width, in pixels.
    """
    model = copy.deepcopy(model).to("meta").eval()  # shapes are enough
    config = getattr(model, "config", None)
    in_chans = getattr(config or model, "in_chans", 3)
    image = torch.empty(1, in_chans, *input_size, device="meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(image)
    root = type(model).__name__
    counted = {
        name.removeprefix(root).removeprefix("."): sum(flops.values()) // 2
        for name, flops in counter.get_flop_counts().items()
        if name.startswith(root)
    }
    return {name: _macs(name, model, counted) for name, _ in model.named_modules()}


def _macs(name: str, model: nn.Module, counted: dict[str, int]) -> int:
    """Return a module's count; a container that is never called has the sum of its members."""
    if name in counted:
        return counted[name]
    prefix = f"{name}." if name else ""
    members = model.get_submodule(name).named_children()
    return sum(_macs(prefix + member, model, counted) for member, _ in members)
