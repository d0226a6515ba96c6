"""The tour: the three parts in their order, the page, and ``metrics.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from demo.classification.part import CLASSIFICATION
from demo.opening import read_opening
from demo.page.blocks import Panel, duration, legend, panel_row, png_uri
from demo.page.document import Section, write_page
from demo.panoptic.part import PANOPTIC
from demo.part import RECORD, Job, Part
from demo.progress import Progress, Step
from demo.scenes.classes import COLORS
from demo.segmentation.part import SEGMENTATION
from lvt_core.files import write_text

PARTS = (CLASSIFICATION, SEGMENTATION, PANOPTIC)
TASKS = tuple(part.task.name for part in PARTS)
IMAGES_PER_SECOND = 350  # that a process draws
PAGE = "index.html"
METRICS = "metrics.json"


def run_tour(jobs: Mapping[str, Job]) -> Path:
    """Run parts of the tour, with the page and the terminal showing how far it is.

    Args:
        jobs: Choices for each task to run, by its name; all have one folder of the tour.

    Returns:
        The page.

    Raises:
        ValueError: A part lacks what it starts from, or a folder of data is not the demo's.
        CommandFailed: A command fails.
    """
    chosen = [part for part in PARTS if part.task.name in jobs]
    out = jobs[chosen[0].task.name].out
    chosen[0].commands(jobs[chosen[0].task.name])  # raises before any work
    for part in chosen:
        (part.folder(out) / RECORD).unlink(missing_ok=True)
    progress = Progress(_planned_steps(chosen, jobs))
    print(f"Open {out / PAGE} in a browser: it fills in as tasks end.")
    print(f"The output of the commands goes to {out}/*/train.log and test.log.", flush=True)
    try:
        with progress.step():
            show_tour(out, state=_state(progress))
            for part in chosen:
                job = jobs[part.task.name]
                job.data_set.make(part.data_folder(out), processes=job.processes)
        for part in chosen:
            part.run(jobs[part.task.name], progress, lambda: show_tour(out, state=_state(progress)))
    finally:
        page = show_tour(out)  # stops reloading, also after a failure
    return page


def show_tour(out: Path, *, state: str = "") -> Path:
    """Write the page and ``metrics.json`` from the files of finished parts.

    Args:
        out: Folder of the tour.
        state: State of a running tour; the page reloads itself until it is empty.

    Returns:
        The page.
    """
    sections: list[Section] = []
    metrics: dict[str, float] = {}
    unfinished = iter(("running…", "waiting…", "waiting…") if state else ("not run",) * len(PARTS))
    for part in PARTS:
        if part.is_finished(out):
            shown = part.show(out)
            metrics |= shown.metrics
            sections.append(Section(part.title, part.lead + shown.body))
        else:
            preview = panel_row(part.preview(out)) if part.has_data(out) else ""
            sections.append(Section(part.title, part.lead + preview, state=next(unfinished)))
    write_text(out / METRICS, json.dumps(metrics, indent=2, sort_keys=True) + "\n")
    write_page(out / PAGE, sections, opening=_opening(out), state=state)
    return out / PAGE


def _opening(out: Path) -> str:
    """Show the opening pictures with their legend, or nothing before the data exists."""
    opening = read_opening(out)
    names = ", ".join(opening.names)
    panels = [
        Panel(png_uri(pixels), caption, alt=f"{caption} of a scene with {names}")
        for caption, pixels in opening.pictures.items()
    ]
    return panel_row(panels) + legend({name: COLORS[name] for name in opening.names}) if panels else ""


def _planned_steps(parts: list[Part], jobs: Mapping[str, Job]) -> list[Step]:
    images = sum(jobs[part.task.name].data_set.count(split) for part in parts for split in ("train", "val"))
    processes = max(jobs[part.task.name].processes for part in parts)
    steps = [Step("Draw the pictures", 1 + images / IMAGES_PER_SECOND / min(2, processes))]
    return steps + [step for part in parts for step in part.planned_steps(jobs[part.task.name])]


def _state(progress: Progress) -> str:
    return f"Running: about {duration(progress.left())} left. This page reloads itself."
