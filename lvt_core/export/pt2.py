"""PyTorch's own exported program; runs in PyTorch."""

from __future__ import annotations

from pathlib import Path

import torch


def convert(program: torch.export.ExportedProgram, file: Path) -> None:
    """Write a program as ``.pt2``."""
    torch.export.save(program, file)
