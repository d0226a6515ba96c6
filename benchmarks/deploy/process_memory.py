"""Memory of a process that only runs one network: ``python -m benchmarks.deploy.process_memory FOLDER``.

An exported folder runs without PyTorch, as on a device; ``--eager NAME`` runs the network in PyTorch. Prints
the most MiB that the process had in memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lvt_predict.command import CommandParser

MODULE = "benchmarks.deploy.process_memory"
CALLS = 5
NEEDS_PYTORCH = ("executorch", "pt2")  # in Python these runtimes import torch


def main() -> None:
    """Run the network, then print."""
    parser = CommandParser(prog=f"python -m {MODULE}", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="folder that lvt export wrote")
    parser.add_argument("--eager", metavar="NAME", help="lvt_cls, lvt or segformer, untrained")
    parser.add_argument("--size", type=int, default=224, help="side of the image for --eager, in pixels")
    parser.add_argument("--trust", action="store_true", help="open a .pt2 program, which can run any code")
    args = parser.parse_args()
    if args.eager:
        _run_eager(args.eager, args.size)
    else:
        _run_exported(args.folder, trust=args.trust)
    print(f"{_peak_megabytes():.1f}")


def process_memory(*words: str) -> float:
    """Run this module in a new process; return the most MiB that it had in memory.

    Raises:
        RuntimeError: The process failed.
    """
    done = subprocess.run([sys.executable, "-m", MODULE, *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout.split()[-1])


def _peak_megabytes() -> float:
    """Read the peak of this process; `getrusage` would include its parent's."""
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 1024


def _run_exported(folder: Path, *, trust: bool) -> None:
    manifest = json.loads((folder / "model.json").read_text())
    if manifest["runtime"] not in NEEDS_PYTORCH:
        # A device does not have PyTorch: here an import of it fails.
        absent: dict[str, Any] = dict.fromkeys(("torch", "torchvision", "timm"))
        sys.modules.update(absent)
    if manifest.get("task") == "panoptic":
        from lvt_predict.panoptic import PanopticModel as Model
    else:
        from lvt_predict.model import ExportedModel as Model  # type: ignore[assignment]
    batch, channels, *size = manifest["input"]
    images = np.random.default_rng(0).normal(size=(batch, channels, *size)).astype(np.float32)
    model = Model(folder, trust=trust)
    for _ in range(CALLS):
        model(images)


def _run_eager(name: str, size: int) -> None:
    import torch

    from lvt_core.predict.open_model import open_model

    torch.set_num_threads(1)
    model, image = open_model(name)[1].eval(), torch.randn(1, 3, size, size)
    with torch.inference_mode():
        for _ in range(CALLS):
            model(image)


if __name__ == "__main__":
    main()
