"""Pictures read once each, in several processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from lvt_core.doctor.report import Report
from lvt_core.errors import UserError
from lvt_predict.pictures import SIXTEEN_BITS, UPRIGHT, orientation, read_picture

CHUNK = 32  # pictures that a process takes at a time
Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Examined:
    """One picture.

    Attributes:
        path: File.
        width: Width as a viewer shows it; 0 if the picture cannot be read.
        height: Height as a viewer shows it.
        digest: Hash of the file's bytes.
        problem: Sentence that says why the picture cannot be read; empty if it can.
        odd: Unusual properties of the picture, in a few words each.
    """

    path: Path
    width: int
    height: int
    digest: str
    problem: str = ""
    odd: tuple[str, ...] = ()


def examine(path: Path) -> Examined:
    """Decode a picture, and describe it."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        picture = read_picture(path)
        with Image.open(path) as image:
            odd = [text for text, holds in _odd(image).items() if holds]
    except (OSError, UserError) as error:
        return Examined(path, 0, 0, "", str(error) or type(error).__name__)
    return Examined(path, *picture.size, digest, "", tuple(odd))


def in_parallel(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, processes: int, title: str
) -> Iterator[Result]:
    """Call a function on many tasks, in their order, with a progress bar on a terminal.

    Args:
        function: Function at the top of a module.
        tasks: Arguments.
        processes: Number of processes; 1 works in this one.
        title: Name of the work, for the bar.
    """
    calls: Iterable[Result]
    if processes == 1 or len(tasks) <= CHUNK:
        yield from _with_progress(map(function, tasks), len(tasks), title)
        return
    context: Any = multiprocessing.get_context("spawn")  # a fork would copy PyTorch's threads
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        calls = pool.map(function, tasks, chunksize=CHUNK)
        yield from _with_progress(calls, len(tasks), title)


def report_pictures(report: Report, split: str, pictures: Sequence[Examined]) -> None:
    """Add the sizes of a split's pictures, what is odd about them, and the unreadable ones."""
    good = [picture for picture in pictures if not picture.problem]
    for picture in pictures:
        if picture.problem:
            report.add_defect("unreadable pictures", picture.problem)
    if good:
        smallest = min(good, key=lambda picture: picture.width * picture.height)
        largest = max(good, key=lambda picture: picture.width * picture.height)
        report.facts[f"{split}: sizes"] = (
            f"{smallest.width} x {smallest.height} to {largest.width} x {largest.height}"
        )
    odd: dict[str, list[Path]] = {}
    for picture in good:
        for text in picture.odd:
            odd.setdefault(text, []).append(picture.path)
    for text, paths in sorted(odd.items()):
        report.notes.append(f"{split}: {len(paths)} pictures {text}, such as {paths[0]}")


def report_duplicates(report: Report, train: Sequence[Examined], val: Sequence[Examined]) -> None:
    """Report validation pictures whose bytes are also in the training data."""
    first = {picture.digest: picture.path for picture in train if picture.digest}
    for picture in val:
        if picture.digest in first:
            report.add_defect(
                "validation pictures in the training data", f"{picture.path} = {first[picture.digest]}"
            )


def default_processes() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _odd(image: Image.Image) -> dict[str, bool]:
    return {
        "are turned by their EXIF data": orientation(image) != UPRIGHT,
        "have 16 bits": image.mode in (*SIXTEEN_BITS, "I"),
        "have a transparency, which is dropped": image.mode in ("RGBA", "LA", "PA"),
        "are in CMYK": image.mode == "CMYK",
        "are animations, of which the first frame is read": getattr(image, "n_frames", 1) > 1,
        "are smaller than 32 pixels": min(image.size) < 32,
    }


def _with_progress(calls: Iterable[Result], total: int, title: str) -> Iterator[Result]:
    shows = sys.stderr.isatty()
    for number, result in enumerate(calls, start=1):
        if shows and (number % CHUNK == 0 or number == total):
            print(f"\r{title}: {number} of {total}", end="", file=sys.stderr, flush=True)
        yield result
    if shows and total:
        print(file=sys.stderr)
