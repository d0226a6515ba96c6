"""Export to runtimes: one common path, one file a runtime, one gate for all."""

from lvt_core.export import litert, onnx, openvino, pt2
from lvt_core.export.common import BFLOAT16, PRECISIONS, Export, Job, Runtime, export_model
from lvt_core.export.gate import Parity, Scores

RUNTIMES = {
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
        precisions=(*PRECISIONS, BFLOAT16),
    ),
    "pt2": Runtime("model.pt2", ("torch",), pt2.convert, dynamic=False),
}

__all__ = [
    "BFLOAT16",
    "PRECISIONS",
    "RUNTIMES",
    "Export",
    "Job",
    "Parity",
    "Runtime",
    "Scores",
    "export_model",
]
