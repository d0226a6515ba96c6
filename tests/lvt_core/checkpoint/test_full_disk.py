"""A disk that is full while a checkpoint is written ends in one sentence, and the old file stays whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource, sys
from torch import nn
from lvt_core import save_checkpoint
from lvt_core.errors import run_command

resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))  # a write beyond it fails as on a full disk
run_command(lambda: save_checkpoint(nn.Linear(1000, 100), sys.argv[1], epoch=1))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of files")
@pytest.mark.parametrize("name", ["last.pth.tar", "last.safetensors"])
def test_one_sentence_and_the_old_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"good")
    words = [sys.executable, "-c", SCRIPT, str(path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr == f"error: cannot write {path}: File too large\n"
    assert path.read_bytes() == b"good" and [each.name for each in tmp_path.iterdir()] == [name]
