"""PyTorch's own exported program; runs in PyTorch."""

from __future__ import annotations

from pathlib import Path

import torch

from lvt_core.export.job import Job


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.pt2``."""
    torch.export.save(job.program, file)
