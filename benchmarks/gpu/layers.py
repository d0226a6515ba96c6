"""Parts of `benchmarks.gpu`: the kernels of CSA, and token labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.scale import Scale, target
from benchmarks.network import token_labels
from benchmarks.side_by_side import Row, device, relative_difference, side_by_side
from lvt_core.errors import UserError
from lvt_core.layers.fast import csa_fused

CHANNELS, HEADS = 64, 2


def csa(scale: Scale) -> Iterator[Row]:
    """Measure CSA between its logits and its projection: the portable form and the Triton kernels."""
    try:
        kernels = csa_fused.kernels()
    except ImportError as error:
        raise UserError(f"the kernels of CSA need Triton: {error}") from error
    portable: dict[str, Callable] = {"forward": csa_fused.portable, "backward": csa_fused.portable_backward}
    for dtype in csa_fused.TOLERANCES:
        for size in scale.csa_maps:
            grad, *tensors = _csa_inputs(size, dtype)
            for direction, form in portable.items():
                arguments = [grad, *tensors] if direction == "backward" else tensors
                fused = getattr(kernels, direction)
                calls = {
                    "portable": partial(form, *arguments, HEADS),
                    "ours": partial(fused, *arguments, HEADS),
                }
                forms = side_by_side(calls, repeats=scale.repeats, warmup=scale.warmup)
                shape = " x ".join(map(str, size))
                yield {
                    "name": f"CSA {direction}, {shape}, {str(dtype).removeprefix('torch.')}",
                    "images": size[0],
                    "forms": forms,
                    "to": "portable",
                    "difference": _difference(*(call() for call in calls.values())),
                    "tolerance": csa_fused.TOLERANCES[dtype],
                    "repeats_to_the_bit": _difference(*(calls["ours"]() for _ in range(2))) == 0.0,
                    "targets": [],
                }


def labels(scale: Scale) -> Iterator[Row]:
    """Measure a batch's token labels and their loss; the target is for both together."""
    rows = token_labels.measure(scale.label_batch, scale.repeats)
    forms: dict[str, Row] = {}
    for form in ("literal", "ours"):
        milliseconds = sum(row[form]["ms"] for row in rows)
        forms[form] = {"ms": milliseconds, "peak_mb": max(row[form]["peak_mb"] for row in rows)}
    yield {
        "name": f"token labels and their loss, batch {scale.label_batch}",
        "images": scale.label_batch,
        "forms": forms,
        "parts": rows,
        "targets": [target("time", forms, 10.0), target("peak memory", forms, 10.0, key="peak_mb")],
    }


def _csa_inputs(size: tuple[int, int, int], dtype: torch.dtype) -> list[Tensor]:
    B, H, W = size
    torch.manual_seed(0)
    shapes = [(B, H, W, CHANNELS)] * 2 + [(B, (H + 1) // 2, (W + 1) // 2, 81 * HEADS)]
    tensors = [torch.randn(shape, device=device()) for shape in shapes]
    weight = torch.randn(9, CHANNELS, CHANNELS, device=device()) * CHANNELS**-0.5
    return [tensor.to(dtype) for tensor in (*tensors, weight)]


def _difference(expected: Any, actual: Any) -> float:
    """Return the largest relative difference of a tensor or of a tuple of tensors."""
    pairs = zip(expected, actual, strict=True) if isinstance(expected, tuple) else [(expected, actual)]
    return max(relative_difference(*pair) for pair in pairs)
