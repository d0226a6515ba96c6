"""How much memory a call takes."""

from __future__ import annotations

from collections.abc import Callable

import torch


def peak_megabytes(call: Callable[[], object]) -> float:
    """Largest memory in use during a second call, beyond what was there before it, in MiB."""
    call()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with torch.profiler.profile(profile_memory=True) as profile:
        call()
    in_use = peak = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            in_use += event.nbytes()
            peak = max(peak, in_use)
    return peak / 2**20
