"""ONNX, by PyTorch's exporter; runs in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import torch

from lvt_core.export.common import Job

OPSET = 20  # GELU is one operator from there on


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.onnx``, weights inside.

    Raises:
        ImportError: The exporter's packages are not installed.
    """
    import onnx  # noqa: F401  (missing packages are told before any work)
    import onnxruntime  # noqa: F401
    import onnxscript  # noqa: F401

    torch.onnx.export(
        job.program,
        (),
        file,
        dynamo=True,
        opset_version=OPSET,
        external_data=False,
        optimize=True,
        verbose=False,
    )
