"""Measuring time, and describing the machine."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
import torchvision


@dataclass(frozen=True)
class Timing:
    """Times of single calls, in seconds.

    Attributes:
        seconds: Time per image, after the warm-up; at least two.
    """

    seconds: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        low, high = (statistics.quantiles(self.seconds, n=20)[i] for i in (0, -1))
        return (
            f"{1 / self.median:.3g} images/s (median {1e3 * self.median:.2f} ms, "
            f"90 % within {1e3 * low:.2f} to {1e3 * high:.2f} ms, {len(self.seconds)} images)"
        )


def seconds_of(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Measure one call, by default with the wall clock; wait for the device before and after."""
    synchronize()
    start = clock()
    function()
    synchronize()
    return clock() - start


def hardware() -> str:
    """Describe the machine and the versions that a time depends on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu_name()
    threads = "" if torch.cuda.is_available() else f", {torch.get_num_threads()} threads"
    return (
        f"{device}{threads}; torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"timm {timm.__version__}, Python {platform.python_version()}"
    )


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def synchronize() -> None:
    """Wait for the device's work, so that a clock sees it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
