"""COCO's instance annotations and maps of stuff, put together into panoptic annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from lvt_core.errors import UserError
from lvt_core.files import write_text, write_whole
from lvt_core.panoptic.annotations import (
    field_of,
    file_name_of,
    is_crowd,
    list_of,
    read_json,
    text_of,
    whole_of,
)
from lvt_core.panoptic.quality import VOID, ids_to_rgb, segment_boxes
from lvt_predict.pictures import opened_map

NO_STUFF = (0, 255)  # in a map of stuff


def write_panoptic(
    instances: str | Path, stuff_maps: str | Path, stuff: Sequence[str], annotations: Path, maps: Path
) -> None:
    """Write panoptic annotations.

    Instances cover stuff, smaller ones cover larger ones, and crowds lie under all of them.

    Args:
        instances: COCO instances file: ``segmentation`` as polygons or run lengths.
        stuff_maps: Folder with a grey PNG per image, named like it: 1 for the first class of `stuff`, and so
            on; 0 and 255 where there is none.
        stuff: Names.
        annotations: The JSON file to write.
        maps: The folder of PNG maps to write.

    Raises:
        UserError: A file is wrong or missing.
    """
    path = Path(instances)
    content = read_json(path)
    things: list[dict[str, Any]] = [
        {"id": whole_of(entry, "id", "a category", path), "name": text_of(entry, "name", "a category", path)}
        for entry in list_of(content, "categories", path)
    ]
    if maps.resolve() == Path(stuff_maps).resolve() or annotations.resolve() == path.resolve():
        raise UserError(f"{maps} and {annotations}: would be written over what they are made of")
    if double := {entry["name"] for entry in things} & set(stuff):
        raise UserError(f"{path}: category {min(double)!r} is a class of stuff too")
    first_stuff = 1 + max((entry["id"] for entry in things), default=0)
    categories = [{**entry, "isthing": 1} for entry in things]
    categories += [{"id": first_stuff + i, "name": name, "isthing": 0} for i, name in enumerate(stuff)]
    images = list_of(content, "images", path)
    known = {thing["id"] for thing in things}
    by_image: dict[Any, list[Mapping]] = {whole_of(image, "id", "an image", path): [] for image in images}
    for entry in list_of(content, "annotations", path):
        image_id = whole_of(entry, "image_id", "an annotation", path)
        category = whole_of(entry, "category_id", "an annotation", path)
        if image_id not in by_image:
            raise UserError(f"{path}: an annotation has image_id={image_id}, but there is no such image")
        if category not in known:
            raise UserError(f"{path}: an annotation of image {image_id} has unknown category_id={category!r}")
        by_image[image_id].append(entry)
    written: list[dict] = []
    names = [Path(file_name_of(image, "an image", path)).with_suffix(".png").as_posix() for image in images]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path}: two images would have the map {twice}")
    for image, name in zip(images, names, strict=True):
        size = whole_of(image, "height", "an image", path), whole_of(image, "width", "an image", path)
        labels = _read_stuff(Path(stuff_maps) / name, size, len(stuff))
        ids, segments = _compose(
            by_image[image["id"]], labels, first_stuff, size, f"{path}: image {image['id']}"
        )
        picture = Image.fromarray(ids_to_rgb(ids))
        write_whole(maps / name, partial(picture.save, format="PNG"))
        written.append({"image_id": image["id"], "file_name": name, "segments_info": segments})
    result = {"images": images, "annotations": written, "categories": categories}
    write_text(annotations, json.dumps(result))


def _compose(
    entries: Sequence[Mapping], labels: np.ndarray, first_stuff: int, size: tuple[int, int], place: str
) -> tuple[np.ndarray, list[dict]]:
    """Compose a panoptic map ``(H, W)`` of segment ids; return it with its visible segments."""
    ids = np.full(size, VOID, np.int32)
    listed: dict[int, tuple[int, int]] = {}  # id: category and crowd
    for value in np.unique(labels[~np.isin(labels, NO_STUFF)]).tolist():
        listed[len(listed) + 1] = (first_stuff + value - 1, 0)
        ids[labels == value] = len(listed)
    masks = [
        (entry["category_id"], is_crowd(entry, "an annotation", place), _mask(entry, size, place))
        for entry in entries
    ]
    for category, crowded, mask in sorted(masks, key=lambda m: (not m[1], -int(m[2].sum()))):
        listed[len(listed) + 1] = (category, int(crowded))
        ids[mask] = len(listed)
    segments = []
    for number, box in segment_boxes(ids, list(listed)).items():
        category, crowd = listed[number]
        area = int((ids == number).sum())
        entry = {"id": number, "category_id": category, "iscrowd": crowd}
        segments.append({**entry, "bbox": list(box), "area": area})
    return ids, segments


def _mask(entry: Mapping, size: tuple[int, int], place: str) -> np.ndarray:
    """Decode an instance's pixels, bool ``(H, W)``."""
    shape = field_of(entry, "segmentation", "an annotation", place)
    try:
        if isinstance(shape, list):
            runs = coco_mask.merge(coco_mask.frPyObjects(shape, *size))
        elif isinstance(shape["counts"], list):
            runs = coco_mask.frPyObjects(shape, *size)
        else:
            runs = shape
        mask = coco_mask.decode(runs).astype(bool)
    except Exception as error:  # the library raises nearly anything
        raise UserError(f"{place}: a segmentation is neither polygons nor run lengths ({error})") from error
    if mask.shape != size:
        raise UserError(f"{place}: a segmentation has {mask.shape} pixels, the image has {size}")
    return mask


def _read_stuff(path: Path, size: tuple[int, int], num_stuff: int) -> np.ndarray:
    with opened_map(path) as opened:
        labels = np.asarray(opened) + 0
    if labels.shape != size:
        raise UserError(f"{path}: has {labels.shape} pixels, the image has {size}; a map has one channel")
    wrong = labels[(labels > num_stuff) & ~np.isin(labels, NO_STUFF)]
    if wrong.size:
        raise UserError(
            f"{path}: has the value {wrong.min()}; allowed are 1 to {num_stuff}, and 0 and 255 for no stuff"
        )
    return labels
