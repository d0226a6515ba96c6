"""PyTorch's own exported program; runs in PyTorch."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from lvt_core.export.job import Job


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.pt2``."""
    written = io.BytesIO()  # PyTorch's own message about a full disk has pages
    torch.export.save(job.program, written)
    file.write_bytes(written.getbuffer())
