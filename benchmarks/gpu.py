"""Everything that is measured on a GPU, with one command, in at most eight minutes.

    python -m benchmarks.gpu [--json benchmarks/results/gpu.json] [--parts NAME ...]

Each part runs in a process of its own with a budget of time; one that is over it, fails or misses a package
says so in a line, and what it had measured counts. All forms run in bfloat16 mixed precision, in turns, with
random weights and images. ``--tiny`` runs every part in seconds on any machine: to try the command, no
measurement.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu_dense import panoptic, segmentation
from benchmarks.gpu_layers import csa, labels
from benchmarks.gpu_network import network, peers, training
from benchmarks.gpu_scale import FULL, TINY, Part, Scale
from benchmarks.side_by_side import Row, record
from lvt_core.errors import CommandParser, UserError, run_command, sentence
from lvt_core.timing import hardware

# Seconds of each; together eight minutes.
PARTS: dict[str, tuple[Part, int]] = {
    "csa": (csa, 60),
    "network": (network, 120),
    "training": (training, 110),
    "labels": (labels, 20),
    "peers": (peers, 60),
    "segmentation": (segmentation, 55),
    "panoptic": (panoptic, 55),
}


def main() -> None:
    """Measure, print, write.

    Raises:
        UserError: There is no GPU, or an argument is wrong.
    """
    args = _parse()
    scale = TINY if args.tiny else FULL
    if args.rows:
        run_part(args.parts[0], scale, args.rows)
        return
    if not (args.tiny or torch.cuda.is_available()):
        raise UserError("there is no GPU here; --tiny tries the command without measuring anything")
    print(hardware())
    rows = []
    for name in args.parts:
        for row in supervise(name, tiny=args.tiny):
            rows.append(row)
            print(table(row), flush=True)
    print(summary(rows))
    if args.tiny:
        print("--tiny: these figures are of toys and say nothing")
    record(args.json, f"python -m benchmarks.gpu{' --tiny' if args.tiny else ''}", rows, tiny=args.tiny)


def run_part(name: str, scale: Scale, file: Path) -> None:
    """Measure one part; each row is in the file as soon as it is known."""
    with file.open("a") as rows:
        try:
            for row in PARTS[name][0](scale):
                print(json.dumps({"part": name, **row}), file=rows, flush=True)
        except UserError as error:
            print(json.dumps({"part": name, "skipped": sentence(error)}), file=rows)


def supervise(name: str, *, tiny: bool) -> list[Row]:
    """Run a part in a process of its own, within its budget; what went wrong is a row, too."""
    budget = PARTS[name][1]
    with tempfile.TemporaryDirectory() as folder:
        file, errors = Path(folder, "rows"), Path(folder, "errors")
        file.touch()
        words = [sys.executable, "-m", "benchmarks.gpu", "--parts", name, "--rows", str(file)]
        start = time.perf_counter()
        with errors.open("w") as stream:
            child = subprocess.Popen(
                words + ["--tiny"] * tiny, stdout=stream, stderr=stream, start_new_session=True
            )
            try:
                status = child.wait(timeout=budget)
                reason = f"failed: {_last_line(errors)}" if status else ""
            except subprocess.TimeoutExpired:
                reason = f"stopped at its budget of {budget} s"
            except BaseException:
                _end(child)
                raise
            _end(child)
        lines = file.read_text().splitlines(keepends=True)
        rows = [json.loads(line) for line in lines if line.endswith("\n")]  # the last may be cut off
    seconds = round(time.perf_counter() - start, 1)
    return [*rows, {"part": name, "seconds": seconds} | ({"skipped": reason} if reason else {})]


def table(row: Row) -> str:
    """A row as lines of text."""
    if "forms" not in row:
        return f"{row['part']}: {row.get('skipped', '')}".rstrip(": ") + (
            f" ({row['seconds']} s)" if "seconds" in row else ""
        )
    lines = [f"{row['part']}: {row['name']}"]
    forms, to = row["forms"], row.get("to", "literal")
    for form, found in forms.items():
        parts = [f"  {form:<32} {found['ms']:10.3f} ms {1e3 * row['images'] / found['ms']:11.1f} images/s"]
        if to in forms:
            parts.append(f"{forms[to]['ms'] / found['ms']:6.2f} x")
        if "peak_mb" in found:
            parts.append(f"{found['peak_mb']:9.1f} MiB")
        if "top1_published" in found:
            parts.append(f"top-1 {found['top1_published']:.2f} at {found['size']}, published")
        lines.append("  ".join(parts))
    if "difference" in row:
        lines.append(f"  largest difference {row['difference']:.1e}")
    lines += [f"  {_verdict(found)}" for found in row["targets"]]
    return "\n".join(lines + [f"  {note}" for note in row.get("notes", ())])


def summary(rows: Sequence[Row]) -> str:
    """All targets, and whether they are met."""
    lines = ["targets:"]
    for row in rows:
        lines += [f"  {row['name']}: {_verdict(found)}" for found in row.get("targets", ())]
    return "\n".join(lines)


def _verdict(found: Row) -> str:
    verdict = "met" if found["met"] else "not met"
    return (
        f"{found['name']}: {found['times_less']:.2f} x less ({found['best']}), "
        f"target {found['bound']:.2f}: {verdict}"
    )


def _last_line(file: Path) -> str:
    return (file.read_text(errors="replace").strip() or "without a word").splitlines()[-1]


def _end(child: subprocess.Popen) -> None:
    """End the part and the compiler's processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _parse() -> argparse.Namespace:
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--tiny", action="store_true", help="try the command on any machine")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
