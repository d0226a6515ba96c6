"""The tour's command: makes the data, runs the real commands on it, and writes a page about it.

Command, in the repository's root: python -m demo.run [--out demo/out] [--epochs N] …
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from demo.classification.data import ClassificationData
from demo.classification.run import EPOCHS
from demo.commands import CommandFailed
from demo.panoptic.data import PanopticData
from demo.panoptic.run import MAX_EPOCHS
from demo.part import Job
from demo.segmentation.data import SegmentationData
from demo.segmentation.run import MAX_ITERS
from demo.tour import METRICS, TASKS, run_tour

DEFAULT_OUT = Path(__file__).resolve().parent / "out"
DENSE_BATCH_SIZE = 16
LEAST_ITERS = 40  # the schedule's warm-up is a twentieth of them


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Make the demo's data, run the tasks on it, and write a page about it."
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the tour; default: demo/out")
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=TASKS, help="tasks; each starts from the one before"
    )
    add = parser.add_argument
    add("--epochs", type=int, default=EPOCHS, metavar="N", help="epochs of classification")
    add("--max-iters", type=int, default=MAX_ITERS, metavar="N", help="steps of segmentation")
    add("--max-epochs", type=int, default=MAX_EPOCHS, metavar="N", help="epochs of detection")
    add("-b", "--batch-size", type=int, default=32, metavar="N", help="pictures per step of classification")
    processes = min(4, os.cpu_count() or 1)
    add("--processes", type=int, default=processes, metavar="N", help="processes that train side by side")
    add("--seed", type=int, default=0, metavar="N", help="seed of the data and of training")
    add(
        "--train-per-scan",
        type=int,
        default=ClassificationData.train_per_scan,
        metavar="N",
        help="training pictures of each scan",
    )
    add("--scan-step", type=int, default=1, metavar="N", help="use every N-th scan, for a quick look")
    add(
        "--train-scenes",
        type=int,
        default=SegmentationData.train,
        metavar="N",
        help="training scenes of segmentation",
    )
    add(
        "--val-scenes",
        type=int,
        default=SegmentationData.val,
        metavar="N",
        help="validation scenes of segmentation",
    )
    add(
        "--panoptic-train-scenes",
        type=int,
        default=PanopticData.train,
        metavar="N",
        help="training scenes of detection",
    )
    add(
        "--panoptic-val-scenes",
        type=int,
        default=PanopticData.val,
        metavar="N",
        help="validation scenes of detection",
    )
    return parser


def _jobs(args: argparse.Namespace) -> dict[str, Job]:
    """Turn the options into the choices of each task to run.

    Raises:
        ValueError: A setting of a data set is too small.
    """
    pictures = ClassificationData(
        seed=args.seed, train_per_scan=args.train_per_scan, scan_step=args.scan_step
    )
    scenes = SegmentationData(seed=args.seed, train=args.train_scenes, val=args.val_scenes)
    instances = PanopticData(seed=args.seed, train=args.panoptic_train_scenes, val=args.panoptic_val_scenes)
    jobs = {
        "classification": Job(args.out, pictures, args.epochs, args.batch_size, args.processes),
        "segmentation": Job(args.out, scenes, args.max_iters, DENSE_BATCH_SIZE, args.processes),
        "detection": Job(args.out, instances, args.max_epochs, DENSE_BATCH_SIZE, args.processes),
    }
    return {name: job for name, job in jobs.items() if name in args.tasks}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.max_iters < LEAST_ITERS:
        parser.error(f"--max-iters {args.max_iters}: must be {LEAST_ITERS} or more")
    for option in ("epochs", "max_epochs", "batch_size", "processes"):
        value = getattr(args, option)
        if value < 1:
            parser.error(f"--{option.replace('_', '-')} {value}: must be 1 or more")
    try:
        page = run_tour(_jobs(args))
    except ValueError as error:
        parser.error(str(error))
    except CommandFailed as failure:
        print(failure, file=sys.stderr)
        return failure.code
    metrics = json.loads((args.out / METRICS).read_text(encoding="utf-8"))
    print(", ".join(f"{name} {value:.1f} %" for name, value in metrics.items()))
    print(f"Finished: open {page} in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
