"""Export to runtimes: one common path, one file a runtime, one gate for all."""

from functools import partial

from lvt_core.export import coreml, executorch, litert, onnx, openvino, pt2
from lvt_core.export.common import BFLOAT16, PRECISIONS, Export, Job, Runtime, check_delegates, export_model
from lvt_core.export.gate import Parity, Scores

RUNTIMES = {
    "coreml": Runtime(
        "model.mlpackage",
        ("coremltools",),
        coreml.convert,
        dynamic=False,
        precisions=PRECISIONS,
        checks={"the Neural Engine": coreml.check},
        checked_by=coreml.CHECKED_BY,
    ),
    "onnx": Runtime(
        "model.onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        onnx.convert,
        dynamic=True,
        precisions=PRECISIONS,
        checks={
            "NNAPI": partial(onnx.check, estimate="check_nnapi_partitions"),
            "Core ML": partial(
                onnx.check,
                estimate="check_coreml_partitions",
                config_filename="coreml_supported_mlprogram_ops.md",
            ),
        },
    ),
    "executorch": Runtime(
        "model.pte",
        ("executorch", "torchao"),
        executorch.convert,
        dynamic=True,
        precisions=("fp32", "int8"),
        checks={"XNNPACK": executorch.check},
        largest=(4, 512),  # memory is planned for them
    ),
    "litert": Runtime(
        "model.tflite",
        ("litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
        litert.convert,
        dynamic=False,
        precisions=PRECISIONS,
        checks={"XNNPACK": litert.check},
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
    "check_delegates",
    "export_model",
]
