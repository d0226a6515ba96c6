"""Run an exported network with numpy and its runtime alone: this module needs nothing else.

    model = load("exports/lvt_cls-onnx-fp32")
    logits, = model(model.normalize(images))     # uint8 (B, H, W, 3) in, float32 (B, classes) out

`lvt_core.export` writes the folders that are read here.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from lvt_core.errors import UserError

MANIFEST = "model.json"
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
            raise UserError(f"{self.folder}: a panoptic network; lvt_core.predict_panoptic opens it")
        for name, expected in self.manifest["sha256"].items():
            if sha256(self.folder / name) != expected:
                raise UserError(f"{self.folder / name}: not the file that was exported (its SHA-256 differs)")
        runtime = self.manifest["runtime"]
        if runtime not in SESSIONS:
            raise UserError(f"{self.folder / MANIFEST}: runtime {runtime!r}; known are {', '.join(SESSIONS)}")
        self._session = _open(runtime, self.folder / self.manifest["file"], self.manifest.get("versions", {}))

    def __call__(self, images: np.ndarray) -> Arrays:
        """Normalised images ``(B, 3, H, W)``, float32, to the network's outputs, in the manifest's order.

        Raises:
            UserError: The images have a type or size that the file was not exported for, or the runtime
                fails.
        """
        if images.dtype != np.float32 or images.ndim != 4:
            found = f"{images.dtype} {images.shape}"
            raise UserError(f"images are {found}: they must be float32 (batch, channels, height, width)")
        for name, length, allowed in zip(
            ("batch", "channels", "height", "width"), images.shape, self.manifest["input"], strict=True
        ):
            low, high = allowed if isinstance(allowed, list) else (allowed, allowed)
            if not low <= length <= high:
                expected = low if low == high else f"{low} to {high}"
                raise UserError(f"images have {name} {length}: this file takes {expected}")
        try:
            return self._session(np.ascontiguousarray(images))
        except Exception as error:  # every runtime has exceptions of its own
            reason = str(error).strip().splitlines()
            raise UserError(
                f"{self.folder}: {self.manifest['runtime']} fails on images of {images.shape}: "
                f"{reason[0] if reason else error!r}"
            ) from error

    def normalize(self, images: np.ndarray) -> np.ndarray:
        """Bytes ``(B, H, W, 3)``, RGB, to what the network takes."""
        mean, std = (np.asarray(self.manifest[key], dtype=np.float32) for key in ("mean", "std"))
        scaled = images.astype(np.float32) / 255
        return np.ascontiguousarray(((scaled - mean) / std).transpose(0, 3, 1, 2))


def load(folder: str | Path) -> ExportedModel:
    """`ExportedModel` of a folder."""
    return ExportedModel(folder)


def sha256(file: Path) -> str:
    """Of a file's bytes.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """An exported folder's ``model.json``.

    Raises:
        UserError: There is none, or it is not one that `lvt export` writes.
    """
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text())
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{file}: not JSON ({error})") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{file}: holds no object; `lvt export` writes it")
    missing = [key for key in ("runtime", "file", "sha256", "input", "mean", "std") if key not in manifest]
    if missing:
        raise UserError(f"{file}: has no {', '.join(missing)}; `lvt export` writes it")
    return manifest


def installed_version(distribution: str) -> str:
    """Of an installed distribution; some runtimes come in several, as with and without a GPU."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _open(runtime: str, file: Path, versions: Mapping[str, str]) -> Session:
    package = PACKAGES[runtime]
    try:
        return SESSIONS[runtime](file)
    except ImportError as error:
        raise UserError(f"{file}: needs {error.name}: pip install {package}") from error
    except UserError:
        raise
    except Exception as error:  # every runtime has exceptions of its own
        reason = str(error).strip().splitlines()
        distribution = package.split()[0]
        written, here = versions.get(distribution), installed_version(distribution)
        other = (
            f" (written for {distribution} {written}, here is {here})" if written not in (None, here) else ""
        )
        raise UserError(f"{file}: {runtime} refuses it: {reason[0] if reason else error!r}{other}") from error


def _coreml(file: Path) -> Session:
    program = importlib.import_module("lvt_core.predict_coreml")
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
PACKAGES = {
    "coreml": "coremltools",
    "executorch": "executorch torch",
    "litert": "ai-edge-litert",
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "pt2": "torch",
}
