"""The order and the label geometry of the released training, against their definition, place by place."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from timm.data.transforms import RandomResizedCropAndInterpolation
from torch import Tensor

from lvt_classify.data.geometry import FLIP_X, move_cells
from lvt_classify.data.transforms import TrainTransform
from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options

SIDE, CELLS, SIZE = 48, 6, (60, 90)  # sides of crop and map; height and width of the image
GREY = (0.5, 0.5, 0.5)


def released(*argv: str) -> TrainTransform:
    words = ["data", "--img-size", str(SIDE), "--aug-order", "crop-last", "--color-jitter", "0", *argv]
    options = parse_options(TrainOptions, words, shared=option_names())
    return TrainTransform(options, mean=GREY, label_crop="original", label_geometry="nearest")


def ramp() -> Image.Image:
    """Make an image whose red and green are its column and row, up to 255."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return Image.fromarray(np.stack((x * 2, y * 3, 0 * x), axis=-1).astype(np.uint8))


def numbered() -> Tensor:
    """Make a map whose logit at each cell is the cell's number, from 1."""
    cells = torch.arange(1.0, CELLS**2 + 1).view(1, CELLS, CELLS)
    return torch.stack((cells, cells)).half()


@pytest.mark.parametrize("flip", [0, 1])
def test_the_crop_comes_last(flip: int) -> None:
    """Crop by hand the box that was drawn, from the flipped image."""
    random.seed(0)
    transform = released("--hflip", str(flip), "--train-interpolation", "bilinear")
    for _ in range(20):
        crop, _ = transform(ramp())
        (width, _, left), (_, height, top), _ = transform.crop
        whole = ImageOps.mirror(ramp()) if flip else ramp()
        box = [round(v) for v in (left * 90, top * 60, (left + width) * 90, (top + height) * 60)]
        by_hand = whole.crop(box).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(crop.numpy(), np.asarray(by_hand).transpose(2, 0, 1))


@pytest.mark.parametrize("flip", [0, 1])
def test_the_label_crop_is_transposed_in_the_moved_map(flip: int) -> None:
    """The release hands (top, left, height, width) of the crop over as (x, y, width, height)."""
    random.seed(0)
    transform = released("--hflip", str(flip))
    for _ in range(20):
        _, geometry = transform(ramp())
        (width, _, left), (_, height, top), _ = transform.crop
        np.testing.assert_allclose(geometry, [[height, 0, top], [0, width, left]], rtol=1e-6)
        moved = transform.move_labels(numbered())
        assert torch.equal(moved, numbered().flip(-1) if flip else numbered())


def test_boxes_lie_in_the_image_and_have_timms_areas() -> None:
    random.seed(0)
    transform, areas = released(), []
    timms = RandomResizedCropAndInterpolation(SIDE)
    for _ in range(1000):
        transform(ramp())
        (width, _, left), (_, height, top), _ = transform.crop
        assert left >= 0 and top >= 0 and left + width <= 1 + 1e-9 and top + height <= 1 + 1e-9
        _, _, rows, columns = timms.get_params(ramp(), timms.scale, timms.ratio)
        areas.append((width * height, rows * columns / (SIZE[0] * SIZE[1])))
    ours, expected = np.array(areas).T
    assert ours.min() > 0.07
    assert abs(ours.mean() - expected.mean()) < 4 * np.sqrt((ours.var() + expected.var()) / len(ours))


@pytest.mark.parametrize("name", ["Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"])
def test_cells_move_as_pillow_moves_a_square(name: str) -> None:
    """Compare with Pillow's nearest pixel on a map that is drawn as a square picture."""
    transform = released("--aa", "rand-m9-n1-inc1", "--hflip", "0")
    (step,) = [step for step in transform.steps if hasattr(step, "ops")]
    step.ops = [op for op in step.ops if op.name.startswith(name)]
    assert step.ops
    random.seed(0)
    np.random.seed(0)
    picture, moved = Image.fromarray(numbered()[0, 0].numpy().astype(np.uint8)), 0
    for _ in range(20):
        transform(ramp())
        for matrix in transform.moves:
            scale = np.diag([1 / CELLS, 1 / CELLS, 1])
            a = np.linalg.inv(scale) @ matrix @ scale  # fractions to cells
            data = tuple(a[:2].ravel())
            by_hand = np.asarray(picture.transform(picture.size, Image.Transform.AFFINE, data))
            found = move_cells(numbered(), matrix)[0, 0].numpy()
            assert (found != by_hand).mean() < 0.1  # a cell whose centre falls on a border may differ
            moved += (found != numbered()[0, 0].numpy()).any()
    assert moved > 5


def test_cells_from_outside_have_logit_0() -> None:
    shift = np.array([[1, 0, 2 / CELLS], [0, 1, 0], [0, 0, 1]])  # the result shows what lies two cells right
    moved = move_cells(numbered(), shift)
    assert torch.equal(moved[..., :4], numbered()[..., 2:])
    assert not moved[..., 4:].any()
    assert torch.equal(move_cells(numbered(), FLIP_X), numbered().flip(-1))
