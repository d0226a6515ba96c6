"""All measurements on a GPU, with one command, in at most eight minutes.

    python -m benchmarks.gpu [--json benchmarks/results/gpu.json] [--parts NAME ...]

Each part runs in its own process with a budget of time. A part that exceeds its budget, fails or misses a
package reports that in one line; the rows that it had finished stay valid. All forms run in bfloat16 mixed
precision, in turns, with random weights and images. ``--tiny`` runs every part in seconds on any machine: it
tries the command and measures nothing.
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

from benchmarks.gpu.dense import panoptic, segmentation
from benchmarks.gpu.layers import csa, labels
from benchmarks.gpu.network import network, peers, training
from benchmarks.gpu.scale import FULL, TINY, Part, Scale
from benchmarks.side_by_side import Row, benchmark_parser, record
from lvt_core.errors import UserError, sentence
from lvt_core.timing import hardware

# Each part with its budget in seconds; together at most eight minutes.
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
        UserError: No GPU is available, or an argument is wrong.
    """
    args = _parse()
    scale = TINY if args.tiny else FULL
    if args.rows:
        run_part(args.parts[0], scale, args.rows)
        return
    if not (args.tiny or torch.cuda.is_available()):
        raise UserError("python -m benchmarks.gpu: needs a GPU; --tiny tries the command on any machine")
    print(hardware())
    rows = []
    for name in args.parts:
        for row in supervise(name, tiny=args.tiny):
            rows.append(row)
            print(table(row), flush=True)
    print(summary(rows))
    if args.tiny:
        print("--tiny: these figures come from tiny networks and measure nothing")
    record(args.json, f"python -m benchmarks.gpu{' --tiny' if args.tiny else ''}", rows, tiny=args.tiny)


def run_part(name: str, scale: Scale, file: Path) -> None:
    """Measure one part; append each row to the file as soon as it is known."""
    with file.open("a") as rows:
        try:
            for row in PARTS[name][0](scale):
                print(json.dumps({"part": name, **row}), file=rows, flush=True)
        except UserError as error:
            print(json.dumps({"part": name, "skipped": sentence(error)}), file=rows)


def supervise(name: str, *, tiny: bool) -> list[Row]:
    """Run a part in its own process, within its budget; return its rows, a failure among them."""
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
        rows = [json.loads(line) for line in lines if line.endswith("\n")]  # the last line may be incomplete
    seconds = round(time.perf_counter() - start, 1)
    return [*rows, {"part": name, "seconds": seconds} | ({"skipped": reason} if reason else {})]


def table(row: Row) -> str:
    """Format a row as lines of text."""
    if "forms" not in row:
        return f"{row['part']}: {row.get('skipped', '')}".rstrip(": ") + (
            f" ({row['seconds']} s)" if "seconds" in row else ""
        )
    lines = [f"{row['part']}: {row['name']}"]
    forms, to = row["forms"], row.get("to", "literal")
    for form, figures in forms.items():
        rate = 1e3 * row["images"] / figures["ms"]
        parts = [f"  {form:<32} {figures['ms']:10.3f} ms {rate:11.1f} images/s"]
        if to in forms:
            parts.append(f"{forms[to]['ms'] / figures['ms']:6.2f} x")
        if "peak_mb" in figures:
            parts.append(f"{figures['peak_mb']:9.1f} MiB")
        if "top1_published" in figures:
            parts.append(f"top-1 {figures['top1_published']:.2f} at {figures['size']}, published")
        lines.append("  ".join(parts))
    if "difference" in row:
        lines.append(f"  largest difference {row['difference']:.1e}")
    lines += [f"  {_verdict(target)}" for target in row["targets"]]
    return "\n".join(lines + [f"  {note}" for note in row.get("notes", ())])


def summary(rows: Sequence[Row]) -> str:
    """List all targets, and whether they are met."""
    lines = ["targets:"]
    for row in rows:
        lines += [f"  {row['name']}: {_verdict(target)}" for target in row.get("targets", ())]
    return "\n".join(lines)


def _verdict(target: Row) -> str:
    verdict = "met" if target["met"] else "not met"
    return (
        f"{target['name']}: {target['times_less']:.2f} x less ({target['best']}), "
        f"target {target['bound']:.2f}: {verdict}"
    )


def _last_line(file: Path) -> str:
    return (file.read_text(errors="replace").strip() or "no message").splitlines()[-1]


def _end(child: subprocess.Popen) -> None:
    """Kill the part's process and the compiler processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _parse() -> argparse.Namespace:
    parser = benchmark_parser("benchmarks.gpu", __doc__)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="NAME")
    parser.add_argument(
        "--tiny", action="store_true", help="tiny networks, to try the command on any machine"
    )
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()
