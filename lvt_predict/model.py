"""Run an exported network with numpy and its runtime alone: this module needs nothing else.

    model = load("exports/lvt_cls-onnx-fp32")
    logits, = model(model.normalize(images))     # uint8 (B, H, W, 3) in, float32 (B, classes) out

`lvt_core.export` writes the folders that are read here.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.images import COLOURS, normalize, require_finite, require_input, require_size
from lvt_predict.manifest import MANIFEST, PACKAGES, read_manifest, require_unchanged, sha256

__all__ = [
    "MANIFEST",
    "PACKAGES",
    "SESSIONS",
    "ExportedModel",
    "installed_version",
    "load",
    "read_manifest",
    "sha256",
]

ARITHMETIC = ["lvt", "arithmetic"]  # where an OpenVINO file says what it was judged in
Arrays = list[np.ndarray]
Session = Callable[[np.ndarray], Arrays]


class ExportedModel:
    """A network in a runtime.

    Args:
        folder: What `lvt export` wrote.

    Attributes:
        manifest: What ``model.json`` says: sizes, classes, preprocessing, versions, parity.

    Raises:
        UserError: A file is missing or not the one that was exported, or the runtime is not installed or
            refuses it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        if self.manifest.get("task") == "panoptic":
            raise UserError(f"{self.folder}: a panoptic network; lvt_predict.panoptic opens it")
        require_unchanged(self.folder, self.manifest)
        file, versions = self.folder / self.manifest["file"], self.manifest.get("versions", {})
        self._session = _open(self.manifest["runtime"], file, versions)

    def __call__(self, images: np.ndarray) -> Arrays:
        """Normalised images ``(B, 3, H, W)``, float32, to the network's outputs, in the manifest's order.

        Raises:
            UserError: The images have a type or size that the file was not exported for, or values that are
                not finite, or the runtime fails.
        """
        require_input(images)
        require_size(images.shape, self.manifest["input"])
        require_finite(images)
        try:
            return self._session(np.ascontiguousarray(images))
        except Exception as error:  # every runtime has exceptions of its own
            raise UserError(
                f"{self.folder}: {self.manifest['runtime']} fails on images of {images.shape}: "
                f"{reason(error)}"
            ) from error

    def normalize(self, images: np.ndarray) -> np.ndarray:
        """Bytes ``(B, H, W, 3)``, RGB, to what the network takes.

        Raises:
            UserError: They are something else, or the network takes no images.
        """
        if (channels := self.manifest["input"][1]) != COLOURS:
            raise UserError(f"{self.folder}: takes no images, but maps of {channels} channels")
        return normalize(images, self.manifest["mean"], self.manifest["std"])


def load(folder: str | Path) -> ExportedModel:
    """`ExportedModel` of a folder."""
    return ExportedModel(folder)


def installed_version(distribution: str) -> str:
    """Of an installed distribution; some runtimes come in several, as with and without a GPU."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def reason(error: Exception) -> str:
    """The first line of a runtime's exception that says something: those before it say where, and end so."""
    if isinstance(error, KeyError):
        return repr(error)  # its text is the key alone
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.endswith(":")), lines[0] if lines else repr(error))


def missing(error: ImportError, packages: str) -> str:
    """What an import lacks: a package, or something that an installed one needs."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"needs {error.name.partition('.')[0]}: pip install {packages}"  # any part may be asked for first
        )
    return f"cannot import what it needs ({packages}): {reason(error)}"


def _open(runtime: str, file: Path, versions: Mapping[str, str]) -> Session:
    package = PACKAGES[runtime]
    try:
        return SESSIONS[runtime](file)
    except ImportError as error:
        raise UserError(f"{file}: {missing(error, package)}") from error
    except UserError:
        raise
    except Exception as error:  # every runtime has exceptions of its own
        distribution = package.split()[0]
        written, here = versions.get(distribution), installed_version(distribution)
        other = (
            f" (written for {distribution} {written}, here is {here})" if written not in (None, here) else ""
        )
        raise UserError(f"{file}: {runtime} refuses it: {reason(error)}{other}") from error


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
        found = model.predict({name: images})
        return [found[output] for output in names]

    return run


def _onnx(file: Path) -> Session:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    if (cores := _cores()) < (os.cpu_count() or 1):
        options.intra_op_num_threads = cores  # its own count is of all that the machine has
    providers = onnxruntime.get_available_providers()
    session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    (name,) = (value.name for value in session.get_inputs())
    return lambda images: session.run(None, {name: images})


def import_openvino() -> Any:
    """OpenVINO without its telemetry: that reports each use to a server, from forks of the process."""
    silent: dict[str, Any] = {"openvino_telemetry": None}
    if "openvino" not in sys.modules:
        sys.modules.update(silent)
    return importlib.import_module("openvino")


@cache
def openvino_core() -> Any:
    """One for the process, kept.

    The CPU plugin gives the process a stack for its signals, and takes it away with the last core: the next
    signal, as of a child that ends, would end the process.
    """
    return import_openvino().Core()


def _openvino(file: Path) -> Session:
    core = openvino_core()
    model = core.read_model(file)
    # OpenVINO by itself takes bfloat16 wherever the processor has it. Here it computes in what was judged.
    told = model.has_rt_info(ARITHMETIC) and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precision = "bf16" if told else "f32"
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    model = core.compile_model(model, "CPU", hints)
    return lambda images: [np.array(value) for value in model(images).values()]


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _executorch(file: Path) -> Session:
    torch = importlib.import_module("torch")  # its runtime takes and gives no other tensors
    runtime = importlib.import_module("executorch.runtime").Runtime.get()
    threads = importlib.import_module("executorch.extension.pybindings.portable_lib")
    if threads._threadpool_get_thread_count() != _cores():  # it counts the machine's
        threads._unsafe_reset_threadpool(_cores())  # unsafe while another thread runs a network
    program = runtime.load_program(file.read_bytes())
    program.load_method("forward")  # what is wrong with it is told now

    def run(images: np.ndarray) -> Arrays:
        # Of the program, which keeps what the method points into.
        found = program.load_method("forward").execute((torch.from_numpy(images),))
        return [value.numpy() for value in found]

    return run


def _litert(file: Path) -> Session:
    runtime = importlib.import_module("ai_edge_litert.interpreter")
    interpreter = runtime.Interpreter(model_path=str(file), num_threads=_cores())
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    (image,) = (value["index"] for value in runner.get_input_details().values())
    # Their names are output_0, output_1, …, in no order.
    names = sorted(runner.get_output_details().items(), key=lambda item: int(item[0].rpartition("_")[2]))

    def run(images: np.ndarray) -> Arrays:
        interpreter.set_tensor(image, images)
        interpreter.invoke()
        return [interpreter.get_tensor(value["index"]) for _, value in names]

    return run


def _pt2(file: Path) -> Session:
    torch = importlib.import_module("torch")
    module = torch.export.load(file).module()

    def run(images: np.ndarray) -> Arrays:
        with torch.inference_mode():
            found = module(torch.from_numpy(images))
        values: Sequence[Any] = found if isinstance(found, (tuple, list)) else (found,)
        return [value.numpy() for value in values]

    return run


SESSIONS: dict[str, Callable[[Path], Session]] = {
    "coreml": _coreml,
    "executorch": _executorch,
    "litert": _litert,
    "onnx": _onnx,
    "openvino": _openvino,
    "pt2": _pt2,
}
