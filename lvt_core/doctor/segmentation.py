"""Images and masks, ``{images,annotations}/{training,validation}/*``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from lvt_core.doctor.pictures import Examined, examine, in_parallel, report_duplicates, report_pictures
from lvt_core.doctor.report import Report
from lvt_core.errors import UserError
from lvt_core.files import count_left_out, visible_files
from lvt_core.semantic.label_map import IGNORED, read_values
from lvt_predict.pictures import SUFFIXES

SPLITS = ("training", "validation")


def is_segmentation(root: Path) -> bool:
    """Whether a folder has images and masks in ADE20K's layout."""
    return all((root / kind / split).is_dir() for kind in ("images", "annotations") for split in SPLITS)


def examine_segmentation(root: Path, *, processes: int) -> Report:
    """Read every image and mask, and count the masks' values."""
    report = Report("images and masks, {images,annotations}/{training,validation}/*")
    examined: dict[str, list[Examined]] = {}
    values: dict[str, Counter[int]] = {}
    for split in SPLITS:
        images, masks = (_by_name(root / kind / split, report) for kind in ("images", "annotations"))
        report.facts[f"{split}: images"] = len(images)
        for name in sorted(images.keys() - masks.keys()):
            report.add_defect("images without a mask", str(images[name]))
        for name in sorted(masks.keys() - images.keys()):
            report.add_defect("masks without an image", str(masks[name]))
        pairs = [(images[name], masks[name]) for name in sorted(images.keys() & masks.keys())]
        found = list(in_parallel(_examine_pair, pairs, processes=processes, title=split))
        examined[split] = [image for image, _, _ in found]
        report_pictures(report, split, examined[split])
        values[split] = Counter()
        for _, counts, problem in found:
            values[split].update(counts)
            if problem:
                report.add_defect("wrong masks", problem)
        report.facts[f"{split}: pixels of each value, percent"] = _shares(values[split])
    _report_values(report, values)
    report_duplicates(report, *examined.values())
    return report


def _examine_pair(pair: tuple[Path, Path]) -> tuple[Examined, dict[int, int], str]:
    """Read an image and its mask; return the image, the mask's values, and what is wrong with the mask."""
    image, mask = examine(pair[0]), pair[1]
    try:
        values = read_values(mask)
    except UserError as error:
        return image, {}, str(error)
    numbers, counts = np.unique(values, return_counts=True)
    problem = ""
    if not image.problem and values.shape != (image.height, image.width):
        size = f"{values.shape[1]} x {values.shape[0]}"
        problem = f"{mask}: {size} pixels, but its image has {image.width} x {image.height}"
    return image, dict(zip(numbers.tolist(), counts.tolist(), strict=True)), problem


def _report_values(report: Report, values: dict[str, Counter[int]]) -> None:
    train, val = (set(values[split]) - {IGNORED} for split in SPLITS)
    if only := sorted(val - train):
        report.add_defect("values that training never sees", f"the masks to validate on have {only}")
    known = sorted(train | val)
    if known and known != list(range(known[0], known[0] + len(known))):
        rest = sorted(set(range(known[0], known[-1])) - set(known))
        report.notes.append(f"values {_short(rest)} lie between the others, and never occur")
    if known == [0] and any(values[split][IGNORED] for split in SPLITS):
        report.add_defect(
            "values of another convention",
            f"all masks have 0 and {IGNORED} only; own_data.py --mask-values 0 {IGNORED} reads both",
        )


def _shares(counts: Counter[int]) -> dict[str, str]:
    total = max(1, counts.total())
    return {f"{value}:": f"{100 * count / total:.2f}" for value, count in sorted(counts.items())}


def _by_name(folder: Path, report: Report) -> dict[str, Path]:
    """List a folder's pictures by their paths inside of it, without suffixes."""
    by_name: dict[str, Path] = {}
    for path in visible_files(folder):
        if path.suffix.lower() in SUFFIXES:
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in by_name:
                report.add_defect("files with one name", f"{path} and {by_name[name]}")
            by_name[name] = path
    for suffix, count in sorted(count_left_out(folder, SUFFIXES).items()):
        report.notes.append(f"{folder.name}: {count} files are left out: {suffix}")
    return by_name


def _short(values: list[int], most: int = 8) -> str:
    rest = len(values) - most
    return ", ".join(map(str, values[:most])) + (f" and {rest} more" if rest > 0 else "")
