"""The repository's own commands, called from the folder of their task as a user calls them."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINES_SHOWN = 30  # from the end of a failed command's log


class CommandFailed(Exception):
    """Failure of a command of the tour.

    Attributes:
        code: Exit code of the command.
    """

    def __init__(self, command: str, code: int, log: Path) -> None:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_SHOWN:]
        end = "\n".join(lines)
        super().__init__(
            f"{end}\nThe command {command} failed with exit code {code}. Its whole output: {log}"
        )
        self.code = code


@dataclass(frozen=True)
class Task:
    """Folder of a task, where its commands run.

    Attributes:
        name: `classification`, `segmentation` or `detection`.
        root: Folder of the repository.
    """

    name: str
    root: Path = ROOT

    def path(self, path: Path) -> str:
        """Return a path relative to the task's folder."""
        return Path(os.path.relpath(path.resolve(), self.root / self.name)).as_posix()

    def typed(self, arguments: list[str]) -> str:
        """Return a command as you type it in the repository's root."""
        return f"cd {self.name} && {shlex.join(arguments)}"

    def call(self, arguments: list[str], log: Path, *, wait: Callable[[], None] | None = None) -> None:
        """Run a command with the programs of this interpreter.

        Args:
            arguments: The command, to run in the task's folder.
            log: File for the command and its output.
            wait: Function to call every second while the command runs.

        Raises:
            CommandFailed: The exit code is not 0.
        """
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"PORT": str(_free_port()), **os.environ, "PATH": programs}
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as output:
            print(f"$ {self.typed(arguments)}", file=output, flush=True)
            folder = self.root / self.name
            with subprocess.Popen(
                arguments, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            ) as process:
                code = _wait(process, wait)
        if code != 0:
            # A negative code is the signal that ended the process; a shell reports 128 + signal.
            name = next(word for word in arguments if word.endswith((".sh", ".py")))
            raise CommandFailed(f"{self.name}/{Path(name).name}", code if code > 0 else 128 - code, log)


def _free_port() -> int:
    """Choose a port for the processes of a command, so that it can run beside other trainings."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _wait(process: subprocess.Popen, every_second: Callable[[], None] | None) -> int:
    """Wait for a process, and end it if this one is interrupted."""
    try:
        while True:
            try:
                return process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                if every_second is not None:
                    every_second()
    except BaseException:
        process.terminate()
        raise
