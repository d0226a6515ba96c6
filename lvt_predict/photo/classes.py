"""The classes of a network, and the published ones for files without names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

NAMES = Path(__file__).parent / "names"


@dataclass(frozen=True)
class Classes:
    """The meaning of a network's class numbers.

    Attributes:
        names: Name of each class.
        palette: Colour ``(R, G, B)`` of each class.
        values: Value of each class in label maps on disk.
        category_ids: Number of each class in COCO's annotations.
        note: Sentence that says where the names come from, if not from the network.
    """

    names: Sequence[str]
    palette: Sequence[Sequence[int]]
    values: Sequence[int]
    category_ids: Sequence[int]
    note: str = ""


def classes_of(
    task: str,
    count: int,
    *,
    names: Sequence[str] | None = None,
    palette: Sequence[Sequence[int]] | None = None,
    first: int | None = None,
    values: Sequence[int] | None = None,
) -> Classes:
    """Complete what a network says of its classes by the published names of the task's data set.

    Args:
        task: ``classification``, ``segmentation`` or ``panoptic``.
        count: Number of classes.
        names: Names that the network has, if it has any.
        palette: Colours that the network has, if it has any.
        first: Value of the first class in label maps, if the network says it; else that of the data set.
        values: Value of each class in label maps, if the network lists them.
    """
    data_set, published = _published(task)
    is_published = len(published["classes"]) == count and names in (None, published["classes"])
    note = ""
    if names is None and is_published:
        names = published["classes"]
        note = f"the network does not name its {count} classes: {data_set}'s names are used"
    elif names is None:
        names = [f"class {i}" for i in range(count)]
        note = f"the network does not name its {count} classes: their numbers are used"
    elif task == "classification":
        names = _described(names)
    if palette is None:
        palette = published.get("palette") if is_published else None
    if first is None:
        first = 1 if is_published else 0
    ids = published.get("category_ids") if is_published else None
    return Classes(
        names=names,
        palette=palette or distinct_colors(count),
        values=values or range(first, first + count),
        category_ids=ids or range(1, count + 1),
        note=note,
    )


def distinct_colors(count: int) -> list[list[int]]:
    """Return distinct colours, always the same for a count."""
    hue = (np.arange(count) * 0.61803) % 1  # the golden ratio keeps neighbours apart
    value = 0.95 - 0.3 * ((np.arange(count) // 6) % 2)
    wheel = np.abs((hue[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    return (255 * value[:, None] * (1 - 0.75 * (1 - wheel.clip(0, 1)))).astype(np.uint8).tolist()


@cache
def _published(task: str) -> tuple[str, dict[str, Any]]:
    """Read the names of the data set on which the published network of a task was trained."""
    import json

    name, file = {
        "classification": ("ImageNet", "imagenet"),
        "segmentation": ("ADE20K", "ade20k"),
        "panoptic": ("COCO", "coco_panoptic"),
    }[task]
    return name, json.loads((NAMES / f"{file}.json").read_text(encoding="utf-8"))


def _described(names: Sequence[str]) -> list[str]:
    """Replace ImageNet's folder names, such as n01440764, by words."""
    published = _published("classification")[1]
    words = dict(zip(published["synsets"], published["classes"], strict=True))
    return [words.get(name, name) for name in names]
