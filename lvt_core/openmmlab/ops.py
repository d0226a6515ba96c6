"""mmcv's compiled operators that detection needs, from torchvision.

mmcv from the package index comes without its compiled module ``mmcv._ext``, and mmdetection cannot be
imported without one. Of the operators in it, two-stage detectors use non-maximum suppression and RoIAlign,
which torchvision has; the others say what to do when they are called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NoReturn

import mmcv
import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms, roi_align

from lvt_core.errors import UserError

NAME = "mmcv._ext"
AVERAGE = 1  # mmcv's number for pooling by the mean; 0 is by the maximum


def provide_compiled_operators() -> bool:
    """Put the stand-in where mmcv looks for its compiled module, unless there is one.

    Returns:
        True if the stand-in is now (or was already) in place, False if mmcv has its own.
    """
    if NAME not in sys.modules and find_spec(NAME) is None:
        module = TorchvisionOperators(NAME)
        module.__spec__ = ModuleSpec(NAME, loader=None)  # mmengine asks for it
        for operator in (nms, roi_align_forward, roi_align_backward):
            setattr(module, operator.__name__, operator)
        sys.modules[NAME] = mmcv._ext = module
    return isinstance(sys.modules.get(NAME), TorchvisionOperators)


class TorchvisionOperators(ModuleType):
    """``mmcv._ext`` with what torchvision has; any other operator raises `UserError` when called."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(name)


class _Missing:
    """An operator that is not here."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise UserError(
            f"mmcv's compiled operator {self.name} is not here: only nms and roi_align are (by torchvision); "
            "install an mmcv that is compiled for this PyTorch, or choose a model without it"
        )


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Suppress boxes that a better box overlaps; return the indices of the others, best first.

    Args:
        boxes: ``(N, 4)``, left, top, right, bottom.
        scores: ``(N,)``.
        iou_threshold: Largest intersection over union that is kept.
        offset: 1 if right and bottom belong to the box (width = right - left + 1), else 0.
    """
    boxes = boxes if boxes.dtype == torch.float64 else boxes.float()
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, 1, 1])
    return torchvision_nms(boxes, scores.to(boxes.dtype), iou_threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign (Mask R-CNN, 3) by the mean, into ``output`` ``(K, C, aligned_height, aligned_width)``.

    Args:
        input: Map ``(B, C, H, W)``; half precision is computed in float32.
        rois: ``(K, 5)``: image, left, top, right, bottom, in pixels of the image.
        output: Tensor to write.
        argmax_y: Not used: it belongs to pooling by the maximum.
        argmax_x: Not used, like `argmax_y`.
        aligned_height: Rows of the output.
        aligned_width: Columns of the output.
        spatial_scale: Pixels of the map per pixel of the image.
        sampling_ratio: Samples per bin and axis; 0 for one per pixel that it covers.
        pool_mode: Must be the mean.
        aligned: Whether a pixel's value belongs to its middle.
    """
    _require_average(pool_mode)
    size = (aligned_height, aligned_width)
    precise = _precise(input)
    pooled = roi_align(precise, rois.to(precise.dtype), size, spatial_scale, sampling_ratio, aligned)
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Compute the gradient of `roi_align_forward` for ``input``, into ``grad_input``."""
    _require_average(pool_mode)
    precise = _precise(grad_output)
    if torch.are_deterministic_algorithms_enabled():
        # The operator adds up in any order on a GPU; torchvision then has another form to go back through.
        size = (aligned_height, aligned_width)
        with torch.enable_grad():
            x = torch.zeros(grad_input.shape, dtype=precise.dtype, device=precise.device, requires_grad=True)
            pooled = roi_align(x, rois.to(precise.dtype), size, spatial_scale, sampling_ratio, aligned)
            grad_input.copy_(torch.autograd.grad(pooled, x, precise)[0])
        return
    gradient = torch.ops.torchvision._roi_align_backward(
        precise,
        rois.to(precise.dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input.copy_(gradient)


def _precise(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _require_average(pool_mode: int) -> None:
    if pool_mode != AVERAGE:
        raise UserError("RoIAlign's pool_mode: must be 'avg'; 'max' needs an mmcv that is compiled")
