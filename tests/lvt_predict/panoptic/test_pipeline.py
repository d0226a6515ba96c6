"""Images and sizes of panoptic exports are checked before a network runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lvt_core.errors import UserError
from lvt_predict.panoptic import PARTS, PanopticModel, PanopticPipeline
from tests.lvt_predict.exports import PANOPTIC, PANOPTIC_SIZE


def fail(images: np.ndarray) -> list[np.ndarray]:
    raise AssertionError("was called")


IMAGES = np.zeros((1, 3, *PANOPTIC_SIZE), np.float32)


@pytest.mark.parametrize(
    ("images", "sizes", "message"),
    [
        (None, {}, "images are a NoneType: they must be float32"),
        ([[1.0]], {}, "images are a list: they must be float32"),
        (IMAGES[0], {}, r"images are float32 \(3, 64, 96\): they must be float32"),
        (np.concatenate((IMAGES, IMAGES)), {}, r"images \(2, 3, 64, 96\): pass one image at a time"),
        (IMAGES, {"extent": (65, 96)}, r"extent \(65, 96\): must not exceed the images' \(64, 96\)"),
        (IMAGES, {"extent": ()}, r"extent \(\): must be a height and a width, positive whole numbers"),
        (IMAGES, {"extent": 64}, "extent 64: must be a height and a width"),
        (IMAGES, {"extent": (64.0, 96)}, r"extent \(64.0, 96\): must be a height and a width"),
        (IMAGES, {"extent": (True, 96)}, r"extent \(True, 96\): must be a height and a width"),
        (IMAGES, {"size": (0, 5)}, r"size \(0, 5\): must be a height and a width"),
        (IMAGES, {"size": (-3, 5)}, r"size \(-3, 5\): must be a height and a width"),
        (IMAGES, {"size": (1, 2, 3)}, r"size \(1, 2, 3\): must be a height and a width"),
        (IMAGES, {"size": "64"}, "size '64': must be a height and a width"),
    ],
)
def test_rejects_wrong_images_and_sizes(images: Any, sizes: dict[str, Any], message: str) -> None:
    pipeline = PanopticPipeline(PANOPTIC, dict.fromkeys(PARTS, fail))
    with pytest.raises(UserError, match=message):
        pipeline(images, **sizes)
    with pytest.raises(AssertionError, match="was called"):
        pipeline(IMAGES, extent=[np.int64(60), np.int32(90)], size=(120, 180))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 60, 90, 3), np.float32), r"images are float32 \(1, 60, 90, 3\): they must be uint8"),
        (np.zeros((60, 90, 3), np.uint8), r"images are uint8 \(60, 90, 3\): they must be uint8"),
        (np.zeros((2, 60, 90, 3), np.uint8), r"images \(2, 60, 90, 3\): pass one image at a time"),
        (np.zeros((1, 65, 90, 3), np.uint8), "images are 65 x 90: this network supports up to 64 x 96"),
        (np.zeros((1, 0, 90, 3), np.uint8), r"images are uint8 \(1, 0, 90, 3\): they must not be empty"),
    ],
)
def test_normalises_only_bytes(images: np.ndarray, message: str) -> None:
    model = PanopticModel.__new__(PanopticModel)  # without files
    model.manifest = PANOPTIC
    with pytest.raises(UserError, match=message):
        model.normalize(images)
    assert model.normalize(np.zeros((1, 60, 90, 3), np.uint8)).shape == IMAGES.shape
