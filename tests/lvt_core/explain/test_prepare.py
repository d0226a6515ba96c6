"""The photo as the network sees it, and the way between the pixels of both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lvt_core.errors import UserError
from lvt_core.explain.prepare import NetworkInput, prepare as prepare_with
from lvt_predict.photo.prepare import Aligned, Crop, Preparation

CLASSIFIER = Crop((224, 224))


def prepare(photo: Image.Image, preparation: Preparation) -> NetworkInput:
    return prepare_with(photo, preparation, (0.5,), (0.5,))


def gradient(width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack((columns * 255 / width, rows * 255 / height, rows * 0), axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def test_a_classifier_sees_the_centre() -> None:
    seen = prepare(gradient(500, 400), CLASSIFIER)
    assert seen.images.shape == (1, 3, 224, 224)
    assert seen.part == pytest.approx((58.42, 6.87, 443.30, 391.42), abs=0.01)  # 0.96 of 400
    assert seen.from_photo(250, 200) == pytest.approx((111.8, 112.8), abs=0.1)


def test_the_size_and_the_statistics() -> None:
    seen = prepare(gradient(90, 65), Crop((65, 90), 1.0))
    assert seen.images.shape == (1, 3, 65, 90)
    pixels = torch.from_numpy(np.array(gradient(90, 65))).permute(2, 0, 1) / 255
    torch.testing.assert_close(seen.images[0], (pixels - 0.5) / 0.5)


@pytest.mark.parametrize(
    ("photo", "size"), [((500, 375), (512, 704)), ((40, 40), (512, 512)), ((9000, 20), (32, 2048))]
)
def test_a_dense_network_sees_all(photo: tuple[int, int], size: tuple[int, int]) -> None:
    seen = prepare(gradient(*photo), Aligned())
    assert seen.images.shape[2:] == size
    assert seen.part == (0, 0, *photo)


@pytest.mark.parametrize("preparation", [CLASSIFIER, Aligned(), Crop((224, 224), crop_mode="border")])
def test_points_come_back(preparation: Preparation) -> None:
    seen = prepare(gradient(317, 211), preparation)
    for point in ((60, 5), (158, 105), (250, 200)):
        x, y = seen.from_photo(*point)
        assert seen.to_photo(x, y) == point
        red, green, _ = np.array(seen.picture)[int(y), int(x)]
        assert (red, green) == pytest.approx((point[0] * 255 / 317, point[1] * 255 / 211), abs=3)


def test_a_point_of_the_border_is_the_nearest_one_of_the_photo() -> None:
    seen = prepare(gradient(300, 100), Crop((224, 224), 1.0, crop_mode="border"))
    assert seen.to_photo(0, 0) == (0, 0) and seen.to_photo(223, 223) == (298, 99)
    with pytest.raises(UserError, match="lies outside of the photo of 300 x 100 pixels"):
        seen.from_photo(0, 100)
    assert seen.from_photo(0, 0)[1] > 70  # below the border


def test_points_outside_are_sentences() -> None:
    seen = prepare(gradient(500, 400), CLASSIFIER)
    with pytest.raises(UserError, match=r"--at 500,0: lies outside of the photo of 500 x 400 pixels"):
        seen.from_photo(500, 0)
    with pytest.raises(UserError, match=r"outside of the crop .* X from 58 to 442 and Y from 7 to 390"):
        seen.from_photo(57, 200)
    for point in ((58, 7), (442, 390)):
        seen.from_photo(*point)


def test_a_crop_thinner_than_a_pixel_has_a_point() -> None:
    seen = prepare(gradient(1000, 1), CLASSIFIER)  # 0.96 pixels around x = 500
    x, y = seen.snap(100, 100)
    assert 0 <= x < 224 and 0 <= y < 224
    assert seen.to_photo(x, y) == (500, 0)
