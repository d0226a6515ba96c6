"""Memory of a process that does nothing but run one network: ``python -m benchmarks.deploy_process FOLDER``.

An exported folder runs without PyTorch, as on a device; ``--eager NAME`` runs the network in PyTorch. Prints
MiB that the process had in memory at most.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

CALLS = 5
OF_PYTORCH = ("executorch", "pt2")  # run by it, or from Python not without it


def main() -> None:
    """Run, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--eager", metavar="NAME", help="lvt_cls, lvt or segformer, untrained")
    parser.add_argument("--size", type=int, default=224, help="of the eager network's image")
    args = parser.parse_args()
    if args.eager:
        _run_eager(args.eager, args.size)
    else:
        _run_exported(args.folder)
    print(f"{_peak_megabytes():.1f}")


def _peak_megabytes() -> float:
    """Of this process; `getrusage` counts what its parent had, too."""
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 1024


def _run_exported(folder: Path) -> None:
    manifest = json.loads((folder / "model.json").read_text())
    if manifest["runtime"] not in OF_PYTORCH:
        # Where PyTorch is installed lvt_core imports it; a device has none.
        absent: dict[str, Any] = dict.fromkeys(("torch", "torchvision", "timm"))
        sys.modules.update(absent)
    if manifest.get("task") == "panoptic":
        from lvt_predict.panoptic import PanopticModel as Model
    else:
        from lvt_predict.model import ExportedModel as Model  # type: ignore[assignment]
    batch, channels, *size = manifest["input"]
    images = np.random.default_rng(0).normal(size=(batch, channels, *size)).astype(np.float32)
    model = Model(folder)
    for _ in range(CALLS):
        model(images)


def _run_eager(name: str, size: int) -> None:
    import torch

    from lvt_core.export.open_model import open_model

    torch.set_num_threads(1)
    model, image = open_model(name)[1].eval(), torch.randn(1, 3, size, size)
    with torch.inference_mode():
        for _ in range(CALLS):
            model(image)


if __name__ == "__main__":
    main()
