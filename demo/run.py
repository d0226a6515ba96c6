"""The tour: makes the data, runs the real commands on it, and writes one page about it.

Command, from the repository's root: python -m demo.run [--out demo/out] [--epochs N]
"""

import argparse
import os
import sys
from pathlib import Path

from demo.classification_data import ClassificationData
from demo.classification_page import classification_sections
from demo.classification_run import BEST, read_classification_run, run_classification
from demo.commands import CommandFailed
from demo.metrics import merge_metrics
from demo.page import Section, write_page
from demo.panoptic_data import PanopticData
from demo.panoptic_page import panoptic_sections
from demo.panoptic_run import MAX_EPOCHS, read_panoptic_run, run_panoptic
from demo.segmentation_data import SegmentationData
from demo.segmentation_page import segmentation_sections
from demo.segmentation_run import MAX_ITERS, read_segmentation_run, run_segmentation, trained_segmentor

TASKS = ("classification", "segmentation", "detection")
DEFAULT_OUT = Path(__file__).resolve().parent / "out"


def finish(out: Path) -> Path:
    """Writes metrics.json and index.html from the files of finished runs.

    Args:
        out: The tour's folder.

    Returns:
        The page.
    """
    sections: list[Section] = []
    if (out / "classification" / "run.json").exists():
        classification = read_classification_run(out)
        merge_metrics(out / "metrics.json", top1=classification.results["top1"])
        sections += classification_sections(classification)
    if (out / "segmentation" / "run.json").exists():
        segmentation = read_segmentation_run(out)
        merge_metrics(out / "metrics.json", miou=segmentation.metrics["mIoU"])
        sections += segmentation_sections(segmentation)
    if (out / "detection" / "run.json").exists():
        panoptic = read_panoptic_run(out)
        names = {"pq": "PQ", "pq_things": "PQ_th", "pq_stuff": "PQ_st"}
        merge_metrics(out / "metrics.json", **{ours: panoptic.metrics[name] for ours, name in names.items()})
        sections += panoptic_sections(panoptic)
    page = out / "index.html"
    write_page(page, sections)
    return page


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="default: demo/out")
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=TASKS,
        default=TASKS,
        help="each starts from the one before",
    )
    parser.add_argument("--epochs", type=int, default=5, help="of classification")
    parser.add_argument("--max-iters", type=int, default=MAX_ITERS, help="steps of segmentation")
    parser.add_argument("--max-epochs", type=int, default=MAX_EPOCHS, help="of detection")
    parser.add_argument("-b", "--batch-size", type=int, default=32, help="of classification")
    parser.add_argument(
        "--processes", type=int, default=min(4, os.cpu_count() or 1), help="that train side by side"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-per-scan", type=int, default=3, metavar="N", help="pictures of a digit")
    parser.add_argument(
        "--scan-step", type=int, default=1, metavar="N", help="use every N-th scan: a quick look"
    )
    parser.add_argument("--train-scenes", type=int, default=2400, metavar="N")
    parser.add_argument("--val-scenes", type=int, default=200, metavar="N")
    parser.add_argument("--panoptic-train-scenes", type=int, default=1600, metavar="N")
    parser.add_argument("--panoptic-val-scenes", type=int, default=150, metavar="N")
    return parser


def main() -> int:
    """The command line; returns the exit code."""
    parser = _parser()
    args = parser.parse_args()
    if args.max_iters < 40:
        parser.error(f"--max-iters {args.max_iters}: must be 40 or more")
    if args.max_epochs < 1:
        parser.error(f"--max-epochs {args.max_epochs}: must be 1 or more")
    try:
        pictures = ClassificationData(
            train_per_scan=args.train_per_scan, seed=args.seed, scan_step=args.scan_step
        )
        scenes = SegmentationData(train=args.train_scenes, val=args.val_scenes, seed=args.seed)
        instances = PanopticData(
            train=args.panoptic_train_scenes, val=args.panoptic_val_scenes, seed=args.seed
        )
        if "classification" in args.tasks:
            run_classification(
                args.out,
                settings=pictures,
                epochs=args.epochs,
                batch_size=args.batch_size,
                processes=args.processes,
            )
        if "segmentation" in args.tasks:
            run_segmentation(
                args.out,
                settings=scenes,
                backbone=args.out / BEST,
                max_iters=args.max_iters,
                processes=args.processes,
            )
        if "detection" in args.tasks:
            run_panoptic(
                args.out,
                settings=instances,
                backbone=trained_segmentor(args.out),
                max_epochs=args.max_epochs,
                processes=args.processes,
            )
    except ValueError as error:
        parser.error(str(error))
    except CommandFailed as failure:
        print(failure, file=sys.stderr)
        return failure.code
    page = finish(args.out)
    print(f"Open {page} in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
