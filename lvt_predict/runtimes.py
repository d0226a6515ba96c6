"""The runtimes. Each opens a file as a function from images to outputs.

Several threads may call such a function at the same time. Where a runtime does not support that, a lock
makes them take turns.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ARITHMETIC = ["lvt", "arithmetic"]  # place in an OpenVINO file of the type that the export was checked in
Arrays = list[np.ndarray]
Session = Callable[[np.ndarray], Arrays]

_core_lock = threading.Lock()


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which reports each use to a server from forked processes."""
    silent: dict[str, Any] = {"openvino_telemetry": None}
    if "openvino" not in sys.modules:
        sys.modules.update(silent)
    return importlib.import_module("openvino")


def openvino_core() -> Any:
    """Return the process's only Core.

    The CPU plugin gives the process a stack for its signal handlers and removes it with the last Core.
    Without that stack the next signal, for example a child's end, would crash the process.
    """
    with _core_lock:
        return _openvino_core()


@cache
def _openvino_core() -> Any:
    return import_openvino().Core()


def _coreml(file: Path) -> Session:
    program = importlib.import_module("lvt_predict.coreml_interpreter.program")
    if sys.platform != "darwin":
        return program.read_program(file)
    with program.quiet():
        models = importlib.import_module("coremltools.models")
    model = models.MLModel(str(file))
    (name,) = (value.name for value in model.get_spec().description.input)
    names = [value.name for value in model.get_spec().description.output]

    def run(images: np.ndarray) -> Arrays:
        outputs = model.predict({name: images})
        return [outputs[output] for output in names]

    return _in_turns(run)


def _onnx(file: Path) -> Session:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    if (cores := _cores()) < (os.cpu_count() or 1):
        options.intra_op_num_threads = cores  # the default counts all cores of the machine
    providers = onnxruntime.get_available_providers()
    session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    (name,) = (value.name for value in session.get_inputs())
    return lambda images: session.run(None, {name: images})


def _openvino(file: Path) -> Session:
    core = openvino_core()
    model = core.read_model(file)
    # OpenVINO would choose bfloat16 on every processor that has it; the file says which type was checked.
    in_bfloat16 = model.has_rt_info(ARITHMETIC) and "BF16" in core.get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    )
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if in_bfloat16 else "f32",
    }
    if model.is_dynamic():
        # Kernels compiled for a first, small image give wrong values on larger ones (2026.4).
        hints["SNIPPETS_MODE"] = "DISABLE"
    compiled = core.compile_model(model, "CPU", hints)
    requests = threading.local()  # two threads in one request would get each other's outputs

    def run(images: np.ndarray) -> Arrays:
        if not hasattr(requests, "request"):
            requests.request = compiled.create_infer_request()
        return [np.array(value) for value in requests.request.infer([images]).values()]

    return run


def _executorch(file: Path) -> Session:
    torch = importlib.import_module("torch")  # ExecuTorch's runtime takes and returns PyTorch's tensors
    runtime = importlib.import_module("executorch.runtime").Runtime.get()
    threads = importlib.import_module("executorch.extension.pybindings.portable_lib")
    if threads._threadpool_get_thread_count() != _cores():  # the default counts all cores of the machine
        threads._unsafe_reset_threadpool(_cores())  # unsafe while another thread runs a network
    program = runtime.load_program(file.read_bytes())
    program.load_method("forward")  # raises now if the file is broken

    def run(images: np.ndarray) -> Arrays:
        # The program must outlive its method, which points into it.
        outputs = program.load_method("forward").execute((torch.from_numpy(images),))
        return [value.numpy().copy() for value in outputs]

    return _in_turns(run)


def _litert(file: Path) -> Session:
    runtime = importlib.import_module("ai_edge_litert.interpreter")
    interpreter = runtime.Interpreter(model_path=str(file), num_threads=_cores())
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    (image,) = (value["index"] for value in runner.get_input_details().values())
    # Outputs are called output_0, output_1, … and are listed in any order.
    names = sorted(runner.get_output_details().items(), key=lambda item: int(item[0].rpartition("_")[2]))

    def run(images: np.ndarray) -> Arrays:
        interpreter.set_tensor(image, images)
        interpreter.invoke()
        return [interpreter.get_tensor(value["index"]) for _, value in names]

    return _in_turns(run)


def _pt2(file: Path) -> Session:
    torch = importlib.import_module("torch")
    module = torch.export.load(file).module()

    def run(images: np.ndarray) -> Arrays:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(images))
        values: Sequence[Any] = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        return [value.numpy() for value in values]

    return run


def _in_turns(run: Session) -> Session:
    """Let only one thread at a time run a network."""
    lock = threading.Lock()

    def locked(images: np.ndarray) -> Arrays:
        with lock:
            return run(images)

    return locked


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Runtimes whose files can run any code: PyTorch unpickles parts of a program, and evaluates its sizes.
EXECUTING = frozenset({"pt2"})

SESSIONS: dict[str, Callable[[Path], Session]] = {
    "coreml": _coreml,
    "executorch": _executorch,
    "litert": _litert,
    "onnx": _onnx,
    "openvino": _openvino,
    "pt2": _pt2,
}
