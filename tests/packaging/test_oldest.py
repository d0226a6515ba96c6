"""The oldest versions that pyproject.toml allows are right, not only importable."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info < (3, 11):
    import tomli as tomllib
else:
    import tomllib

ROOT = Path(__file__).resolve().parents[2]
# PyTorch is left out: its wheels of the package index come with gigabytes of CUDA libraries.
LEFT_OUT = {"lvt-predict", "torch", "torchvision"}
TESTS = [
    "tests/lvt_classify/test_train.py::test_a_run_writes_its_results",
    "tests/lvt_classify/test_train.py::test_resumed_with_other_batches_the_schedule_ends_where_it_should",
    "tests/lvt_classify/test_user_errors.py",
    "tests/lvt_classify/data",
    "tests/lvt_core/checkpoint",
    "tests/lvt_predict/test_pictures.py",
]


def oldest() -> list[str]:
    """Return the lowest version of each distribution that training needs, as ``name==version``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    pairs = [re.fullmatch(r"([\w-]+)>=([\d.]+)", bound) for bound in bounds]
    return [f"{pair[1]}=={pair[2]}" for pair in pairs if pair and pair[1] not in LEFT_OUT]


@pytest.mark.slow
def test_the_oldest_versions_pass(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", "--target"]
    done = subprocess.run([*command, str(tmp_path), *oldest()], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the oldest versions cannot be installed here: {done.stderr.splitlines()[-1]}")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *TESTS]
    done = subprocess.run(
        tests, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
