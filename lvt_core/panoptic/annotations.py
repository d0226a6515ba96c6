"""COCO's panoptic annotation files, read with every reference in them checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvt_core.errors import UserError
from lvt_core.files import open_regular, walk_files
from lvt_core.panoptic.quality import VOID, Segment
from lvt_predict.manifest import is_number, is_whole

NUMBER_BOUND = 2**63  # NumPy must hold the numbers of a file


@dataclass(frozen=True)
class Category:
    """A class as an annotation file has it: its number there, its name, and whether it has instances."""

    id: int
    name: str
    is_thing: bool


@dataclass(frozen=True)
class AnnotatedSegment(Segment):
    """A segment with its box: left, top, width, height, in pixels."""

    box: tuple[float, float, float, float] = (0, 0, 0, 0)


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of an annotation file.

    Attributes:
        id: Number in the file.
        file_name: Name of the image, inside of the image folder.
        height: Height in pixels.
        width: Width in pixels.
        map_name: Name of the map, inside of the map folder; ``None`` without truth about this image.
        segments: Segments of the map.
    """

    id: int
    file_name: str
    height: int
    width: int
    map_name: str | None
    segments: tuple[AnnotatedSegment, ...]


def read_categories(path: str | Path) -> list[Category]:
    """Read the classes of an annotation file.

    Raises:
        UserError: The file is not a COCO panoptic file.
    """
    return _categories(read_json(Path(path)), Path(path))


def read_images(
    path: str | Path,
    classes: Sequence[str],
    thing_classes: Sequence[str],
    *,
    image_info: str | Path | None = None,
) -> list[AnnotatedImage]:
    """Read every image of an annotation file, with segments labelled by the classes' positions.

    Args:
        path: Annotation file.
        classes: Names, things before stuff. The file's own order and numbers do not matter.
        thing_classes: Names of the classes with instances.
        image_info: File with other images to use, without truth.

    Raises:
        UserError: The file is not a COCO panoptic file, or an entry refers to a missing one.
    """
    path = Path(path)
    content = read_json(path)
    labels = _labels(_categories(content, path), classes, thing_classes, path)
    if image_info is not None:
        path = Path(image_info)
        content = {"images": list_of(read_json(path), "images", path)}
    maps: dict[int, Mapping] = {}
    for entry in list_of(content, "annotations", path) if "annotations" in content else []:
        image_id = whole_of(entry, "image_id", "an annotation", path)
        if image_id in maps:
            raise UserError(f"{path}: image_id={image_id} has two annotations")
        maps[image_id] = entry
    images: dict[int, AnnotatedImage] = {}
    for entry in list_of(content, "images", path):
        image_id, height, width = (
            whole_of(entry, field, "an image", path) for field in ("id", "height", "width")
        )
        if image_id in images:
            raise UserError(f"{path}: two images have id={image_id}")
        annotation = maps.pop(image_id, None)
        place = f"{path}: image {image_id}"
        images[image_id] = AnnotatedImage(
            id=image_id,
            file_name=file_name_of(entry, "an image", path),
            height=height,
            width=width,
            map_name=None if annotation is None else file_name_of(annotation, "an annotation", path),
            segments=() if annotation is None else tuple(_segments(annotation, labels, place)),
        )
    if maps:
        raise UserError(f"{path}: an annotation has image_id={next(iter(maps))}, but there is no such image")
    if not images:
        raise UserError(f"{path}: names no image")
    return list(images.values())


def file_name_of(entry: Mapping, what: str, place: Path | str) -> str:
    """Read a file's name, which must lie inside of its folder.

    Raises:
        UserError: The name is missing, or leads outside.
    """
    name = text_of(entry, "file_name", what, place)
    if os.path.isabs(name) or ".." in Path(name).parts:
        raise UserError(f"{place}: {what} has file_name={name!r}; it must be a name inside of its folder")
    return name


def missing_file(folder: str | Path, names: Sequence[str]) -> str | None:
    """Return the first file that is missing in a folder, or ``None``; the folder is listed once."""
    there = {os.path.relpath(path, folder) for path in walk_files(folder)}
    return next((name for name in names if os.path.normpath(name) not in there), None)


def read_json(path: Path) -> dict[str, Any]:
    """Read an annotation file.

    Raises:
        UserError: The file cannot be read or is not a JSON object.
    """
    try:
        with open_regular(path) as file:
            content = json.loads(file.read())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # text that is not UTF-8 or JSON, or nested too deeply
        raise UserError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a COCO file; it contains a {type(content).__name__}, must be an object")
    return content


