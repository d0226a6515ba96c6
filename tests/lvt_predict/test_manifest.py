"""Every field of ``model.json`` is checked; a wrong one ends in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lvt_core.errors import UserError
from lvt_core.export.folder import require_replaceable
from lvt_predict.model import ExportedModel
from tests.lvt_predict.exports import change


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
def test_rejects_wrong_fields(folder: Path, field: str, value: Any, message: str) -> None:
    change(folder, **{field: value})
    with pytest.raises(UserError, match=message):
        ExportedModel(folder, trust=True)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"[]", b"3"])
def test_rejects_files_that_hold_no_json_object(folder: Path, content: bytes) -> None:
    (folder / "model.json").write_bytes(content)
    with pytest.raises(UserError, match="model.json: (not JSON|must hold a JSON object)"):
        ExportedModel(folder, trust=True)


@pytest.mark.parametrize("sums", [None, ["model.xml"], {"model.xml": 1}])
def test_an_export_does_not_replace_a_folder_with_wrong_checksums(folder: Path, sums: Any) -> None:
    change(folder, sha256=sums)
    with pytest.raises(UserError, match=r"already exists, and not only as an export \(.*sha256 is"):
        require_replaceable(folder)
