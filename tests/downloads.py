"""Packages of other people that slow tests fetch; a test skips, and says so, if they cannot be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def pip(*words: str | Path) -> None:
    """Run pip, or skip the test with pip's last line."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["pip fails"]
        pytest.skip(f"{' '.join(map(str, words[:2]))}: {said[-1]}")


def installed_into(folder: Path, *packages: str) -> Path:
    """Install packages, without what they require, into a fresh folder; return it."""
    pip("install", *packages, "--quiet", "--no-deps", "--target", folder)
    return folder
