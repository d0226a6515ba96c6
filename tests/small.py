"""Small networks, pictures, and the checks of every exported file, shared by the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from lvt_core import LVT, LVTConfig, SegFormer
from lvt_core.errors import UserError
from lvt_core.export.forms.graph import Outputs
from lvt_core.export.gate.parity import run_model
from lvt_predict.manifest import sha256
from lvt_predict.model import ExportedModel, load
from lvt_predict.runtimes import SESSIONS
from lvt_predict.sample import photograph

SMALL: dict[str, Any] = {
    "embed_dims": (16, 16, 32, 32),
    "num_heads": (2, 2, 2, 2),
    "depths": (1, 1, 1, 1),
    "num_classes": 5,
}
SIZE = (40, 71)  # `two_stages` makes maps of 10 x 18, whose windows fit, and 5 x 9
CONVERTERS = ("torch", "timm", "torchvision", "onnx")  # needed to make a file, not to open it


def attending(model: nn.Module) -> nn.Module:
    """Draw large attention weights, so that an exchange of taps or heads shows; return the model."""
    for name, parameter in model.named_parameters():
        if "attn" in name and parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.3)
    return model.eval()


def small_models() -> dict[str, Any]:
    """Make one of each network."""
    torch.manual_seed(0)
    models = {
        "lvt_cls": timm.create_model("lvt_cls", **SMALL),
        "lvt": LVT(LVTConfig(**SMALL)),
        "segformer": SegFormer(LVTConfig(**SMALL), embed_dim=16),
    }
    return {name: attending(model) for name, model in models.items()}


def two_stages(atrous_rates: tuple[int, ...] = (3,)) -> Any:
    """Return the first two stages of a small ``lvt``, with CSA and RASA; all four take twice as long."""
    torch.manual_seed(0)
    config = LVTConfig(**SMALL, mlp_ratios=(2, 2, 2, 2), atrous_rates=atrous_rates, num_recursions=1)
    model = LVT(config)
    model.stages = model.stages[:2]
    return attending(model)


def write_pictures(root: Path, size: tuple[int, int], counts: dict[str, int]) -> Path:
    """Write a folder of bright and dark noise, `counts` images of both in each split; return the folder."""
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        for label, name in enumerate(("bright", "dark")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 100, (*size, 3)) + 150 * (1 - label)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return root


def largest_error(model: nn.Module, runtime: str, file: Path) -> float:
    """Return the largest difference of a file's outputs from the model's, relative to the largest value."""
    images = photograph(1, *SIZE, seed=9)
    pairs = zip(run_model(Outputs(model), images), SESSIONS[runtime](file)(images), strict=True)
    return max(float(np.abs(ours - theirs).max() / np.abs(ours).max()) for ours, theirs in pairs)


def check_export(model: nn.Module, folder: Path, *, without: Iterable[str] = CONVERTERS) -> None:
    """Check that an export of `two_stages` gives its maps in order, also without the converter."""
    images = photograph(1, *SIZE, seed=3)
    expected, exported = run_model(Outputs(model), images), load(folder, trust=True)(images)
    assert [value.shape[-1] for value in exported] == [18, 9]
    for ours, theirs in zip(expected, exported, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-4)
    check_in_another_process(folder, images, exported[0], without=without)


def check_in_another_process(
    folder: Path, images: np.ndarray, expected: np.ndarray, *, without: Iterable[str] = CONVERTERS
) -> None:
    """Check the file's outputs in a process that cannot import some modules."""
    np.save(folder.parent / "images.npy", images)
    printed = run_without(without, OPENING, folder, folder.parent / "images.npy")
    np.testing.assert_allclose(json.loads(printed), expected, rtol=1e-5, atol=1e-6)


OPENING = """
import json
import numpy as np
from lvt_predict.model import load

print(json.dumps(load(sys.argv[1], trust=True)(np.load(sys.argv[2]))[0].tolist()))
"""


def run_without(modules: Iterable[str], script: str, *arguments: Path) -> str:
    """Return what a script prints in a new process that cannot import some modules."""
    script = BLOCKING.format(names=tuple(modules)) + script + "assert not set(NAMES) & set(sys.modules)"
    words = [sys.executable, "-c", script, *(str(argument) for argument in arguments)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


BLOCKING = """
import sys

NAMES = {names}

class Block:
    def find_spec(self, name, path=None, target=None):
        if name in NAMES:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Block())
"""


def renew_checksums(folder: Path) -> Path:
    """Renew the checksums of changed files, so that the runtime itself must detect that they are broken."""
    manifest = json.loads((folder / "model.json").read_text())
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "model.json"]
    sums = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    (folder / "model.json").write_text(json.dumps(manifest | {"sha256": sums}))
    return folder


def check_rejected(
    folder: Path, name: str, contents: Iterable[bytes], message: str, *, renew: bool = True
) -> None:
    """Check that opening rejects each content of a file in one sentence; `renew` corrects the checksums."""
    for content in contents:
        (folder / name).write_bytes(content)
        if renew:
            renew_checksums(folder)
        with pytest.raises(UserError, match=message):
            ExportedModel(folder, trust=True)
