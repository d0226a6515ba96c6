"""The programs of `own_data.py` end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lvt_core.openmmlab.own_data import run_with_children

CHILD = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
PARENT = """
import os, sys
from lvt_core.errors import run_command
from lvt_core.openmmlab.own_data import run_with_children

run_command(lambda: run_with_children([sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ))
"""


def test_the_exit_status_is_the_programs() -> None:
    assert run_with_children([sys.executable, "-c", "raise SystemExit(3)"], os.environ) == 3
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_program_too(number: int, status: int, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    process = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, str(note)], stderr=subprocess.DEVNULL)
    while not (note.exists() and note.read_text()):
        time.sleep(0.1)
        assert process.poll() is None
    child = int(note.read_text())
    process.send_signal(number)
    assert process.wait(60) == status
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
