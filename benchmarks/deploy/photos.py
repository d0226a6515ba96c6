"""Photos through PyTorch and every runtime: equal results, and the time from the command to the picture.

    OMP_NUM_THREADS=1 python -m benchmarks.deploy.photos CHECKPOINT PHOTOS --size 224 [--limit 200]

The checkpoint is exported in float32 to each runtime. Every photo goes through all of them and PyTorch. Then
a photo of 12 megapixels is predicted by whole commands, each in a new process, import and drawing included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import lvt_core
from benchmarks.side_by_side import Row, benchmark_parser, record
from lvt_core import cli
from lvt_core.errors import UserError, run_command
from lvt_core.export import RUNTIMES
from lvt_core.timing import hardware
from lvt_predict.model import load
from lvt_predict.photo.exported import predictor_of
from lvt_predict.photo.predictors import PanopticPredictor, Predictor
from lvt_predict.photo.results import Classification, Panoptic, Result, Segmentation
from lvt_predict.photo.sources import Item, find_items
from lvt_predict.pictures import read_picture

LARGE = (4000, 3000)  # width and height of 12 megapixels
TOP = 5
PYTORCH = "PyTorch"
COMMANDS = {
    True: "from lvt_core.cli import command; command()",
    False: "from lvt_predict.photo.command import command; command()",
}


def main() -> None:
    """Compare and measure, and print."""
    parser = benchmark_parser("benchmarks.deploy.photos", __doc__, repeats=3)
    parser.add_argument("checkpoint", help="classifier, segmentor or panoptic network")
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument("--size", nargs="+", type=int, required=True, metavar="PIXELS", help="input size")
    parser.add_argument("--config", help="mmdetection's config of a panoptic network")
    parser.add_argument("--limit", type=int, default=200, help="photos to compare; default: 200")
    parser.add_argument("--to", nargs="+", choices=tuple(RUNTIMES), default=tuple(RUNTIMES), help="runtimes")
    args = parser.parse_args()
    print(hardware())
    size = (args.size[0], args.size[-1])
    ours = lvt_core.load(args.checkpoint, size=size, config=args.config, device="cpu")
    items = [item for item in find_items([args.photos])[0] if isinstance(item, Item)][: args.limit]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {runtime: export(args, ours, runtime, folder / runtime) for runtime in args.to}
        rows = compare(
            ours, {key: predictor_of(load(file, trust=True)) for key, file in files.items()}, items
        )
        large = folder / "large.jpg"
        read_picture(items[0].file).resize(LARGE).save(large, quality=90)
        for row in rows:
            network = files.get(row["runtime"], args.checkpoint)
            row |= time_command(row["runtime"] == PYTORCH, network, large, args)
            print(describe(row), flush=True)
    record(args.json, parser.prog, rows, photos=len(items), size=list(size))


def export(args: argparse.Namespace, ours: Predictor, runtime: str, folder: Path) -> Path:
    """Export the checkpoint to a runtime in float32; return the folder.

    Raises:
        UserError: A panoptic network has no config.
    """
    words = ["export", args.checkpoint, "--to", runtime, "--output", str(folder)]
    words += ["--size", *map(str, args.size)]
    if isinstance(ours, PanopticPredictor):
        if args.config is None:
            raise UserError("--config: is required to export a panoptic network")
        words += ["--task", "panoptic", "--config", args.config]
    cli.main(words)
    return folder


def compare(ours: Predictor, exported: dict[str, Predictor], items: Sequence[Item]) -> list[Row]:
    """Predict every photo with PyTorch and all runtimes, and count differences from PyTorch."""
    rows: dict[str, Row] = {name: {"runtime": name, "photos": 0, "equal": 0} for name in (PYTORCH, *exported)}
    for item in items:
        photo = item.read(exif=True)
        expected = ours.predict(photo)
        for name, row in rows.items():
            result = expected if name == PYTORCH else exported[name].predict(photo)
            different, total = differences(result, expected)
            row["photos"] += 1
            row["equal"] += not different
            row["different"] = row.get("different", 0) + different
            row["total"] = row.get("total", 0) + total
    return list(rows.values())


def differences(result: Result, expected: Result) -> tuple[int, int]:
    """Count what differs, and what was compared: places of the five best classes, or pixels."""
    if isinstance(result, Classification) and isinstance(expected, Classification):
        orders = [np.argsort(-each.scores, kind="stable")[:TOP] for each in (result, expected)]
        return int((orders[0] != orders[1]).sum()), TOP
    if isinstance(result, Segmentation) and isinstance(expected, Segmentation):
        return int((result.labels != expected.labels).sum()), result.labels.size
    assert isinstance(result, Panoptic) and isinstance(expected, Panoptic)
    return int((result.map.ids != expected.map.ids).sum()), result.map.ids.size


def time_command(is_pytorch: bool, network: str | Path, photo: Path, args: argparse.Namespace) -> Row:
    """Time whole commands that predict a photo and draw it: seconds, the median."""
    words = [sys.executable, "-c", COMMANDS[is_pytorch], *(["predict"] if is_pytorch else []), str(photo)]
    words += ["--with", str(network), "--save", str(photo.parent / "out"), "--trust"]
    if is_pytorch:
        words += ["--size", *map(str, args.size), "--device", "cpu"]
        words += ["--config", args.config] if args.config else []
    seconds = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        done = subprocess.run(words, capture_output=True, text=True)
        seconds.append(round(time.perf_counter() - start, 3))
        if done.returncode:
            raise UserError(done.stderr.strip().splitlines()[-1])
    return {"seconds": sorted(seconds)[len(seconds) // 2], "seconds_all": seconds}


def describe(row: Row) -> str:
    """Return a line of a row's results."""
    return (
        f"{row['runtime']}: {row['equal']} of {row['photos']} photos equal, {row['different']:,} of "
        f"{row['total']:,} places differ; 12 megapixels from command to picture: {row['seconds']:.2f} s"
    )


if __name__ == "__main__":
    run_command(main)
