"""The harness of all benchmarks: forms of one thing, in turns, in one process."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.peak import peak_megabytes
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
    """Time calls in turns, so that whatever else the machine does falls on all of them.

    Args:
        calls: The forms, by name.
        repeats: Timed calls of each.
        warmup: Calls of each that are not counted.
        memory: Measure the peak memory, too, in a pass of its own.
        clock: Gives seconds. `time.process_time` counts what the process computes, on all of its threads:
            the same on one core that has nothing else to do, and steadier on one that has.

    Returns:
        For each form ``ms`` (median), ``ms_low`` and ``ms_high`` (quartiles), ``ms_all`` and, if asked
        for, ``peak_mb``: MiB in use at most during a call, beyond its inputs.
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


def ratio(row: Row, key: str = "ms", *, of: str = "ours", to: str = "literal") -> float:
    """One form's figure over another's."""
    return row[of][key] / row[to][key]


def line(title: str, row: Row, *, of: str = "ours", to: str = "literal") -> str:
    """One comparison as one line of text."""
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
    """Write what was measured, with the machine and the command, if a file is asked for."""
    if file is not None:
        content = {"hardware": hardware(), "command": command, **others, "rows": rows}
        write_text(file, json.dumps(content, indent=1) + "\n")
