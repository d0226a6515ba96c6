"""What ``model.json`` says of an exported network: read, and checked once for all that use it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lvt_predict.errors import UserError

MANIFEST = "model.json"
PACKAGES = {  # what runs a runtime's files: distributions, for `pip install`
    "coreml": "coremltools",
    "executorch": "executorch torch",
    "litert": "ai-edge-litert",
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "pt2": "torch",
}
SHOWN = 60  # characters of a wrong value
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Rule:
    """What a value must be, and how that is told."""

    holds: Callable[[Any], bool]
    allowed: str


def is_whole(value: Any, low: int = 1) -> bool:
    """Whether it is a whole number of at least `low`; JSON's ``true`` and ``1.0`` are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def is_number(value: Any, low: float = -LARGEST) -> bool:
    """Whether it is a number of at least `low` that float32 holds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= LARGEST


def is_list(value: Any, holds: Callable[[Any], bool], count: int | None = None) -> bool:
    """Whether it is a list of at least one such entry, of `count` if that is given."""
    return isinstance(value, list) and len(value) == (count or max(len(value), 1)) and all(map(holds, value))


def require(file: Path, rules: Mapping[str, Rule], content: Any) -> None:
    """Refuse a field that breaks its rule; ``a.b`` is field ``b`` of the object ``a``.

    Raises:
        UserError: A field is missing or not what it must be.
    """
    for name, rule in rules.items():
        value, known = content, ""
        for key in name.split("."):
            if not isinstance(value, dict):
                raise _wrong(file, known, value, "an object")
            known = f"{known}.{key}".lstrip(".")
            if key not in value:
                raise UserError(f"{file}: has no {known}; `lvt export` writes it")
            value = value[key]
        if not rule.holds(value):
            raise _wrong(file, name, value, rule.allowed)


def _wrong(file: Path, name: str, value: Any, allowed: str) -> UserError:
    shown = json.dumps(value)
    shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
    return UserError(f"{file}: {name} is {shown}: must be {allowed}")


def _is_name(value: Any) -> bool:
    """Whether it names a file inside the folder."""
    if not isinstance(value, str):
        return False
    path = PurePosixPath(value)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _is_length(value: Any) -> bool:
    return is_whole(value) or (is_list(value, is_whole, 2) and value[0] <= value[1])


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


RULES = {
    "runtime": Rule(lambda value: value in list(PACKAGES), f"one of {', '.join(PACKAGES)}"),
    "file": Rule(_is_name, "the name of a file in this folder"),
    "sha256": Rule(
        lambda value: _is_texts(value) and all(map(_is_name, value)), "the SHA-256 of each file, by its name"
    ),
    "input": Rule(
        lambda value: is_list(value, _is_length, 4),
        "batch, channels, height and width, each a positive whole number or [lowest, highest]",
    ),
    "mean": Rule(lambda value: is_list(value, is_number), "a number for each channel"),
    "std": Rule(
        lambda value: is_list(value, lambda each: is_number(each) and each > 0),
        "a positive number for each channel",
    ),
}


def read_manifest(folder: Path) -> dict[str, Any]:
    """An exported folder's ``model.json``.

    Raises:
        UserError: There is none, or it is not one that `lvt export` writes.
    """
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not JSON ({error})") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{file}: holds no object; `lvt export` writes it")
    if missing := [key for key in RULES if key not in manifest]:
        raise UserError(f"{file}: has no {', '.join(missing)}; `lvt export` writes it")
    require(file, RULES, manifest)
    if "versions" in manifest:
        require(file, {"versions": Rule(_is_texts, "each package's version, by its name")}, manifest)
    counts = (3, manifest["input"][1])  # what takes no images, as a head, has an image's numbers
    for key in ("mean", "std"):
        require(file, {key: Rule(lambda value: len(value) in counts, "3 numbers, one a channel")}, manifest)
    name = PurePosixPath(manifest["file"])
    weights = [str(name.with_suffix(".bin"))] if name.suffix == ".xml" else []  # OpenVINO's lie beside
    require_listed(file, manifest, [str(name), *weights])
    return manifest


def require_listed(file: Path, manifest: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse a manifest that has no checksum of one of the files, or of no file in such a folder.

    Raises:
        UserError: It has none.
    """
    for name in names:
        if not any(listed == name or listed.startswith(f"{name}/") for listed in manifest["sha256"]):
            raise UserError(f"{file}: sha256 has nothing of {name}; `lvt export` writes it")


def require_unchanged(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse files that are not those that were exported.

    Raises:
        UserError: One is missing or another, or lies in a package of files where it was not.
    """
    for name, expected in manifest["sha256"].items():
        if sha256(folder / name) != expected:
            raise UserError(f"{folder / name}: not the file that was exported (its SHA-256 differs)")
    for path in sorted((folder / manifest["file"]).rglob("*")):  # of a file there is none
        name = path.relative_to(folder).as_posix()
        if not path.is_dir() and not path.name.startswith(".") and name not in manifest["sha256"]:
            raise UserError(f"{path}: was not exported; remove it")


def sha256(file: Path) -> str:
    """Of a file's bytes.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except ValueError as error:  # no system has such a name
        raise UserError(f"cannot read {str(file)!r}: {error}") from error
