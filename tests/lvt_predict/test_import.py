"""`import lvt_predict` needs numpy and costs little beside its runtime."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNS = 7
LIMIT = 0.05  # part of the runtime's own time
SLOW_MODULES = {"argparse", "dataclasses", "hashlib", "json", "importlib.metadata", "inspect"}
TIMES = """
import time
start = time.perf_counter()
import onnxruntime
middle = time.perf_counter()
import lvt_predict
print(middle - start, time.perf_counter() - middle)
"""
MODULES = """
import sys
import numpy
before = set(sys.modules)
import lvt_predict
print(*sorted(set(sys.modules) - before))
"""


def run(script: str, cache: Path) -> str:
    """Run a script in a new process that keeps bytecode, as an installed package has it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = kept | {"PYTHONPYCACHEPREFIX": str(cache)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_takes_at_most_five_percent_of_its_runtimes_time(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    run(TIMES, tmp_path)  # writes the bytecode
    times = [[float(each) for each in run(TIMES, tmp_path).split()] for _ in range(RUNS)]
    runtime, ours = (min(column) for column in zip(*times, strict=True))
    assert ours <= LIMIT * runtime, f"{1e3 * ours:.1f} ms beside {1e3 * runtime:.1f} ms"


def test_loads_numpy_and_no_slow_module(tmp_path: Path) -> None:
    loaded = run(MODULES, tmp_path).split()
    assert "lvt_predict.runtimes" in loaded
    packages = {name.partition(".")[0] for name in loaded}
    assert packages - set(sys.stdlib_module_names) == {"lvt_predict"}
    assert not SLOW_MODULES & set(loaded)
