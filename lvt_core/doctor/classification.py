"""A folder of class folders, ``{train,val}/CLASS/*``."""

from __future__ import annotations

from pathlib import Path

from lvt_core.checkpoint.class_names import shown
from lvt_core.doctor.pictures import Examined, examine, in_parallel, report_duplicates, report_pictures
from lvt_core.doctor.report import Report
from lvt_core.files import count_left_out, visible_files
from lvt_predict.pictures import SUFFIXES

SPLITS = ("train", "val")


def is_classification(root: Path) -> bool:
    """Whether a folder has class folders in ``train`` and ``val``."""
    folders = [root / split for split in SPLITS]
    return all(folder.is_dir() and any(path.is_dir() for path in folder.iterdir()) for folder in folders)


def examine_classification(root: Path, *, processes: int) -> Report:
    """Read every picture, and compare the splits' classes."""
    report = Report("classes of pictures, {train,val}/CLASS/*")
    examined: dict[str, list[Examined]] = {}
    classes: dict[str, set[str]] = {}
    for split in SPLITS:
        folder = root / split
        counts = {path.name: 0 for path in sorted(folder.iterdir()) if path.is_dir() and path.name[0] != "."}
        files = [path for path in visible_files(folder) if path.suffix.lower() in SUFFIXES]
        for path in files:
            name = path.relative_to(folder).parts[0]
            if path.parent == folder:
                report.add_defect("pictures without a class", str(path))
            else:
                counts[name] += 1
        report.facts[f"{split}: pictures"] = len(files)
        report.facts[f"{split}: classes"] = len(counts)
        if counts:
            report.facts[f"{split}: pictures of a class"] = (
                f"{min(counts.values())} to {max(counts.values())}"
            )
        for name, count in counts.items():
            if not count:
                report.add_defect("classes without a picture", str(folder / name))
        for suffix, count in sorted(count_left_out(folder, SUFFIXES).items()):
            report.notes.append(f"{split}: {count} files are left out: {suffix}")
        classes[split] = {name for name, count in counts.items() if count}
        examined[split] = list(in_parallel(examine, files, processes=processes, title=split))
        report_pictures(report, split, examined[split])
    for here, there in (SPLITS, SPLITS[::-1]):
        if lacking := sorted(classes[there] - classes[here]):
            report.add_defect("classes that differ", f"{here} lacks {shown(lacking)}, which {there} has")
    report_duplicates(report, examined["train"], examined["val"])
    return report
