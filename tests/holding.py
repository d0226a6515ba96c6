"""Another process that writes into a folder, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = """
import os, sys, time
from lvt_core.runs.live_folder import live_folder
with live_folder(sys.argv[1], ()):
    if os.fork() == 0:  # a worker, which outlives its killed run
        print("ready", os.getpid(), flush=True)
    time.sleep(60)
"""


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen]:
    """Give a process that holds a folder, and that has a worker; both end with the block."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = next(line for line in process.stdout if line.startswith("ready"))  # imports might print, too
    worker = int(ready.split()[1])
    try:
        yield process
        os.kill(worker, 0)  # it lives
    finally:
        process.kill()
        process.wait()
        os.kill(worker, signal.SIGKILL)
        process.stdout.close()
