"""The launch scripts of the dense tasks: one node needs no port, so that two runs share a machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lvt_core.openmmlab

TOOLS = Path(lvt_core.openmmlab.__file__).parent / "tools"
NODES = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "host0"}
SCRIPTS = [("train", ["config.py", "8"]), ("test", ["config.py", "weights.pth", "8"])]
MODULE = "import sys, torch.distributed as dist\ndist.init_process_group('gloo')\ndist.barrier()\n"
MODULE += "print('rank', dist.get_rank(), 'of', dist.get_world_size(), flush=True)\n"
MODULE += "dist.get_rank() or sys.stdin.readline()\ndist.barrier()\n"


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
        ({"NNODES": "1"}, ["--standalone"]),
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
    assert launched(tmp_path, name, words, variables) == ["--nproc-per-node=8", *expected]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), SCRIPTS)
def test_two_runs_share_a_machine(tmp_path: Path, name: str, words: list[str]) -> None:
    """Start the second run while the first one waits; a module in place of the tool joins its processes."""
    package = tmp_path / "lvt_core" / "openmmlab" / "tools"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / f"{name}.py").write_text(MODULE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(tmp_path)}  # before the real one
    command = [str(TOOLS / f"dist_{name}.sh"), *words[:-1], "1"]
    pipe, runs = subprocess.PIPE, []
    try:
        for _ in range(2):
            run = subprocess.Popen(
                command,
                cwd=tmp_path,
                env=environment,
                stdin=pipe,
                stdout=pipe,
                stderr=subprocess.STDOUT,
                text=True,
            )
            runs.append(run)
            assert run.stdout is not None
            lines = []
            while "rank 0 of 1\n" not in lines:
                lines.append(run.stdout.readline())
                assert lines[-1], "".join(lines)
        for run in runs:
            run.communicate("\n", timeout=60)
            assert run.returncode == 0
    finally:
        for run in runs:
            run.terminate()
            run.wait(timeout=60)
