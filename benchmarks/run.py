"""All targets on a CPU in one run of at most ten minutes: a table of ratios, each met or missed.

    OMP_NUM_THREADS=1 python -m benchmarks.run [--data-root FOLDER ...] [--json FILE]

The table names the command of each part, which has more repetitions and options. Targets are ratios to the
literal form in the same process; the loader's are ratios to timm's loader. ``benchmarks.gpu`` has the targets
on a GPU.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.loader import comparison as loader
from benchmarks.network import models, token_labels
from benchmarks.side_by_side import Row, benchmark_parser, ratio, record
from lvt_core.errors import run_command
from lvt_core.timing import hardware

LIMIT_TARGET = 1.6  # compiled forms may take this many times the matrix-product limit


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser("benchmarks.run", __doc__)
    parser.add_argument("--data-root", type=Path, nargs="+", metavar="FOLDER", help="images for the loader")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(hardware())
    start = time.perf_counter()
    print("| what | times less than before | target | |\n|---|---|---|---|")
    rows = []
    for row in measure(args.data_root):
        rows.append(row)
        print(table_line(row), flush=True)
    print(f"{time.perf_counter() - start:.0f} s")
    command = parser.prog
    if args.data_root:
        command += f" --data-root {' '.join(root.name for root in args.data_root)}"
    record(args.json, command, rows)


def measure(data_roots: list[Path] | None) -> Iterator[Row]:
    """Yield one row per target."""
    yield from _network("eager1", 1.5, repeats=25)
    yield from _network("eager16", 1.5, repeats=7)
    yield from _network("compiled1", 1.8, repeats=25)
    yield from _network("packaged1", 1.8, repeats=25)
    yield from _network("training16", 1.4, repeats=5)
    yield from _network("segformer", 2.0, repeats=9, memory_target=2.0)
    yield from _token_labels()
    with tempfile.TemporaryDirectory() as folder:
        for root in data_roots or loader.write_images(Path(folder), 32):
            row = loader.measure(root, "random", 32, 9)
            faster = 1 / ratio(row["bytes"], to="timm")
            yield _row(f"training loader, {root.name}, images/s", faster, 1.5, row, "loader")


def table_line(row: Row) -> str:
    """Format one target as a line of a Markdown table."""
    met = "met" if row["met"] else "missed"
    return f"| {row['what']} | {row['measured']:.2f} | {row['target']:g} | {met} (`{row['command']}`) |"


def _network(name: str, target: float, *, repeats: int, memory_target: float = 0.0) -> Iterator[Row]:
    case = models.CASES[name]
    row = models.measure(case, repeats=repeats)
    command = f"network --cases {name}"
    yield _row(f"{case}, time", 1 / ratio(row), target, row, command)
    if memory_target:
        yield _row(f"{case}, peak memory", 1 / ratio(row, "peak_mb"), memory_target, row, command)
    if case.mode in ("compiled", "packaged"):
        share = row["limit_ms"] / row["ours"]["ms"]
        what = f"{case}, share of the matrix-product limit of {row['limit_ms']:.1f} ms"
        yield _row(what, share, round(1 / LIMIT_TARGET, 3), row, command)


def _token_labels() -> Iterator[Row]:
    """Yield rows of target and loss together, then of each: times add up, the larger peak counts."""
    parts = {row["part"]: row for row in token_labels.measure(128, 9)}
    both = {
        form: {
            "ms": sum(row[form]["ms"] for row in parts.values()),
            "peak_mb": max(row[form]["peak_mb"] for row in parts.values()),
        }
        for form in ("literal", "ours")
    }
    for name, row in {"target and loss": both, **parts}.items():
        for key, unit in (("ms", "time"), ("peak_mb", "memory")):
            what = f"token labels, batch 128, {name}: {unit}"
            yield _row(what, 1 / ratio(row, key), 10, row, "network.token_labels")


def _row(what: str, measured: float, target: float, details: Row, command: str) -> Row:
    return {
        "what": what,
        "measured": round(measured, 3),
        "target": target,
        "met": measured >= target,
        "command": f"python -m benchmarks.{command}",
        "details": details,
    }


if __name__ == "__main__":
    run_command(main)
