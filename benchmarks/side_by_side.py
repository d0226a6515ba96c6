"""The harness of all benchmarks: call the forms of one computation in turns, in one process."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lvt_core.errors import CommandParser
from lvt_core.files import write_text
from lvt_core.timing import hardware, seconds_of

Call = Callable[[], object]
Row = dict[str, Any]


def side_by_side(
    calls: Mapping[str, Call],
    *,
    repeats: int,
    warmup: int = 1,
    memory: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Row]:
    """Time calls in turns, so that other load on the machine slows all of them alike.

    Args:
        calls: Calls to time, by the name of their form.
        repeats: Timed calls of each form.
        warmup: Calls of each form before the timed ones.
        memory: Also measure the peak memory, in a separate pass.
        clock: Function that returns seconds. `time.process_time` counts the processor's time in all threads
            of this process: on one idle core it equals the wall clock, on a busy one it is steadier.

    Returns:
        For each form ``ms`` (median), ``ms_low`` and ``ms_high`` (quartiles), ``ms_all``, and with `memory`
        ``peak_mb``: the most MiB in use during a call, beyond its inputs.
    """
    seconds: dict[str, list[float]] = {form: [] for form in calls}
    for repeat in range(warmup + repeats):
        for form, call in calls.items():
            elapsed = seconds_of(call, clock)
            if repeat >= warmup:
                seconds[form].append(elapsed)
    result: dict[str, Row] = {}
    for form, call in calls.items():
        times = [round(1e3 * s, 4) for s in seconds[form]]
        low, middle, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
        result[form] = {"ms": middle, "ms_low": low, "ms_high": high, "ms_all": times}
        if memory:
            result[form]["peak_mb"] = round(peak_megabytes(call), 3)
    return result


def peak_megabytes(call: Call) -> float:
    """Return the most MiB in use during a second call, beyond what was in use before it."""
    call()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with torch.profiler.profile(profile_memory=True) as profile:
        call()
    in_use = peak = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            in_use += event.nbytes()
            peak = max(peak, in_use)
    return peak / 2**20


def device() -> str:
    """Return the device that benchmarks run on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def relative_difference(expected: Tensor, actual: Tensor) -> float:
    """Return the largest difference, relative to the largest expected value."""
    expected, actual = expected.float(), actual.float()
    return ((expected - actual).abs().max() / expected.abs().max()).item()


def ratio(row: Row, key: str = "ms", *, of: str = "ours", to: str = "literal") -> float:
    """Divide one form's figure by another's."""
    return row[of][key] / row[to][key]


def line(title: str, row: Row, *, of: str = "ours", to: str = "literal") -> str:
    """Format one comparison as one line of text."""
    parts = [f"{title}:"]
    for key, unit in (("ms", "ms"), ("gmacs", "GMACs"), ("peak_mb", "MiB")):
        if key in row[of]:
            parts.append(
                f"{row[to][key]:.3g} -> {row[of][key]:.3g} {unit} ({ratio(row, key, of=of, to=to):.3f})"
            )
    if "difference" in row:
        parts.append(f"largest difference {row['difference']:.1e}")
    return "  ".join(parts)


def record(file: Path | None, command: str, rows: list[Row], **others: Any) -> None:
    """Write the rows with the machine and the command as JSON, if there is a file to write to."""
    if file is not None:
        content = {"hardware": hardware(), "command": command, **others, "rows": rows}
        write_text(file, json.dumps(content, indent=1) + "\n")


def benchmark_parser(module: str, description: str, *, repeats: int | None = None) -> CommandParser:
    """Make a parser with the options that benchmarks share.

    Args:
        module: Name to start the benchmark by; ``prog`` of the parser is the command.
        description: Docstring of the benchmark's module; its first line opens the help.
        repeats: Default of ``--repeats``; without one the option does not exist.
    """
    parser = CommandParser(prog=f"python -m {module}", description=description.splitlines()[0])
    if repeats is not None:
        parser.add_argument("--repeats", type=int, default=repeats, help="timed calls of each form")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    return parser
