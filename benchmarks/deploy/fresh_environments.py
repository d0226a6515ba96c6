"""Exported files in fresh environments: installs ``lvt-predict`` with one runtime, runs each file there.

    python -m benchmarks.deploy.fresh_environments [FOLDER ...] [--runtimes RUNTIME ...] [--size 64]

``lvt export`` writes the folders; without a folder, an untrained lvt_cls is exported in float32 to each
runtime. Each environment has numpy and one runtime in the pinned versions; there the recorded outputs are
compared. Needs a package index.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lvt_core import cli
from lvt_core.errors import CommandParser, UserError, run_command
from lvt_predict.manifest import PACKAGES, read_manifest

ROOT = Path(__file__).resolve().parents[2]
RUNTIMES = tuple(runtime for runtime in PACKAGES if runtime != "pt2")  # pt2 is PyTorch itself


def main() -> None:
    """Export, install, run, print."""
    parser = CommandParser(
        prog="python -m benchmarks.deploy.fresh_environments", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "folders", type=Path, nargs="*", metavar="FOLDER", help="folder that lvt export wrote"
    )
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=RUNTIMES, metavar="RUNTIME")
    parser.add_argument("--size", type=int, default=64, help="side of the image without folders, in pixels")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        folders = args.folders or [_export(runtime, args.size, place) for runtime in args.runtimes]
        by_runtime: dict[str, list[Path]] = {}
        for folder in folders:
            by_runtime.setdefault(read_manifest(folder)["runtime"], []).append(folder.resolve())
        for runtime, same_runtime in by_runtime.items():
            python = fresh_environment(place / runtime, runtime)
            installed = _run(python, "-m", "pip", "list", "--format=freeze")
            print(f"{runtime}, in an environment with {', '.join(installed.split())}")
            print(_run(python, "-m", "lvt_predict.sample", "--trust", *map(str, same_runtime)), flush=True)


def _export(runtime: str, size: int, place: Path) -> Path:
    folder = place / f"lvt_cls-{runtime}"
    cli.main(["export", "lvt_cls", "--to", runtime, "--size", str(size), "--output", str(folder)])
    return folder


def fresh_environment(folder: Path, runtime: str) -> Path:
    """Make an environment with lvt-predict and a runtime, in the pinned versions; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    source = folder / "lvt_predict"  # a copy, as pip builds in the folder that it installs
    shutil.copytree(ROOT / "lvt_predict", source)
    package = f"{source}[{runtime}]"
    _run(python, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), package)
    return python


def _run(python: Path, *words: str) -> str:
    """Run a command outside of the checkout; return its output.

    Raises:
        UserError: The command failed.
    """
    done = subprocess.run([python, *words], capture_output=True, text=True, cwd=python.parent)
    if done.returncode:
        raise UserError(f"{' '.join(words)}: {done.stderr.strip()[-300:]}")
    return done.stdout


if __name__ == "__main__":
    run_command(main)
