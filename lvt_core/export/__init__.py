"""Export to runtimes: one common path, one file a runtime, one gate for all."""

from lvt_core.export import litert, onnx, openvino, pt2
from lvt_core.export.common import PRECISIONS, Export, Job, Runtime, export_model
from lvt_core.export.gate import Parity, Scores

RUNTIMES = {
    "onnx": Runtime(
        "model.onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        onnx.convert,
        dynamic=True,
        precisions=PRECISIONS,
        quantize=onnx.quantize,
        activations=("static", "dynamic"),
    ),
    "litert": Runtime(
        "model.tflite",
        ("litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
        litert.convert,
        dynamic=False,
        precisions=PRECISIONS,
        quantize=litert.quantize,
    ),
    "openvino": Runtime(
        "model.xml",
        ("openvino", "onnx", "onnxscript", "onnxruntime"),
        openvino.convert,
        dynamic=True,
        precisions=PRECISIONS,
        quantize=openvino.quantize,
        activations=("static", "float"),
    ),
    "pt2": Runtime("model.pt2", ("torch",), pt2.convert, dynamic=False),
}

__all__ = ["PRECISIONS", "RUNTIMES", "Export", "Job", "Parity", "Runtime", "Scores", "export_model"]
