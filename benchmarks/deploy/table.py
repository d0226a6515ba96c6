"""Table of exported networks: every runtime, precision and task.

    OMP_NUM_THREADS=1 python -m benchmarks.deploy [demo/out] [--tasks TASK ...] [--runtimes RUNTIME ...]
        [--precisions PRECISION ...] [--limit 100] [--repeats 15] [--json FILE] [--markdown FILE]

Differences, file sizes, times and memory belong to the published architectures, untrained, and to the demo's
panoptic network. Scores belong to the networks that ``make demo`` trained, and pass the gate. One image, one
core. Times are the processor's, measured in turns in one process; memory is measured in one process each.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.deploy.process_memory import process_memory
from benchmarks.deploy.tasks import Task, tasks
from benchmarks.side_by_side import Row, benchmark_parser, record, side_by_side
from lvt_core.errors import UserError
from lvt_core.export import BFLOAT16, PRECISIONS, RUNTIMES
from lvt_core.files import write_text
from lvt_core.timing import hardware

HEAD = ("runtime", "precision", "difference", "score, the model's", "agree", "MB", "time", "MiB")
NOT_TIMED = ("coreml",)  # outside of Apple's systems an interpreter in numpy runs its files


def main() -> None:
    """Measure, print, write.

    Raises:
        UserError: A file is missing, or an argument is wrong.
    """
    parser = benchmark_parser("benchmarks.deploy", __doc__, repeats=15)
    parser.add_argument(
        "demo", type=Path, nargs="?", default=Path("demo/out"), help="folder that make demo wrote"
    )
    parser.add_argument("--tasks", nargs="+", choices=tuple(tasks(Path(), limit=None)), metavar="TASK")
    parser.add_argument("--runtimes", nargs="+", choices=tuple(RUNTIMES), metavar="RUNTIME")
    parser.add_argument("--precisions", nargs="+", choices=(*PRECISIONS, BFLOAT16), metavar="PRECISION")
    parser.add_argument("--limit", type=int, default=100, help="images to judge on")
    parser.add_argument(
        "--add", action="store_true", help="keep the rows of the file of --json that are not measured now"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table to FILE")
    args = parser.parse_args()
    if args.add and not (args.json and args.json.is_file()):
        raise UserError(f"--add: requires --json with a file of an earlier run, not {args.json}")
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # runtimes start a thread per core
    print(hardware())
    rows: list[Row] = json.loads(args.json.read_text())["rows"] if args.add else []
    text = ""
    for name, make in tasks(args.demo, limit=args.limit).items():
        if args.tasks and name not in args.tasks:
            continue
        try:
            task = make()
        except (OSError, ValueError) as error:
            raise UserError(f"{args.demo}: {error}; `make demo` trains the networks") from error
        measured_rows = measure(
            task,
            args.runtimes or tuple(RUNTIMES),
            args.precisions or (*PRECISIONS, BFLOAT16),
            repeats=args.repeats,
        )
        measured = {row["form"]: {"task": name, **row} for row in measured_rows}
        kept = [row for row in rows if row["task"] == name and row["form"] not in measured]
        rows = [row for row in rows if row["task"] != name]
        rows += sorted([*measured.values(), *kept], key=_order)
        text += table(task.title, [row for row in rows if row["task"] == name])
        record(args.json, parser.prog, rows)  # after each task, so that an interruption loses one task only
        if args.markdown:
            write_text(args.markdown, text)
    print(text)


def measure(task: Task, runtimes: Sequence[str], precisions: Sequence[str], *, repeats: int) -> list[Row]:
    """Measure a task: rows of PyTorch's forms, then one row per runtime and precision."""
    with tempfile.TemporaryDirectory() as temporary:
        eager = task.eager()
        calls, rows = dict(eager), []
        for runtime in runtimes:
            for precision in (each for each in precisions if each in RUNTIMES[runtime].precisions):
                folder = Path(temporary, f"{runtime}-{precision}")
                print(f"{task.title}: {folder.name}", flush=True)
                row: Row = {"form": folder.name, "runtime": runtime, "precision": precision}
                rows.append(row | _converted(task, row, folder))
                if "error" in rows[-1]:
                    continue
                rows[-1] |= _judged(task, row, folder)
                if runtime not in NOT_TIMED:
                    calls[folder.name] = task.call(folder)
        times = side_by_side(calls, repeats=repeats, warmup=2, memory=False, clock=time.process_time)
    base: list[Row] = [{"form": form, "runtime": "torch", "precision": "fp32"} for form in eager]
    base[-1]["peak_mb"] = task.eager_memory()
    literal = times[base[0]["form"]]["ms"]
    rows = [row | times.get(row["form"], {}) for row in base + rows]
    return [row | ({"of_first": row["ms"] / literal} if "ms" in row else {}) for row in rows]


def _converted(task: Task, row: Row, folder: Path) -> Row:
    """Export the network that is timed; return its difference, size and memory, or the converter's error."""
    try:
        task.convert(row["runtime"], row["precision"], folder)
        result: Row = {"worst": task.worst(folder), "megabytes": _megabytes(folder)}
        if row["runtime"] not in NOT_TIMED:
            result["peak_mb"] = process_memory(str(folder), "--trust")
        result["delegates"] = {name: str(taken) for name, taken in task.delegates(folder).items()}
    except Exception as error:  # every converter has its own exceptions; the table reports them
        return {"error": str(error).strip().splitlines()[0]}
    return result


def _judged(task: Task, row: Row, folder: Path) -> Row:
    """Judge the trained network; return its scores, or the message of the gate."""
    try:
        return {"scores": asdict(task.judge(row["runtime"], row["precision"], folder))}
    except UserError as error:
        return {"rejected": str(error)}


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _order(row: Row) -> tuple[bool, bool, str]:
    """Sort PyTorch's rows first, then the others by name."""
    return row["runtime"] != "torch", row["form"] != "literal", row["form"]


def table(title: str, rows: Sequence[Row]) -> str:
    """Format a task as a Markdown table, with a line below for every delegate."""
    lines = [f"**{title}**", "", f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for row in rows:
        scores = row.get("scores")
        cells = [
            row["form"] if row["runtime"] == "torch" else row["runtime"],
            row["precision"],
            _cell(row, "worst", ".0e"),
            f"{scores['exported']:.2f}, {scores['model']:.2f}" if scores else _reason(row),
            f"{scores['agreement']:.2f} %" if scores else "",
            _cell(row, "megabytes", ".1f"),
            f"{row['of_first']:.2f} ({row['ms']:.1f} ms)" if "ms" in row else "",
            _cell(row, "peak_mb", ".0f"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        for name, sentence in row.get("delegates", {}).items():
            lines.append(f"\n{row['form']}: {name} {sentence}.")
    return "\n".join(lines) + "\n\n"


def _cell(row: Row, key: str, layout: str) -> str:
    value = row.get(key)
    return "" if value is None else f"{value:{layout}}"


def _reason(row: Row) -> str:
    return str(row.get("error", row.get("rejected", "")))
