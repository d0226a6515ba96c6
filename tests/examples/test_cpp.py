"""Tests of the C++ example: built by its README's commands, it classifies as the network in Python does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lvt_core  # noqa: F401  (registers lvt_cls with timm)
from lvt_core.export import RUNTIMES, Export, Job, export_model
from lvt_core.export.write import make_program
from lvt_predict.sample import photograph

pytest.importorskip("executorch")
pytestmark = pytest.mark.slow  # compiling takes most of the time

SOURCE = Path(__file__).parents[2] / "examples" / "cpp"
SIZE = (40, 71)
CLASSES = ["cat", "dog", "red fox", "fish", "crow"]
SMALL = {
    "embed_dims": (16, 16, 16, 16),
    "num_heads": (2, 2, 2, 2),
    "depths": (1, 1, 1, 1),
    "mlp_ratios": (2, 2, 2, 2),
    "num_classes": len(CLASSES),
}


RUNTIME = RUNTIMES["executorch"]
EXPORT = Export("lvt_cls", SIZE, classes=CLASSES)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model("lvt_cls", **SMALL).eval()
    model.backbone.stages = model.backbone.stages[:1]  # four stages would take four times as long to export
    model.class_blocks = model.class_blocks[:1]
    nn.init.normal_(model.head.weight, std=0.5)  # the default weights give nearly equal probabilities
    return model


@pytest.fixture(scope="module")
def exported(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("executorch") / "file"
    export_model(model, EXPORT, RUNTIME, folder)
    return folder


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the example; a warning is an error."""
    if not shutil.which("c++"):
        pytest.skip("needs a C++ compiler: apt install g++")
    place = tmp_path_factory.mktemp("cpp")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    assert shutil.which("cmake", path=path), "needs CMake: pip install cmake"
    cores = str(os.cpu_count() or 1)
    variables = os.environ | {"PATH": path, "CXXFLAGS": "-Werror", "CMAKE_BUILD_PARALLEL_LEVEL": cores}
    commands = re.findall(r"^cmake .+$", (SOURCE / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        command = command.replace("examples/cpp", str(SOURCE))
        done = subprocess.run(command, shell=True, cwd=place, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return place / "build" / "classify"


def _run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)


def _probabilities(output: str) -> dict[str, float]:
    lines = re.findall(r"^(\d\.\d{6})  (.+)$", output, re.MULTILINE)
    return {name: float(value) for value, name in lines}


def _picture(height: int, width: int) -> np.ndarray:
    """Make bytes ``(height, width, 3)`` with a photograph's spectrum."""
    planes = photograph(1, height, width, seed=height)[0].transpose(1, 2, 0)
    return (planes * 60 + 128).clip(0, 255).astype(np.uint8)


def _write_ppm(file: Path, pixels: np.ndarray) -> Path:
    height, width, _ = pixels.shape
    file.write_bytes(f"P6\n# 1 1 255\n{width} {height}\n255\n".encode() + pixels.tobytes())
    return file


def _expected(model: nn.Module, pixels: np.ndarray, manifest: Path, *, antialias: bool = True) -> np.ndarray:
    """Compute the probabilities of a picture that PyTorch crops and resizes."""
    statistics = json.loads(manifest.read_text())
    mean, std = (torch.tensor(statistics[name]).view(3, 1, 1) for name in ("mean", "std"))
    height, width, _ = pixels.shape
    rows, columns = min(height, width * SIZE[0] // SIZE[1]), min(width, height * SIZE[1] // SIZE[0])
    top, left = (height - rows) // 2, (width - columns) // 2
    box = torch.from_numpy(pixels)[top : top + rows, left : left + columns].permute(2, 0, 1)[None].float()
    resized = F.interpolate(box, SIZE, mode="bilinear", antialias=antialias)
    with torch.inference_mode():
        return model((resized / 255 - mean) / std).softmax(dim=1)[0].numpy()


@pytest.mark.parametrize("size", [SIZE, (20, 30), (123, 301), (333, 50)])
def test_classifies_as_the_model_does(
    size: tuple[int, int], model: nn.Module, exported: Path, program: Path, tmp_path: Path
) -> None:
    pixels = _picture(*size)
    done = _run(program, exported, _write_ppm(tmp_path / "a.ppm", pixels), "--top", 9)
    assert (done.returncode, done.stderr) == (0, "")
    probabilities = _probabilities(done.stdout)
    assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
    expected = _expected(model, pixels, exported / "model.json")
    np.testing.assert_allclose([probabilities[name] for name in CLASSES], expected, rtol=0, atol=1e-4)
    if size == (123, 301):  # another crop, colour order or resize exceeds the tolerance
        for other in (pixels[:, 20:], pixels[..., ::-1].copy()):
            assert np.abs(_expected(model, other, exported / "model.json") - expected).max() > 1e-3
        plain = _expected(model, pixels, exported / "model.json", antialias=False)
        assert np.abs(plain - expected).max() > 1e-3


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return _write_ppm(tmp_path / "image.ppm", _picture(*SIZE))


def test_prints_the_best_classes_and_the_time(exported: Path, program: Path, image: Path) -> None:
    every = _probabilities(_run(program, exported, image).stdout)
    done = _run(program, exported, image, "--top", 2, "--repeat", 3, "--one-thread")
    *best, time = done.stdout.splitlines()
    assert _probabilities("\n".join(best)) == dict(list(every.items())[:2])
    assert re.fullmatch(r"\d+\.\d{3} ms, median of 3", time)


def test_prints_numbers_of_classes_without_names(
    exported: Path, program: Path, image: Path, tmp_path: Path
) -> None:
    names = list(_probabilities(_run(program, exported, image).stdout))
    folder = _changed(exported, tmp_path, lambda manifest: manifest.update(classes=None))
    numbers = list(_probabilities(_run(program, folder, image).stdout))
    assert numbers == [f"class {CLASSES.index(name)}" for name in names]


def _changed(exported: Path, place: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Copy an export and change its ``model.json``."""
    folder = place / "changed"
    shutil.copytree(exported, folder)
    manifest = json.loads((folder / "model.json").read_text())
    change(manifest)
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder


def _assert_rejected(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"error: .*{sentence}\n", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"P5 2 2 255\n1234", "is not a binary PPM \\(P6\\)"),
        (b"", "is not a binary PPM \\(P6\\)"),
        (b"P6 2 2 255\n12345678901", "is cut off: has 11 of 12 bytes"),
        (b"P6 60000 60000 255\n12", "is cut off: has 2 of 10800000000 bytes"),
        (b"P6 2 2 255", "is cut off: has 0 of 12 bytes"),
        (b"P6 2 0 255\n", "its sides must be 1 to 65536 pixels"),
        (b"P6 2 99999999999 255\n", "its sides must be 1 to 65536 pixels"),
        (b"P6 2", "its sides must be 1 to 65536 pixels"),
        (
            b"P6 2 2 65535\n12345678901234567890123",
            "must have 8 bits per colour",
        ),
    ],
)
def test_rejects_images(content: bytes, sentence: str, exported: Path, program: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.ppm"
    file.write_bytes(content)
    _assert_rejected(_run(program, exported, file), f"bad.ppm: {sentence}")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda manifest: manifest.pop("mean"), "has no mean; lvt export writes it"),
        (lambda manifest: manifest.update(std=[1, 2]), "std is \\[1,2\\]: must be three positive numbers"),
        (lambda manifest: manifest.update(std=[1, 0, 1]), "std is .*: must be three positive numbers"),
        (lambda manifest: manifest.update(mean=[0, True, 0]), "mean is .*: must be three numbers"),
        (lambda manifest: manifest.update(mean=[0, 1e300, 0]), "mean is .*: must be three numbers"),
        (lambda manifest: manifest.update(runtime="onnx"), 'runtime is "onnx": must be executorch'),
        (lambda manifest: manifest.update(input=[[1, 4], 3, [32, 99], [32, 99]]), "input is .*: must be .*"),
        (lambda manifest: manifest.update(input=[2, 3, *SIZE]), "input is .*: must be .*"),
        (lambda manifest: manifest.update(input=[1.5, 3, 40.9, 71]), "input is .*: must be .*"),
        (lambda manifest: manifest.update(input=[1, 3, 40.0, 71]), "input is .*: must be .*"),
        (lambda manifest: manifest.update(input=[1, 3, True, 71]), "input is .*: must be .*"),
        (lambda manifest: manifest.update(input=[1, 3, 2**32 + 40, 71]), "input is .*: must be .*"),
        (lambda manifest: manifest.update(input=[1, 3, 2**64 - 1, 71]), "input is .*: must be .*"),
        (lambda manifest: manifest.update(input=[1, 3, 100000, 100000]), "each side 1 to 8192, .*"),
        (lambda manifest: manifest.update(input=[1, 3, 41, 71]), "ExecuTorch rejects it: .*41, 71.*"),
        (lambda manifest: manifest.update(classes=["cat"]), "gives 5 numbers for 1 classes"),
        (lambda manifest: manifest.update(file="no.pte"), "cannot read .*no.pte"),
    ],
)
def test_rejects_manifests(
    change: Callable[[dict[str, Any]], object],
    sentence: str,
    exported: Path,
    program: Path,
    image: Path,
    tmp_path: Path,
) -> None:
    _assert_rejected(_run(program, _changed(exported, tmp_path, change), image), sentence)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.99])
def test_rejects_broken_networks(
    part: float, exported: Path, program: Path, image: Path, tmp_path: Path
) -> None:
    file = _changed(exported, tmp_path, lambda manifest: None) / "model.pte"
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    _assert_rejected(_run(program, file.parent, image), "model.pte: ExecuTorch rejects it: .+")
    file.write_bytes(bytes(255 - byte for byte in content))
    _assert_rejected(_run(program, file.parent, image), "model.pte: ExecuTorch rejects it: .+")


def test_rejects_outputs_that_are_not_logits(
    exported: Path, program: Path, image: Path, tmp_path: Path
) -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return x, x * 2

    class Nowhere(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.mean(dim=(2, 3)) - 9).log()

    folder = _changed(exported, tmp_path, lambda manifest: manifest.update(classes=None))
    for network, sentence in (
        (nn.ReLU(), "is not a classifier; its output must be float32 \\(1, classes\\)"),
        (Twice(), "gives more than one tensor"),
        (Nowhere(), "gives numbers that are not finite"),
    ):
        RUNTIME.convert(Job(make_program(network, EXPORT), EXPORT), folder / "model.pte")
        _assert_rejected(_run(program, folder, image), f"model.pte: {sentence}")


def test_rejects_arguments(exported: Path, program: Path, image: Path, tmp_path: Path) -> None:
    for arguments, sentence in (
        ([exported], "FOLDER IMAGE.ppm: both are required; --help .*"),
        ([exported, image, "--top"], "--top: requires a number"),
        ([exported, image, "--top", 0], "--top 0: must be a whole number of at least 1"),
        ([exported, image, "--repeat", "2x"], "--repeat 2x: must be a whole number of at least 1"),
        ([exported, image, "--size"], "--size: unknown option; --help lists all options"),
        ([exported, tmp_path / "no.ppm"], "cannot read .*no.ppm"),
        ([exported, tmp_path], f"cannot read {tmp_path}"),
        ([tmp_path, image], "cannot read .*model.json"),
    ):
        _assert_rejected(_run(program, *arguments), sentence)
    broken = _changed(exported, tmp_path, lambda manifest: None)
    (broken / "model.json").write_text("{")
    _assert_rejected(_run(program, broken, image), "model.json: is not JSON")
    assert _run(program, "--help").stdout.startswith("usage: classify FOLDER IMAGE.ppm")
