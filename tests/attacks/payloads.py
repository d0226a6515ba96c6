"""Files that run code when an unsafe reader opens them: the code makes a folder, so that a test sees it."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lvt_predict.manifest import sha256

SIZE = (32, 32)


class Payload:
    """An object whose pickle makes a folder when it is read.

    Args:
        mark: Folder that shows that code ran.
    """

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def checkpoint(file: Path, mark: Path) -> Path:
    """Write a checkpoint with a payload beside its weights."""
    torch.save({"state_dict": {"weight": torch.zeros(1)}, "more": Payload(mark)}, file)
    return file


def program(file: Path, mark: Path | None = None, *, symbolic: str = "") -> Path:
    """Write a program of PyTorch.

    Args:
        file: File to write.
        mark: Folder that a pickle among the sample inputs makes; ``None`` for a program without one.
        symbolic: Python code in the place of the size of a dimension.
    """
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    exported = torch.export.export(network, (torch.zeros(2, 3, *SIZE),), dynamic_shapes=(batch,))
    written = io.BytesIO()
    torch.export.save(exported, written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(file, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if mark is not None and "sample_inputs" in name:
                content = pickle_archive(Payload(mark))
            if symbolic and name.endswith("models/model.json"):
                content = json.dumps(_symbolic(json.loads(content), symbolic)).encode()
            target.writestr(name, content)
    return file


def pickle_archive(value: object) -> bytes:
    """Return what `torch.save` writes for a value."""
    written = io.BytesIO()
    torch.save(value, written)
    return written.getvalue()


def _symbolic(node: Any, code: str) -> Any:
    """Replace all symbolic sizes in a program's description by code."""
    if isinstance(node, dict):
        return {key: code if key == "expr_str" else _symbolic(value, code) for key, value in node.items()}
    return [_symbolic(value, code) for value in node] if isinstance(node, list) else node


def exported_folder(folder: Path, file: Path) -> Path:
    """Make a folder, as `lvt export` writes it, of a program."""
    folder.mkdir()
    (folder / "model.pt2").write_bytes(file.read_bytes())
    manifest = {
        "runtime": "pt2",
        "model": "lvt_cls",
        "classes": ["a", "b", "c", "d"],
        "file": "model.pt2",
        "sha256": {"model.pt2": sha256(folder / "model.pt2")},
        "input": [[1, 64], 3, *SIZE],
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
    }
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder


def plain_pickle(file: Path, mark: Path) -> Path:
    """Write a pickle with a payload, without PyTorch."""
    file.write_bytes(pickle.dumps({"a": Payload(mark)}))
    return file
