"""The description of an exported network, ``model.json``: reading and checking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from lvt_predict.errors import UserError
from lvt_predict.reading import open_regular, read_file

# json and hashlib are imported where they are used: they would slow `import lvt_predict` down.
MANIFEST = "model.json"
PACKAGES = {  # the distributions that run a runtime's files, for `pip install`
    "coreml": "coremltools",
    "executorch": "executorch torch",
    "litert": "ai-edge-litert",
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "pt2": "torch",
}
MOST_BYTES = 2**24  # for ``model.json``
PART = 2**20  # bytes that are hashed at a time
LONGEST = 255  # characters of a file's name
SHOWN = 60  # characters of a wrong value that a message shows
FLOAT32_LIMIT = (2 - 2**-23) * 2.0**127  # the largest float32


class Rule(NamedTuple):
    """A condition on a value, and the words for it in messages."""

    holds: Callable[[Any], bool]
    allowed: str


def is_whole(value: Any, low: int = 1) -> bool:
    """Whether a value is a whole number of at least `low`; JSON's ``true`` and ``1.0`` are not."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def is_number(value: Any, low: float = -FLOAT32_LIMIT) -> bool:
    """Whether a value is a number of at least `low` in the range of float32."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= FLOAT32_LIMIT


def is_list(value: Any, holds: Callable[[Any], bool], count: int | None = None) -> bool:
    """Whether a value is a list of `count` entries, or at least one, that all satisfy `holds`."""
    return isinstance(value, list) and len(value) == (count or max(len(value), 1)) and all(map(holds, value))


def require_rules(file: Path, rules: Mapping[str, Rule], content: Any) -> None:
    """Reject a field that breaks its rule; ``a.b`` is field ``b`` of the object ``a``.

    Args:
        file: File of the content, for messages.
        rules: Rules by the names of fields.
        content: Content of the file.

    Raises:
        UserError: A field is missing or breaks its rule.
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
    import json

    shown = json.dumps(value)
    shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
    return UserError(f"{file}: {name} is {shown}: must be {allowed}")


def _is_name(value: Any) -> bool:
    """Whether a value is the name of a file inside of the folder."""
    if not isinstance(value, str) or len(value) > LONGEST:
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
    """Read the ``model.json`` of an exported folder.

    Raises:
        UserError: The file is missing, or `lvt export` did not write it.
    """
    import json

    file = folder / MANIFEST
    content = read_file(file, most=MOST_BYTES)
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not JSON ({error})") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{file}: must hold a JSON object; `lvt export` writes it")
    if missing := [key for key in RULES if key not in manifest]:
        raise UserError(f"{file}: has no {', '.join(missing)}; `lvt export` writes it")
    require_rules(file, RULES, manifest)
    if "versions" in manifest:
        require_rules(file, {"versions": Rule(_is_texts, "each package's version, by its name")}, manifest)
    # A network whose input is a map, such as a head, has three numbers, too.
    counts = (3, manifest["input"][1])
    normalisation = Rule(lambda value: len(value) in counts, "3 numbers, one a channel")
    require_rules(file, {"mean": normalisation, "std": normalisation}, manifest)
    name = PurePosixPath(manifest["file"])
    # OpenVINO writes its weights into a second file.
    weights = [str(name.with_suffix(".bin"))] if name.suffix == ".xml" else []
    require_listed(file, manifest, [str(name), *weights])
    return manifest


def require_listed(file: Path, manifest: Mapping[str, Any], names: Sequence[str]) -> None:
    """Reject a manifest that lacks a checksum.

    Args:
        file: File of the manifest, for messages.
        manifest: Content of the file.
        names: Files that need a checksum; a folder needs one of any file in it.

    Raises:
        UserError: A checksum is missing.
    """
    for name in names:
        if not any(listed == name or listed.startswith(f"{name}/") for listed in manifest["sha256"]):
            raise UserError(f"{file}: sha256 has no entry for {name}; `lvt export` writes it")


def require_unchanged(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Reject files that differ from the exported ones.

    Raises:
        UserError: A file is missing, was changed, or was added to a package.
    """
    for name, expected in manifest["sha256"].items():
        if sha256(folder / name) != expected:
            raise UserError(f"{folder / name}: not the file that was exported (its SHA-256 differs)")
    package = folder / manifest["file"]  # a folder for Core ML, which is searched; otherwise a file
    for path in sorted(package.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_dir() and not path.name.startswith(".") and name not in manifest["sha256"]:
            raise UserError(f"{path}: is not a part of the export; remove it")


def sha256(file: Path) -> str:
    """Compute the SHA-256 of a file.

    Raises:
        UserError: The file cannot be read.
    """
    import hashlib

    digest = hashlib.sha256()
    try:
        with open_regular(file) as opened:
            while part := opened.read(PART):
                digest.update(part)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except ValueError as error:  # the name has a null byte
        raise UserError(f"cannot read {str(file)!r}: {error}") from error
    return digest.hexdigest()
