"""Parts of the tour: a task, its two commands, and what the page shows of it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.commands import Task
from demo.page.blocks import Panel
from demo.progress import Progress, Step
from demo.scenes.data_set import SETTINGS_FILE, DataSet
from lvt_core.files import write_text

RECORD = "run.json"  # written last: its run is whole
STARTUP_SECONDS = 9.0  # of a command, with little work in it


@dataclass(frozen=True)
class Job:
    """Choices of one run of a part.

    Attributes:
        out: Folder of the tour.
        data_set: Settings of the data set; their seed is the training's seed too.
        length: Length of training, in epochs or iterations.
        batch_size: Images per step, all processes together.
        processes: Number of processes that train side by side.
    """

    out: Path
    data_set: DataSet
    length: int
    batch_size: int
    processes: int

    def steps_of_epochs(self) -> int:
        """Return the number of training steps, for a length in epochs."""
        return self.length * -(-self.data_set.count("train") // self.batch_size)


@dataclass(frozen=True)
class Commands:
    """Commands of a part, with paths as seen from the task's folder.

    Attributes:
        train: Arguments of the training command.
        test: Arguments of the command that tests what was trained.
        outputs: Folders of results that the commands write; those of an earlier run are removed.
    """

    train: list[str]
    test: list[str]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """Results of a finished part.

    Attributes:
        body: HTML for the page.
        metrics: Percentages for ``metrics.json``.
    """

    body: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class Part:
    """A task of the tour. Its functions get the folder of the tour, or a job in it.

    Attributes:
        task: Folder with the commands. Its name is the word of ``--tasks``, and names the folder of results.
        title: Heading on the page.
        data: Name of the data set's folder.
        lead: Description of the part, HTML.
        commands: Builds the commands of a job.
        steps: Counts the training steps of a job.
        step_seconds: Duration of a training step on two idle cores.
        preview: Reads pictures of the data set, for the page without results.
        show: Reads the results of a finished run.
    """

    task: Task
    title: str
    data: str
    lead: str
    commands: Callable[[Job], Commands]
    steps: Callable[[Job], int]
    step_seconds: float
    preview: Callable[[Path], Sequence[Panel]]
    show: Callable[[Path], Shown]

    def folder(self, out: Path) -> Path:
        """Return the folder of the results."""
        return out / self.task.name

    def data_folder(self, out: Path) -> Path:
        """Return the folder of the data set."""
        return out / "data" / self.data

    def has_data(self, out: Path) -> bool:
        """Tell whether the data set is complete."""
        return (self.data_folder(out) / SETTINGS_FILE).is_file()

    def is_finished(self, out: Path) -> bool:
        """Tell whether the results of a whole run exist."""
        return (self.folder(out) / RECORD).exists()

    def planned_steps(self, job: Job) -> list[Step]:
        """List the steps of `run`, for `Progress`."""
        train = STARTUP_SECONDS + self.steps(job) * self.step_seconds
        return [Step(f"{self.title}: train", train), Step(f"{self.title}: test", STARTUP_SECONDS)]

    def run(self, job: Job, progress: Progress, show: Callable[[], object]) -> None:
        """Train and test, and leave a record of how.

        Args:
            job: Choices of the run; its data set exists.
            progress: Printer of the steps.
            show: Writes the page; called when a step begins.

        Raises:
            CommandFailed: A command fails.
        """
        commands, folder = self.commands(job), self.folder(job.out)
        for name in commands.outputs:
            shutil.rmtree(folder / name, ignore_errors=True)
        seconds = []
        for name, arguments in (("train", commands.train), ("test", commands.test)):
            with progress.step() as renew:
                show()
                start = time.monotonic()
                self.task.call(arguments, folder / f"{name}.log", wait=renew)
                seconds.append(time.monotonic() - start)
        typed = [self.task.typed(arguments) for arguments in (commands.train, commands.test)]
        record = {"commands": typed, "training_seconds": seconds[0]}
        write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """Read the commands of a finished run and the seconds of its training."""
    return json.loads((folder / RECORD).read_text(encoding="utf-8"))
