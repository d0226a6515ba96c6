"""The table of runtimes: what each one needs and supports."""

from functools import partial

from lvt_core.export.job import BFLOAT16, PRECISIONS, Runtime
from lvt_core.export.runtimes import coreml, executorch, litert, onnx, openvino, pt2

_RUNTIMES = (
    Runtime(
        "coreml",
        "model.mlpackage",
        ("coremltools",),
        coreml.convert,
        dynamic=False,
        precisions=PRECISIONS,
        activations=("float",),
        checked_by=coreml.CHECKED_BY,
    ),
    Runtime(
        "onnx",
        "model.onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        onnx.convert,
        dynamic=True,
        precisions=PRECISIONS,
        delegates={
            "NNAPI": partial(onnx.delegation, estimate="check_nnapi_partitions"),
            "Core ML": partial(
                onnx.delegation,
                estimate="check_coreml_partitions",
                config_filename="coreml_supported_mlprogram_ops.md",
            ),
        },
        quantize=onnx.quantize,
        activations=("static", "dynamic"),
        opsets=onnx.OPSETS,
    ),
    Runtime(
        "executorch",
        "model.pte",
        ("executorch", "torchao"),
        executorch.convert,
        dynamic=True,
        precisions=("fp32", "int8"),
        delegates={"XNNPACK": executorch.delegation},
        activations=("static", "dynamic"),
        largest=(4, 512),  # its memory is planned for these
    ),
    Runtime(
        "litert",
        "model.tflite",
        ("litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
        litert.convert,
        dynamic=False,
        precisions=PRECISIONS,
        delegates={"XNNPACK": litert.delegation},
        quantize=litert.quantize,
    ),
    Runtime(
        "openvino",
        "model.xml",
        ("openvino", "nncf", "onnx", "onnxscript", "onnxruntime"),
        openvino.convert,
        dynamic=True,
        precisions=(*PRECISIONS, BFLOAT16),
        quantize=openvino.quantize,
        activations=("static", "float"),
    ),
    Runtime("pt2", "model.pt2", ("torch",), pt2.convert, dynamic=False),
)
RUNTIMES = {runtime.name: runtime for runtime in _RUNTIMES}
