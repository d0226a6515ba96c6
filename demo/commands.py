"""The repository's own commands, called from their task's folder as a user would call them."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lvt_core.files import write_text

ROOT = Path(__file__).resolve().parents[1]


class CommandFailed(Exception):
    """A command of the tour did not succeed; carries its exit code."""

    def __init__(self, command: str, code: int) -> None:
        super().__init__(f"The command {command} failed with exit code {code}.")
        self.code = code


@dataclass(frozen=True)
class Task:
    """A task's folder, where its commands run.

    Attributes:
        name: `classification`, `segmentation` or `detection`.
        root: The repository.
    """

    name: str
    root: Path = ROOT

    def path(self, path: Path) -> str:
        """A path relative to the task's folder."""
        return Path(os.path.relpath(path.resolve(), self.root / self.name)).as_posix()

    def typed(self, arguments: list[str]) -> str:
        """A command as one would type it from the repository's root."""
        return f"cd {self.name} && {shlex.join(arguments)}"

    def call(self, arguments: list[str]) -> None:
        """Run a command with this interpreter's programs, its output shown as it comes.

        Raises:
            CommandFailed: It does not exit with 0.
        """
        print(f"$ {self.typed(arguments)}", flush=True)
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": programs}
        folder = self.root / self.name
        code = subprocess.run(arguments, cwd=folder, env=environment, check=False).returncode
        if code != 0:
            # A negative code is the signal that ended the process; a shell would say 128 + signal.
            name = next(word for word in arguments if word.endswith((".sh", ".py")))
            raise CommandFailed(f"{self.name}/{Path(name).name}", code if code > 0 else 128 - code)

    def train_and_test(
        self, train: list[str], test: list[str], folder: Path, *, outputs: tuple[str, ...]
    ) -> None:
        """Run both commands and leave `run.json`: how they are typed and how long training took.

        Args:
            train: Arguments of the training command.
            test: Arguments of the testing command.
            folder: Where the record goes.
            outputs: Folders inside of it that the commands write; those of an earlier run are removed.

        Raises:
            CommandFailed: One of them fails.
        """
        for old in outputs:
            shutil.rmtree(folder / old, ignore_errors=True)
        (folder / "run.json").unlink(missing_ok=True)  # an old record must not vouch for new files
        start = time.monotonic()
        self.call(train)
        seconds = time.monotonic() - start
        self.call(test)
        record = {"commands": [self.typed(train), self.typed(test)], "training_seconds": seconds}
        write_text(folder / "run.json", json.dumps(record, indent=2) + "\n")
