"""The tour: makes the data, runs the real commands on it, and writes one page about it.

Command, from the repository's root: python -m demo.run [--out demo/out] [--epochs N]
"""

import argparse
import os
import sys
from pathlib import Path

from demo.classification_data import ClassificationData
from demo.classification_page import classification_sections
from demo.classification_run import CommandFailed, read_classification_run, run_classification
from demo.metrics import merge_metrics
from demo.page import write_page

DEFAULT_OUT = Path(__file__).resolve().parent / "out"


def finish(out: Path) -> Path:
    """Writes metrics.json and index.html from the files of a finished run.

    Args:
        out: The tour's folder.

    Returns:
        The page.
    """
    run = read_classification_run(out)
    merge_metrics(out / "metrics.json", top1=run.results["top1"])
    page = out / "index.html"
    write_page(page, classification_sections(run))
    return page


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="default: demo/out")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("-b", "--batch-size", type=int, default=32)
    parser.add_argument(
        "--processes", type=int, default=min(4, os.cpu_count() or 1), help="that train side by side"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-per-scan", type=int, default=3, metavar="N")
    parser.add_argument(
        "--scan-step", type=int, default=1, metavar="N", help="use every N-th scan: a quick look"
    )
    return parser


def main() -> int:
    """The command line; returns the exit code."""
    parser = _parser()
    args = parser.parse_args()
    try:
        settings = ClassificationData(
            train_per_scan=args.train_per_scan, seed=args.seed, scan_step=args.scan_step
        )
        run_classification(
            args.out,
            settings=settings,
            epochs=args.epochs,
            batch_size=args.batch_size,
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
