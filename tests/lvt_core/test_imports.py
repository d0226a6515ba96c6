"""`lvt_core` only needs torch, torchvision and timm, and its modules import in any order."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["lvt_core", "lvt_core.layers.csa", "lvt_core.checkpoint", "lvt_core.timm_models"]
)
def test_imports_in_a_fresh_interpreter(module: str) -> None:
    code = (
        f"import sys, {module}; "
        "print([m for m in ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'matplotlib', 'sklearn') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
