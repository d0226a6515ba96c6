"""A network that was fine-tuned for int8 is judged by the score that it had before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from lvt_core import cli, save_checkpoint
from lvt_core.errors import UserError
from lvt_core.export.gate.labelled import ClassifiedImages
from lvt_core.export.gate.parity import run_model
from lvt_core.export.gate.scores import ScoreGate

SMALL = {"embed_dims": (16, 16, 32, 32), "num_heads": (2, 2, 2, 2), "depths": (1, 1, 1, 1)}
KWARGS = ["--model-kwargs", *(f"{key}={SMALL[key]}".replace(" ", "") for key in ("embed_dims", "num_heads"))]
BRIGHTNESS = {"bright": (140, 160, 180), "dark": (40, 60, 80)}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of even pictures, 32 x 32."""
    for split in ("train", "val"):
        for name, values in BRIGHTNESS.items():
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for value in values:
                Image.fromarray(np.full((32, 32, 3), value, np.uint8)).save(folder / f"{value}.png")
    return tmp_path / "pictures"


class Brighter(nn.Module):
    """Logits of bright and dark; `than` is in 0..255."""

    def __init__(self, than: float) -> None:
        super().__init__()
        self.than = than

    def forward(self, x: Tensor) -> tuple[Tensor]:
        excess = x.mean(dim=(1, 2, 3)) - self.than / 255
        return (torch.stack((excess, -excess), dim=1),)


class Exported:
    """A model as if it were a file of int8."""

    manifest = {"runtime": "onnx", "precision": "int8"}

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        return run_model(self.model, images)


def test_the_score_before_is_the_one_to_keep(pictures: Path) -> None:
    data = ClassifiedImages(pictures, (32, 32), num_classes=2, crop_pct=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    right, wrong_once = Brighter(110), Brighter(70)  # for the second, 80 is bright
    good, bad = Exported(right), Exported(wrong_once)
    # A network that learnt to be right in int8 may be wrong in float.
    with pytest.raises(UserError, match="83.33 % of the predictions agree.* less and 99.0 %; nothing is"):
        ScoreGate(data)(wrong_once, good)  # type: ignore[arg-type]
    scores = ScoreGate(data, before=right)(wrong_once, good)  # type: ignore[arg-type]
    assert (scores.exported, scores.model, scores.agreement) == (100, 100, 100) and scores.trained_again
    other = ScoreGate(data, before=wrong_once)(right, good)  # type: ignore[arg-type]
    assert other.agreement == pytest.approx(250 / 3) and other.exported > other.model
    # And what agrees with its own float weights may have lost what was there before.
    assert ScoreGate(data)(wrong_once, bad).agreement == 100  # type: ignore[arg-type]
    with pytest.raises(
        UserError, match="onnx, int8: top-1 83.33, the model's 100.00; .* 0.5 points less; no"
    ):
        ScoreGate(data, before=right)(wrong_once, bad)  # type: ignore[arg-type]


def test_the_command_takes_what_it_was_before(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    for name, classes in (("before", 2), ("after", 2), ("other", 3)):
        model = timm.create_model("lvt_cls", num_classes=classes, **SMALL)
        with torch.no_grad():
            model.head.bias[int(name == "after")] += 1000  # always the one class, always the other
        save_checkpoint(model, f"{name}.pth")
    words = ["after.pth", "--to", "onnx", "--size", "32", "--data", str(pictures), *KWARGS]
    int8 = [*words, "--precision", "int8", "--before", "before.pth"]
    cli.main(["export", *int8])
    parity = json.loads(Path("exports/lvt_cls-onnx-int8/model.json").read_text())["parity"]
    assert parity["model"] == parity["exported"] == 50 and parity["agreement"] == 0
    assert parity["trained_again"]
    for given, message in (
        ([*words, "--before", "before.pth"], "--before before.pth: only applies with --precision int8"),
        (
            [*int8[:-1], "other.pth"],
            "--before other.pth: contains lvt_cls with 3 classes, must be lvt_cls with 2",
        ),
        ([*int8[:-1], "nowhere.pth"], "nowhere.pth"),
    ):
        with pytest.raises(UserError, match=message):
            cli.main(["export", *given])
