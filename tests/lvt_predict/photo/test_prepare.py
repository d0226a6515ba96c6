"""Preparations equal those of the libraries that train the networks, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from mmcv.transforms import Resize
from PIL import Image
from timm.data import create_transform

from lvt_predict.errors import UserError
from lvt_predict.images import normalize
from lvt_predict.photo.prepare import (
    CROP_MODES,
    Aligned,
    Crop,
    Inside,
    Proportional,
    Stretch,
    Unchanged,
    fill_of,
    fitting,
    pad,
)
from lvt_seg.transforms import AlignedResize

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDES = st.integers(1, 300)


def noise(height: int, width: int) -> Image.Image:
    rng = np.random.default_rng(height * 1000 + width)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@settings(max_examples=150, deadline=None)
@given(
    height=SIDES,
    width=SIDES,
    size=st.sampled_from([(224, 224), (96, 96), (65, 65), (64, 96), (100, 33)]),
    crop_pct=st.sampled_from([0.96, 0.875, 1.0, 0.9]),
    interpolation=st.sampled_from(["bicubic", "bilinear", "lanczos"]),
    mode=st.sampled_from(CROP_MODES),
)
def test_the_crop_equals_timms(
    height: int, width: int, size: tuple[int, int], crop_pct: float, interpolation: str, mode: str
) -> None:
    if max(height, width) > 40 * min(height, width):
        return  # timm makes pictures of megapixels of them
    transform = create_transform(
        (3, *size), is_training=False, interpolation=interpolation, crop_pct=crop_pct, crop_mode=mode,
        mean=MEAN, std=STD,
    )  # fmt: skip
    photo = noise(height, width)
    ours = normalize(Crop(size, crop_pct, interpolation, mode, fill_of(MEAN))(photo)[None], MEAN, STD)
    np.testing.assert_array_equal(ours[0], np.asarray(transform(photo)))


@pytest.mark.parametrize("size", [(309, 256), (60, 83), (1000, 3), (512, 512), (500, 800)])
def test_aligned_and_proportional_equal_mmcvs(size: tuple[int, int]) -> None:
    photo = noise(*size)
    for name, ours, theirs in (
        ("aligned", Aligned(256, 64), AlignedResize(scale=(256, 64))),
        ("proportional", Proportional(200, 120), Resize(scale=(200, 120), keep_ratio=True)),
    ):
        expected = theirs.transform({"img": np.asarray(photo)})["img"]
        np.testing.assert_array_equal(ours(photo), expected, err_msg=name)


def test_the_other_preparations() -> None:
    photo = noise(60, 90)
    assert Unchanged()(photo).shape == (60, 90, 3)
    assert Stretch((64, 32))(photo).shape == (64, 32, 3)
    assert Inside((64, 64))(photo).shape == (43, 64, 3)  # 60 * 64 / 90 = 42.7
    assert Inside((30, 200))(photo).shape == (30, 45, 3)
    assert Inside((8, 8))(noise(1, 400)).shape == (1, 8, 3)
    assert fitting((3000, 4000), 2048, 512) == (512, 683)


def test_padding_lies_right_and_below() -> None:
    images = np.ones((1, 3, 33, 60), np.float32)
    padded = pad(images, None, -2.0)
    assert padded.shape == (1, 3, 64, 64) and (padded[:, :, :33, :60] == 1).all()
    assert (padded[:, :, 33:] == -2).all() and (padded[:, :, :, 60:] == -2).all()
    assert pad(images, (40, 70), 0.0).shape == (1, 3, 40, 70)


def test_unknown_options_are_sentences() -> None:
    with pytest.raises(UserError, match="interpolation 'cubic': must be one of nearest, bilinear"):
        Crop((8, 8), interpolation="cubic")
    with pytest.raises(UserError, match="crop_mode 'mirror': must be one of center, squash, border"):
        Crop((8, 8), crop_mode="mirror")
