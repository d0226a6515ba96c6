"""Opened by a stranger: each runtime's file in a fresh environment of numpy and the runtime alone.

    python -m benchmarks.strangers [FOLDER ...] [--runtimes RUNTIME ...] [--size 64]

The folders are exports; without any, lvt_cls, untrained, float32, is exported to each runtime. Makes an
environment with the pinned versions for each, and asks there for the recorded outputs. Needs a package index.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lvt_core import cli
from lvt_core.errors import UserError, run_command
from lvt_predict.manifest import PACKAGES, read_manifest

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Export, install, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    others = tuple(runtime for runtime in PACKAGES if runtime != "pt2")  # which is PyTorch's own
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="what lvt export wrote")
    parser.add_argument("--runtimes", nargs="+", choices=others, default=others, metavar="RUNTIME")
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folders = args.folders or [
            _exported(runtime, args.size, Path(temporary)) for runtime in args.runtimes
        ]
        by_runtime: dict[str, list[Path]] = {}
        for folder in folders:
            by_runtime.setdefault(read_manifest(folder)["runtime"], []).append(folder)
        for runtime, written in by_runtime.items():
            python = fresh_environment(Path(temporary, runtime), PACKAGES[runtime])
            installed = _run(python, "-m", "pip", "list", "--format=freeze")
            print(f"{runtime}, in an environment of {', '.join(installed.split())}")
            print(_run(python, "-m", "lvt_predict.sample", *map(str, written)), flush=True)


def _exported(runtime: str, size: int, place: Path) -> Path:
    folder = place / f"lvt_cls-{runtime}"
    cli.main(["export", "lvt_cls", "--to", runtime, "--size", str(size), "--output", str(folder)])
    return folder


def fresh_environment(folder: Path, package: str) -> Path:
    """An environment of numpy and a package, in the pinned versions; its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    pins = ROOT / "constraints.txt"
    _run(python, "-m", "pip", "install", "--quiet", "-c", str(pins), "numpy", *package.split())
    return python


def _run(python: Path, *words: str) -> str:
    """A command's output.

    Raises:
        UserError: It failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, *words], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise UserError(f"{' '.join(words)}: {done.stderr.strip()[-300:]}")
    return done.stdout


if __name__ == "__main__":
    run_command(main)
