"""`lvt_core` imports without the packages of single tasks and runtimes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lvt_core

ROOT = Path(lvt_core.__file__).parent
OTHER_ROOMS = ("export", "openmmlab")  # need more than torch, torchvision and timm
OPTIONAL = ("mmengine", "mmcv", "mmdet", "mmseg", "matplotlib", "sklearn", "onnx", "onnxruntime", "openvino")
SCRIPT = """
import importlib, sys
for name in sys.argv[1].split():
    importlib.import_module(name)
print(*[name for name in sys.argv[2].split() if name in sys.modules])
"""


def modules() -> list[str]:
    paths = (path.relative_to(ROOT.parent).with_suffix("") for path in sorted(ROOT.rglob("*.py")))
    return [".".join(path.parts) for path in paths if path.parts[1] not in (*OTHER_ROOMS, "cli")]


def test_imports_without_optional_packages() -> None:
    names = modules()
    assert {"lvt_core.layers.csa", "lvt_core.checkpoint.load", "lvt_core.classifiers.timm_models"} < set(
        names
    )
    words = [sys.executable, "-c", SCRIPT, " ".join(names), " ".join(OPTIONAL)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
