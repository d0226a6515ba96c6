"""The launch scripts of the dense tasks: one node needs no port, so that two runs share a machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import lvt_core.openmmlab

TOOLS = Path(lvt_core.openmmlab.__file__).parent / "tools"
NODES = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "host0"}
SCRIPTS = [("train", ["config.py", "8"]), ("test", ["config.py", "weights.pth", "8"])]


def launched(folder: Path, name: str, words: list[str], variables: dict[str, str]) -> list[str]:
    """Return the words that a script hands to torchrun, up to the module."""
    torchrun = folder / "bin" / "torchrun"
    torchrun.parent.mkdir()
    torchrun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    torchrun.chmod(0o755)
    environment = {"PATH": f"{torchrun.parent}{os.pathsep}{os.environ['PATH']}", **variables}
    command = [str(TOOLS / f"dist_{name}.sh"), *words, "--option", "a value"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    first, _, last = done.stdout.partition(f"-m\nlvt_core.openmmlab.tools.{name}\n")
    assert last.splitlines() == [*words[:-1], "--launcher", "pytorch", "--option", "a value"]
    return first.splitlines()


@pytest.mark.parametrize(("name", "words"), SCRIPTS)
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ["--standalone"]),
        (
            {"PORT": "29501"},
            "--nnodes=1 --node-rank=0 --master-addr=127.0.0.1 --master-port=29501".split(),
        ),
        (NODES, "--nnodes=2 --node-rank=1 --master-addr=host0 --master-port=29500".split()),
    ],
)
def test_one_node_stands_alone(
    tmp_path: Path, name: str, words: list[str], variables: dict[str, str], expected: list[str]
) -> None:
    assert launched(tmp_path, name, words, variables) == [*expected, "--nproc-per-node=8"]
