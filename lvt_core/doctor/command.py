"""``lvt doctor DATA``: read a whole data set before a training does."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lvt_core.doctor.classification import examine_classification, is_classification
from lvt_core.doctor.panoptic import examine_panoptic, is_panoptic
from lvt_core.doctor.pictures import default_processes
from lvt_core.doctor.report import Report
from lvt_core.doctor.segmentation import examine_segmentation, is_segmentation
from lvt_core.errors import UserError
from lvt_predict.photo.command import positive

DEFECTS = 1  # exit status
LAYOUTS = (
    (is_panoptic, examine_panoptic),
    (is_segmentation, examine_segmentation),
    (is_classification, examine_classification),
)


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lvt doctor``."""
    parser.add_argument("data", type=Path, help="folder of a data set, in the layout of a recipe")
    parser.add_argument("--json", action="store_true", help="print one line of JSON with all defects")
    parser.add_argument(
        "--processes", type=positive, metavar="N", help="processes that read; default: one for each core"
    )


def run_doctor(arguments: argparse.Namespace) -> None:
    """Examine a data set and print the report.

    Raises:
        UserError: The folder has no known layout.
        SystemExit: There are defects; the status is `DEFECTS`.
    """
    report = examine_data(arguments.data, processes=arguments.processes or default_processes())
    if arguments.json:
        print(report.to_json())
    else:
        print("\n".join(report.lines()))
    if report.count:
        sys.exit(DEFECTS)


def examine_data(root: Path, *, processes: int = 1) -> Report:
    """Examine a data set of any known layout.

    Raises:
        UserError: The folder does not exist, or has no known layout.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    for is_layout, examine in LAYOUTS:
        if is_layout(root):
            return examine(root, processes=processes)
    raise UserError(
        f"{root}: has no known layout; it needs train/CLASS/* and val/CLASS/*, or images/training, "
        "images/validation and the same in annotations/, or annotations/panoptic_train2017.json"
    )
