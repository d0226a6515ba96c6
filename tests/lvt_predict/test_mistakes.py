"""Mistakes with exported networks end in one sentence: files, ``model.json``, images, imports."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, export_model
from lvt_core.export.folder import require_replaceable
from lvt_core.export.job import report_missing_packages
from lvt_predict import sample as predict_sample
from lvt_predict.model import ExportedModel, load, reason
from lvt_predict.runtimes import SESSIONS
from tests.small import check_rejected

SIZE = (32, 40)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "file"
    export_model(nn.Conv2d(3, 4, 3), Export("conv", SIZE), RUNTIMES["openvino"], folder)
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "file")


def _change(folder: Path, **fields: Any) -> None:
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(manifest | fields))


def test_reports_openvinos_own_reason(folder: Path) -> None:
    weights, program = ((folder / name).read_bytes() for name in ("model.bin", "model.xml"))
    message = "model.xml: openvino rejects it: Incorrect weights in bin file!"
    check_rejected(folder, "model.bin", [b"", weights[:100]], message)
    (folder / "model.bin").write_bytes(weights)
    check_rejected(folder, "model.xml", [program[:1000]], "rejects it: .+ at offset")
    check_rejected(folder, "model.xml", [b""], "rejects it: Unable to read the model: ")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            RuntimeError("Exception from a.cpp:84:\nCheck 'x' failed at b.cpp:9:\n\nno weights\n"),
            "no weights",
        ),
        (RuntimeError("one thing\nand more"), "one thing"),
        (RuntimeError("Exception from a.cpp:84:"), "Exception from a.cpp:84:"),
        (RuntimeError(), "RuntimeError()"),
        (KeyError("items"), "KeyError('items')"),
    ],
)
def test_reports_the_first_informative_line(error: Exception, line: str) -> None:
    assert reason(error) == line


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("runtime", "tensorrt", 'runtime is "tensorrt": must be one of coreml, executorch, litert, onnx'),
        ("runtime", ["onnx"], r'runtime is \["onnx"\]: must be one of'),
        ("runtime", None, "runtime is null: must be one of"),
        ("file", "", 'file is "": must be the name of a file in this folder'),
        ("file", ".", 'file is ".": must be the name'),
        ("file", 3, "file is 3: must be the name"),
        ("file", "/etc/passwd", "file is .*: must be the name"),
        ("file", "../file/model.xml", "file is .*: must be the name"),
        ("file", "other.xml", "sha256 has no entry for other.xml"),
        ("sha256", None, "sha256 is null: must be the SHA-256 of each file"),
        ("sha256", ["model.xml"], "sha256 is .*: must be the SHA-256"),
        ("sha256", {"model.xml": None}, "sha256 is .*: must be the SHA-256"),
        ("sha256", {"../a": "0"}, "sha256 is .*: must be the SHA-256"),
        ("sha256", {}, "sha256 has no entry for model.xml"),
        ("sha256", {"model.xml": "0"}, "sha256 has no entry for model.bin"),
        ("sha256", {"model.xml": "0", "model.bin": "0", "a\0": "0"}, "model.xml: not the file that was exp"),
        ("sha256", {"a\0": "0", "model.xml": "0", "model.bin": "0"}, "cannot read .*null"),
        ("input", [1, 3, 32], r"input is \[1, 3, 32\]: must be batch, channels, height and width"),
        ("input", [1, 3, 32, 0], "input is .*: must be batch"),
        ("input", [1, 3, 32, 40.0], "input is .*: must be batch"),
        ("input", [True, 3, 32, 40], "input is .*: must be batch"),
        ("input", [1, 3, [40, 32], 40], "input is .*: must be batch"),
        ("input", [1, 3, [1, 2, 3], 40], "input is .*: must be batch"),
        ("input", "1334", "input is .*: must be batch"),
        ("mean", None, "mean is null: must be a number for each channel"),
        ("mean", ["0", 0, 0], "mean is .*: must be a number for each channel"),
        ("mean", [0, 0], r"mean is \[0, 0\]: must be 3 numbers"),
        ("mean", [float("nan"), 0, 0], "mean is .*: must be a number"),
        ("mean", [10**400, 0, 0], "mean is .*: must be a number"),
        ("std", [0, 1, 1], r"std is \[0, 1, 1\]: must be a positive number for each channel"),
        ("std", [-1, 1, 1], "std is .*: must be a positive number"),
        ("std", [float("inf"), 1, 1], "std is .*: must be a positive number"),
        ("versions", None, "versions is null: must be each package's version"),
        ("versions", {"torch": 2}, "versions is .*: must be each package's version"),
    ],
)
def test_manifests_are_checked(folder: Path, field: str, value: Any, message: str) -> None:
    _change(folder, **{field: value})
    with pytest.raises(UserError, match=message):
        ExportedModel(folder)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"[]", b"3"])
def test_manifests_are_objects(folder: Path, content: bytes) -> None:
    (folder / "model.json").write_bytes(content)
    with pytest.raises(UserError, match="model.json: (not JSON|must hold a JSON object)"):
        ExportedModel(folder)


@pytest.mark.parametrize("sums", [None, ["model.xml"], {"model.xml": 1}])
def test_a_folder_without_checksums_is_not_replaced(folder: Path, sums: Any) -> None:
    _change(folder, sha256=sums)
    with pytest.raises(UserError, match=r"already exists, and not only as an export \(.*sha256 is"):
        require_replaceable(folder)


def _sample(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["sample"].update(fields)


def _output(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["sample"]["outputs"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.update(precision="fp8"), 'precision is "fp8": must be one of fp32, fp16'),
        (lambda manifest: manifest.update(precision=["fp32"]), "precision is .*: must be one of fp32, fp16"),
        (lambda manifest: manifest.pop("precision"), "has no precision; `lvt export` writes it"),
        (lambda manifest: manifest.update(sample=None), "has no sample; `lvt export` writes it"),
        (lambda manifest: manifest.update(sample=[1]), "sample is .*: must be an object"),
        (lambda manifest: manifest["sample"].pop("outputs"), "has no sample.outputs"),
        (_sample(seed="a"), 'sample.seed is "a": must be a whole number'),
        (_sample(seed=-1), "sample.seed is -1: must be a whole number"),
        (_sample(input=[1, 3, 32]), "sample.input is .*: must be four positive whole numbers"),
        (_sample(input=[1, 3, 10**6, 10**6]), "images have height 1000000: this file supports 32"),
        (_sample(outputs=[]), "sample.outputs is .*: must be shape, largest and values"),
        (_output(shape=None), "sample.outputs is .*: must be shape"),
        (_output(largest=float("nan")), "sample.outputs is .*: must be shape"),
        (_output(values=[1.0]), "sample.outputs is .*: must be shape"),
        (_output(values=["a"] * 64), "sample.outputs is .*: must be shape"),
    ],
)
def test_samples_are_checked(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["predict_sample", str(folder)])
    predict_sample.main()
    manifest = json.loads((folder / "model.json").read_text())
    change(manifest)
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=message):
        predict_sample.main()


BYTES = np.zeros((1, *SIZE, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "described"),
    [
        (BYTES.astype(np.float32), r"float32 \(1, 32, 40, 3\)"),
        (BYTES.astype(np.uint16), "uint16"),
        (BYTES.astype(bool), "bool"),
        (BYTES[0], r"uint8 \(32, 40, 3\)"),
        (np.zeros((1, *SIZE, 4), np.uint8), r"uint8 \(1, 32, 40, 4\)"),
        (BYTES.transpose(0, 3, 1, 2), r"uint8 \(1, 3, 32, 40\)"),
        (BYTES.tolist(), "a list"),
        (torch.from_numpy(BYTES), "a Tensor"),
        (None, "a NoneType"),
    ],
)
def test_normalises_only_bytes(exported: Path, images: Any, described: str) -> None:
    model = load(exported)
    with pytest.raises(
        UserError, match=rf"images are {described}.*: they must be uint8 \(batch, height, width, 3"
    ):
        model.normalize(images)
    with pytest.raises(UserError, match=r"must not be empty"):
        model.normalize(BYTES[:0])
    model.manifest["input"][1] = 256
    with pytest.raises(UserError, match="takes maps of 256 channels, not images"):
        model.normalize(BYTES)


@pytest.mark.parametrize(
    "images", [None, [[0.0]], torch.zeros(1, 3, *SIZE), np.zeros((3, *SIZE), np.float32)]
)
def test_runs_only_float32_batches(exported: Path, images: Any) -> None:
    with pytest.raises(UserError, match=r"images are .*: they must be float32 \(batch, channels"):
        load(exported)(images)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(exported: Path, value: float) -> None:
    model = load(exported)
    images = model.normalize(BYTES)
    images[0, 1, 2, 3] = value
    with pytest.raises(UserError, match="images have values that are NaN or infinite"):
        model(images)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ImportError("libcuda.so.12: cannot open"),
            r"cannot import what it needs \(.*\): libcuda.so.12: can",
        ),
        (ImportError("b.so: undefined symbol: f", name="b", path="b.so"), "cannot import .*: undefined sym"),
        (ModuleNotFoundError("No module named 'b'", name="b"), "needs b: pip install .*openvino"),
    ],
)
def test_imports_that_fail_say_why(
    exported: Path, error: ImportError, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: Path) -> Any:
        raise error

    monkeypatch.setitem(SESSIONS, "openvino", fail)
    with pytest.raises(UserError, match=f"model.xml: {message}"):
        load(exported)
    with (
        pytest.raises(UserError, match=f"--to openvino: {message}"),
        report_missing_packages(RUNTIMES["openvino"]),
    ):
        raise error
