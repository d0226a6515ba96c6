"""COCO's panoptic layout: ``{train,val}2017/*``, ``annotations/panoptic_{train,val}2017{.json,/*.png}``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from lvt_core.doctor.pictures import Examined, examine, in_parallel, report_duplicates, report_pictures
from lvt_core.doctor.report import Report
from lvt_core.errors import UserError
from lvt_core.panoptic.annotations import AnnotatedImage, read_categories, read_images
from lvt_core.panoptic.checks import check_map_of, check_size_of

SPLITS = ("train2017", "val2017")


def is_panoptic(root: Path) -> bool:
    """Whether a folder has panoptic annotations in COCO's layout."""
    return any((root / "annotations" / f"panoptic_{split}.json").is_file() for split in SPLITS)


def examine_panoptic(root: Path, *, processes: int) -> Report:
    """Read every image, map and annotation, and compare them."""
    report = Report("panoptic annotations, {train,val}2017/* and annotations/panoptic_{train,val}2017")
    examined: dict[str, list[Examined]] = {split: [] for split in SPLITS}
    for split in SPLITS:
        file = root / "annotations" / f"panoptic_{split}.json"
        try:
            categories = read_categories(file)
            things = [each.name for each in categories if each.is_thing]
            classes = [*things, *(each.name for each in categories if not each.is_thing)]
            images = read_images(file, classes, things)
        except UserError as error:
            report.add_defect("wrong annotation files", str(error))
            continue
        report.facts[f"{split}: images"] = len(images)
        report.facts[f"{split}: classes"] = (
            f"{len(things)} things, {len(classes) - len(things)} kinds of stuff"
        )
        tasks = [(root / split, file, image) for image in images]
        found = list(in_parallel(_examine_entry, tasks, processes=processes, title=split))
        examined[split] = [picture for picture, _ in found]
        report_pictures(report, split, examined[split])
        for _, problem in found:
            if problem:
                report.add_defect("wrong maps", problem)
        _report_classes(report, split, images, classes)
    report_duplicates(report, *examined.values())
    return report


def _examine_entry(entry: tuple[Path, Path, AnnotatedImage]) -> tuple[Examined, str]:
    """Read an image and its map; return the image, and what is wrong with the map."""
    folder, file, image = entry
    picture = examine(folder / image.file_name)
    try:
        check_map_of(image, file.with_suffix(""), file)
        if not picture.problem:
            check_size_of(image, picture.path, (picture.width, picture.height), file)
    except UserError as error:
        return picture, str(error)
    return picture, ""


def _report_classes(report: Report, split: str, images: list[AnnotatedImage], classes: list[str]) -> None:
    counts = Counter(classes[segment.label] for image in images for segment in image.segments)
    report.facts[f"{split}: segments"] = counts.total()
    if lacking := [name for name in classes if not counts[name]]:
        names = ", ".join(lacking[:8]) + (f" and {len(lacking) - 8} more" if len(lacking) > 8 else "")
        report.notes.append(f"{split}: {len(lacking)} classes never occur: {names}")
