"""Commands in processes of their own, for tests: several ranks, and signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def start(words: Sequence[object], task: Path, **environment: object) -> subprocess.Popen:
    """Start a Python script in a folder; its two outputs are one."""
    variables = {**environment, "OMP_NUM_THREADS": 1, "PYTHONUNBUFFERED": 1}
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=task,
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def errors_of_ranks(commands: Sequence[Sequence[object]], task: Path) -> list[str]:
    """Run one command on each rank, all of which must end with a user's mistake; return the outputs."""
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    shared = {"WORLD_SIZE": len(commands), "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    ranks = [start(words, task, **shared, RANK=i, LOCAL_RANK=i) for i, words in enumerate(commands)]
    outputs = [rank.communicate(timeout=300)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [2] * len(ranks), outputs
    return outputs


def stopped(words: Sequence[object], task: Path, *, after: str, number: int) -> str:
    """Run a command, and send it a signal when its output has a text.

    Args:
        words: Script and arguments.
        task: Folder to run it in.
        after: Text to wait for.
        number: Signal.

    Returns:
        Rest of the output; the exit status is that of the signal.
    """
    process, seen = start(words, task), ""
    assert process.stdout is not None
    while after not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    process.send_signal(number)
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 128 + number, seen + rest
    assert f"stopped by {signal.Signals(number).name}: " in rest and "Traceback" not in rest
    return rest
