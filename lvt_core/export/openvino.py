"""OpenVINO, from the same ONNX graph."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lvt_core.export import onnx
from lvt_core.export.common import Job


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.xml`` and ``.bin``.

    Raises:
        ImportError: OpenVINO or the ONNX exporter is not installed.
    """
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder, "model.onnx")
        onnx.convert(job, graph)
        openvino.save_model(openvino.convert_model(graph), file, compress_to_fp16=False)
