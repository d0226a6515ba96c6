"""LiteRT (TensorFlow Lite), by litert-torch; int8 and float16 by AI Edge Quantizer."""

from __future__ import annotations

from pathlib import Path

from lvt_core.export.common import Job


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.tflite``.

    Raises:
        ImportError: litert-torch or AI Edge Quantizer is not installed.
    """
    import litert_torch

    (example,) = job.program.example_inputs[0]
    litert_torch.convert(job.program.module(), (example,)).export(str(file))
