"""The choice between an operator's portable form and its GPU kernels, made by a trial on the GPU itself.

The first call with a class of sizes runs both forms on random numbers. From then on the kernels are used if
they agree with the portable form and are faster.

Gain: a trial keeps kernels from being slower than the portable form (docs/gpu.md).
"""

from __future__ import annotations

import functools
import logging
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

WINDOWS = 2**15  # enough to fill a GPU; larger inputs use the same choice
REPEATS = 7

Call = Callable[[], Any]


def median_milliseconds(calls: Sequence[Call]) -> list[float]:
    """Measure the median time of each call on the current GPU, in turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(REPEATS):
        for call, measured in zip(calls, times, strict=True):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            end.record()
            end.synchronize()
            measured.append(start.elapsed_time(end))
    return [statistics.median(measured) for measured in times]


def agree(actual: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Whether tensors differ nowhere by more than a part of the largest expected value."""
    difference = (actual.float() - expected.float()).abs().max()
    return bool(difference <= tolerance * expected.float().abs().max())


class Trial:
    """Choices of CSA's form, each made once per direction, type and class of sizes.

    Args:
        portable: Portable form of each direction, ``"forward"`` and ``"backward"``.
        kernels: Function that imports the kernels, an object with the same two functions.
        tolerances: Largest difference of each type, as a part of the largest value.
        measure: Function that measures the milliseconds of calls.
        is_capturing: Function that says whether the current stream records a CUDA graph.
        windows: Largest number of windows to try.
    """

    def __init__(
        self,
        portable: Mapping[str, Callable[..., Any]],
        kernels: Callable[[], Any],
        tolerances: Mapping[torch.dtype, float],
        *,
        measure: Callable[[Sequence[Call]], list[float]] = median_milliseconds,
        is_capturing: Callable[[], bool] = torch.cuda.is_current_stream_capturing,
        windows: int = WINDOWS,
    ) -> None:
        self.portable, self.kernels, self.tolerances = portable, kernels, tolerances
        self.measure, self.is_capturing, self.windows = measure, is_capturing, windows
        self._choices: dict[tuple[object, ...], bool] = {}

    def prefers_kernels(self, direction: str, x: Tensor, logits: Tensor, num_heads: int) -> bool:
        """Whether the kernels are the better form for inputs like these.

        Args:
            direction: ``"forward"`` or ``"backward"``.
            x: Map ``(B, H, W, C)``.
            logits: ``(B, h, w, N * 81)``.
            num_heads: ``N``.
        """
        windows = min(logits.numel() // (81 * num_heads), self.windows)
        # Deterministic runs must not depend on a measured time.
        timed = not torch.are_deterministic_algorithms_enabled()
        key = (direction, timed, x.device, x.dtype, x.shape[3], num_heads, windows.bit_length())
        if key not in self._choices:
            if self.is_capturing():
                return False  # a captured stream must not compile or wait
            try:
                self._choices[key] = self._try(direction, x, logits, num_heads, timed=timed)
            except torch.OutOfMemoryError:
                return False  # no memory for a trial; the next call tries again
        return self._choices[key]

    def _try(self, direction: str, x: Tensor, logits: Tensor, num_heads: int, *, timed: bool) -> bool:
        """Whether the kernels agree with the portable form and, if timed, are faster."""
        try:
            inputs = self._noise(direction, x, logits)
            forms = [self.portable[direction], getattr(self.kernels(), direction)]
            calls = [functools.partial(form, *inputs, num_heads) for form in forms]
            expected, actual = (call() for call in calls)
            pairs = [(actual, expected)] if direction == "forward" else zip(actual, expected, strict=True)
            same = all(agree(*pair, self.tolerances[x.dtype]) for pair in pairs)
            milliseconds = self.measure(calls) if timed and same else [0.0, 0.0]
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # Triton's compiler raises many kinds
            logger.debug("CSA stays portable: %s: %s", type(error).__name__, error)
            return False
        logger.debug("CSA %s, portable and fused: %s ms, agree: %s", direction, milliseconds, same)
        return same and (not timed or milliseconds[1] < milliseconds[0])

    def _noise(self, direction: str, x: Tensor, logits: Tensor) -> list[Tensor]:
        """Make the inputs of a trial, so that the choice does not depend on the user's values."""
        generator = torch.Generator(x.device).manual_seed(0)  # the user's random state must not change
        batch = max(1, min(x.shape[0], self.windows // (logits.shape[1] * logits.shape[2])))
        C = x.shape[3]
        shapes = {"x": (batch, *x.shape[1:]), "logits": (batch, *logits.shape[1:]), "tap_weight": (9, C, C)}
        names = ["x", *shapes] if direction == "backward" else list(shapes)
        inputs = [torch.randn(shapes[name], generator=generator, device=x.device) for name in names]
        inputs[-1] *= C**-0.5
        return [tensor.to(x.dtype) for tensor in inputs]
