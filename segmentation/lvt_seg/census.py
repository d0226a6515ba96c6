"""Every mask and every image read once, before the training: what the values of the masks are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mmcv
import numpy as np

from lvt_core.errors import UserError
from lvt_core.files import count_left_out
from lvt_core.semantic.label_map import IGNORED, MaskValues, read_values
from lvt_predict.pictures import SUFFIXES, read_picture
from lvt_seg.datasets import MASK_SUFFIXES, files_by_name, match_pairs
from lvt_seg.own_config import Split


@dataclass
class Census:
    """The values in a set of masks.

    Attributes:
        pixels: Number of pixels of each value.
        first: A mask with each value.
    """

    pixels: Counter[float] = field(default_factory=Counter)
    first: dict[float, Path] = field(default_factory=dict)

    def add(self, values: np.ndarray, path: Path) -> None:
        """Count a mask."""
        for value, count in zip(*_count(values), strict=True):
            self.pixels[value] += count
            self.first.setdefault(value, path)

    def share(self, values: Sequence[int]) -> float:
        """Return how many percent of the pixels have one of the values."""
        return 100 * sum(self.pixels[value] for value in values) / max(1, self.pixels.total())


def check_pairs(
    splits: Sequence[Split],
    classes: Sequence[str],
    meaning: MaskValues,
    *,
    explicit: bool,
    smallest: tuple[int, int],
) -> None:
    """Read all images and masks: a wrong one should not stop the training after an hour.

    Args:
        splits: Training and validation.
        classes: Names of the classes.
        meaning: Values of the classes in the masks.
        explicit: Whether the user has named these values one by one.
        smallest: Longest and shortest side of the smallest image in training.

    Raises:
        UserError: A file cannot be read, sizes differ, or the values have another meaning.
    """
    parts = []
    for split in splits:
        pairs = match_pairs(split.images, split.masks, split.names or None)
        print(f"{split.images}: checking {len(pairs)} images and masks", flush=True)
        _note_left_out(split)
        parts.append(_read(pairs, smallest))
    whole = Census(parts[0].pixels + parts[1].pixels, {**parts[1].first, **parts[0].first})
    _check_values(whole, meaning)
    missing = _missing(whole, classes, meaning)
    if missing and not explicit:
        _check_convention(whole, missing[0], meaning, splits[0].masks)
    for name in missing:
        print(f"note: class {name!r} has no pixel in any mask", flush=True)
    for name in sorted(set(_missing(parts[0], classes, meaning)) - set(missing)):
        print(f"note: class {name!r} has no pixel in the masks to train on", flush=True)


def _read(pairs: Sequence[tuple[Path, Path | None]], smallest: tuple[int, int]) -> Census:
    census = Census()
    for image, mask in pairs:
        assert mask is not None
        width, height = read_picture(image).size
        values = read_values(mask)
        if values.shape != (height, width):
            raise UserError(
                f"{mask}: {values.shape[1]} x {values.shape[0]} pixels, but its image has {width} x {height}"
            )
        if min(mmcv.rescale_size((width, height), smallest)) < 1:
            raise UserError(f"{image}: {width} x {height} pixels; too narrow to be resized for training")
        census.add(values, mask)
    return census


def _count(values: np.ndarray) -> tuple[Sequence[float], list[int]]:
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        there = counts.nonzero()[0]
        return there.tolist(), counts[there].tolist()
    there, counts = np.unique(values, return_counts=True)
    return there.tolist(), counts.tolist()


def _missing(census: Census, classes: Sequence[str], meaning: MaskValues) -> list[str]:
    pairs = zip(classes, meaning.classes, strict=True)
    return [name for name, value in pairs if not census.pixels[value]]


def _check_values(census: Census, meaning: MaskValues) -> None:
    """Reject values without a meaning; name an option that gives them one."""
    wrong = sorted(set(census.pixels) - {*meaning.classes, *meaning.ignored})
    if not wrong:
        return
    values = sorted(census.pixels)
    shown = ", ".join(f"{value:g}" for value in values[:8]) + (", ..." if len(values) > 8 else "")
    advice = _advice(census, len(meaning.classes)) or "--mask-values names the value of each class"
    raise UserError(
        f"{census.first[wrong[-1]]}: has the value {wrong[-1]:g}; allowed are {meaning}; "
        f"all masks together have {shown}; {advice}"
    )


def _check_convention(census: Census, missing: str, meaning: MaskValues, masks: str) -> None:
    """Reject masks in which a class never occurs, but values that do not count might be classes."""
    ignored = [value for value in meaning.ignored if census.pixels[value]]
    advice = _advice(census, len(meaning.classes))
    if ignored and advice:
        share, values = census.share(ignored), " or ".join(map(str, ignored))
        kept = " ".join(map(str, meaning.classes))
        raise UserError(
            f"MASKS {masks}: class {missing!r} has no pixel in any mask, and {share:.1f} % of the pixels are "
            f"{values}, which never counts; {advice}, and --mask-values {kept} keeps the values as they are"
        )


def _advice(census: Census, num_classes: int) -> str:
    """Name the option under which each value is a class, and each class has a value."""
    values = set(census.pixels)
    for first in (0, 1):
        counted = set(range(first, first + num_classes))
        if counted <= values <= {*counted, IGNORED, 0 if first else IGNORED}:
            return f"--first-class {first} reads them"
    chosen = values if len(values) == num_classes else values - {IGNORED}
    if len(chosen) == num_classes and all(float(value).is_integer() and value >= 0 for value in chosen):
        return f"--mask-values {' '.join(f'{value:g}' for value in sorted(chosen))} reads them as classes"
    return ""


def _note_left_out(split: Split) -> None:
    """Say which files are not used."""
    for folder, suffixes in ((split.images, SUFFIXES), (split.masks, MASK_SUFFIXES)):
        if others := count_left_out(folder, suffixes):
            counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
            print(f"note: {folder}: left out, not in a known format: {counts}", flush=True)
    masks = files_by_name(split.masks, MASK_SUFFIXES, "masks")
    lonely = sorted(masks.keys() - files_by_name(split.images, SUFFIXES, "images").keys())
    if lonely:
        print(f"note: {split.masks}: {len(lonely)} masks have no image, such as {lonely[0]}", flush=True)
