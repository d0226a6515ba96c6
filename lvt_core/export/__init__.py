"""Export to runtimes: one common path, one file a runtime, one gate for all."""

from lvt_core.export import coreml, litert, onnx, openvino, pt2
from lvt_core.export.common import PRECISIONS, Export, Job, Runtime, export_model
from lvt_core.export.gate import Parity, Scores

RUNTIMES = {
    "coreml": Runtime(
        "model.mlpackage",
        ("coremltools",),
        coreml.convert,
        dynamic=False,
        precisions=PRECISIONS,
        checked_by=coreml.CHECKED_BY,
    ),
    "onnx": Runtime(
        "model.onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        onnx.convert,
        dynamic=True,
        precisions=PRECISIONS,
    ),
    "litert": Runtime(
        "model.tflite",
        ("litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
        litert.convert,
        dynamic=False,
        precisions=PRECISIONS,
    ),
    "openvino": Runtime(
        "model.xml",
        ("openvino", "onnx", "onnxscript", "onnxruntime"),
        openvino.convert,
        dynamic=True,
        precisions=PRECISIONS,
    ),
    "pt2": Runtime("model.pt2", ("torch",), pt2.convert, dynamic=False),
}

__all__ = ["PRECISIONS", "RUNTIMES", "Export", "Job", "Parity", "Runtime", "Scores", "export_model"]