def _categories(content: Mapping, path: Path) -> list[Category]:
    categories = []
    for entry in list_of(content, "categories", path):
        number = whole_of(entry, "id", "a category", path)
        name = text_of(entry, "name", "a category", path)
        is_thing = flag_of(entry, "isthing", "a category", path)
        categories.append(Category(number, name, is_thing))
    columns: dict[str, list] = {"id": [c.id for c in categories], "name": [c.name for c in categories]}
    for what, values in columns.items():
        if len(set(values)) != len(values):
            double = next(value for value in values if values.count(value) > 1)
            raise UserError(f"{path}: two categories have {what}={double!r}")
    if not categories:
        raise UserError(f"{path}: names no category")
    return categories


def _labels(
    categories: Sequence[Category], classes: Sequence[str], thing_classes: Sequence[str], path: Path
) -> dict[int, int]:
    """Return the label of each category of the file."""
    by_name = {category.name: category for category in categories}
    for name in classes:
        if name not in by_name:
            raise UserError(f"{path}: has no category {name!r}, which the config's classes name")
        if by_name[name].is_thing != (name in thing_classes):
            kind = "a thing" if name in thing_classes else "stuff"
            raise UserError(
                f"{path}: category {name!r} has isthing={int(by_name[name].is_thing)}, "
                f"but the config says that it is {kind}"
            )
    return {by_name[name].id: label for label, name in enumerate(classes)}


def _segments(annotation: Mapping, labels: Mapping[int, int], place: str) -> list[AnnotatedSegment]:
    segments: list[AnnotatedSegment] = []
    seen = {VOID}
    for entry in list_of(annotation, "segments_info", place):
        number, category = (whole_of(entry, field, "a segment", place) for field in ("id", "category_id"))
        box = field_of(entry, "bbox", "a segment", place)
        if number in seen:
            raise UserError(
                f"{place}: segment id={number!r}; ids are positive numbers, each once in an image"
            )
        if category not in labels:
            raise UserError(
                f"{place}: segment {number} has category_id={category!r}, which is not a class of the config"
            )
        if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
            raise UserError(f"{place}: segment {number} has bbox={box!r}, not [left, top, width, height]")
        seen.add(number)
        crowd = is_crowd(entry, f"segment {number}", place)
        segments.append(AnnotatedSegment(number, labels[category], crowd, tuple(box)))
    return segments


def whole_of(entry: Mapping, field: str, what: str, place: Path | str) -> int:
    """Return a required field that must be a whole number; the rest as in `field_of`.

    Raises:
        UserError: The field is missing, or has another type.
    """
    value = field_of(entry, field, what, place)
    if not is_whole(value, 0) or value >= NUMBER_BOUND:
        raise UserError(
            f"{place}: {what} has {field}={str(value)[:40]!r}; it must be a whole number, not negative"
        )
    return value


def text_of(entry: Mapping, field: str, what: str, place: Path | str) -> str:
    """Return a required field that must be a text; the rest as in `field_of`.

    Raises:
        UserError: The field is missing, or has another type.
    """
    value = field_of(entry, field, what, place)
    if not isinstance(value, str) or not value:
        raise UserError(f"{place}: {what} has {field}={str(value)[:40]!r}; it must be a text")
    return value


def flag_of(entry: Mapping, field: str, what: str, place: Path | str) -> bool:
    """Return a required field that must be 0 or 1; the rest as in `field_of`.

    Raises:
        UserError: The field is missing, or has another value: a text such as "0" would count as true.
    """
    value = field_of(entry, field, what, place)
    if not isinstance(value, int) or value not in (0, 1):
        raise UserError(f"{place}: {what} has {field}={str(value)[:40]!r}; it must be 0 or 1")
    return bool(value)


def is_crowd(entry: Mapping, what: str, place: Path | str) -> bool:
    """Return whether an entry is a crowd; one without the field is not."""
    return "iscrowd" in entry and flag_of(entry, "iscrowd", what, place)


def list_of(content: Mapping, field: str, place: Path | str) -> list[Mapping]:
    """Return a field that must be a list of objects; `place` names the file in messages."""
    entries = content.get(field)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{place}: {field!r} must be a list of objects")
    return entries


def field_of(entry: Mapping, field: str, what: str, place: Path | str) -> Any:
    """Return a required field; `what` and `place` name its owner and the file in messages."""
    if field not in entry:
        raise UserError(f"{place}: {what} has no {field!r}: {str(dict(entry))[:80]}")
    return entry[field]
