"""Training transforms: the geometry that they record, and the draws of timm's own transforms."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.auto_augment import NAME_TO_OP

from lvt_classify.data.geometry import OP_MATRICES
from lvt_classify.data.transforms import TrainTransform
from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options

GREY = (0.5, 0.5, 0.5)


def options(*argv: str) -> TrainOptions:
    return parse_options(TrainOptions, ["data", "--img-size", "32", *argv], shared=option_names())


def test_geometry_maps_the_crop_back_onto_the_image() -> None:
    """Compare the colour at each place of the crop with the image at the place that the geometry names."""
    y, x = np.mgrid[:120, :160]
    ramp = np.stack((x * 255 / 159, y * 255 / 119, np.zeros_like(x)), axis=-1).astype(np.uint8)
    image = Image.fromarray(ramp)
    o = options("--aa", "rand-m9-n3-mstd0.5-inc1", "--vflip", "0.5", "--color-jitter", "0")
    random.seed(0)
    transform = TrainTransform(o, mean=GREY)
    for step in transform.steps:
        if hasattr(step, "ops"):  # only geometry, so that colours can be read
            step.ops = [op for op in step.ops if op.name in ("Rotate", "ShearX", "ShearY", "TranslateXRel")]
    checked = 0
    for _ in range(60):
        crop, geometry = transform(image)
        grid = (torch.arange(32) + 0.5) / 32
        v, u = torch.meshgrid(grid, grid, indexing="ij")
        source = geometry[:, 0, None, None] * u + geometry[:, 1, None, None] * v + geometry[:, 2, None, None]
        inside = crop[2] < 8  # the image has no blue; what geometry uncovers is filled with grey
        for channel, name in ((0, "x"), (1, "y")):
            wanted = source[channel] * 255
            error = (crop[channel].float() - wanted).abs()[inside]
            assert error.numel() == 0 or error.median() < 4, name
        checked += int(inside.sum())
    assert checked > 10_000


@pytest.mark.parametrize("argv", [["--no-aug"], ["--scale", "1", "1", "--hflip", "0"]])
def test_without_augmentation_the_geometry_is_a_crop(argv: list[str]) -> None:
    _, geometry = TrainTransform(options(*argv), mean=GREY)(Image.new("RGB", (48, 40)))
    assert geometry[0, 1] == geometry[1, 0] == 0
    assert (geometry[:, :2].sum(1) + geometry[:, 2] <= 1 + 1e-6).all()


def test_no_operation_of_the_recipe_fails_at_full_magnitude() -> None:
    o = options("--aa", "rand-m10-inc1")
    transform = TrainTransform(o, mean=GREY)
    (step,) = [step for step in transform.steps if hasattr(step, "ops")]
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8))
    assert len(step.ops) == 15
    for op in step.ops:
        op.prob, op.magnitude = 1.0, 10
        assert op(image).size == image.size


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ShearX", 0.3),
        ("ShearY", -0.2),
        ("TranslateX", 9),
        ("TranslateY", -7),
        ("TranslateXRel", 0.2),
        ("TranslateYRel", -0.3),
        ("Rotate", 25.0),
        ("Rotate", -13.0),
    ],
)
def test_operation_matrices_follow_pil(name: str, value: float) -> None:
    """Move a blob, and find its source by the matrix."""
    w, h = 120, 80
    y, x = np.mgrid[:h, :w] + 0.5
    spot = (52.0, 31.0)
    blob = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 18) * 255
    image = Image.fromarray(blob.astype(np.uint8))
    moved = np.asarray(
        NAME_TO_OP[name](image, value, resample=Image.Resampling.BILINEAR, fillcolor=0)
    ).astype(np.float64)
    centre = np.array([(moved * x).sum(), (moved * y).sum()]) / moved.sum()
    source = OP_MATRICES[name](value, w, h) @ np.array([centre[0] / w, centre[1] / h, 1])
    np.testing.assert_allclose(source[:2] * (w, h), spot, atol=0.25)


def test_crops_and_flips_have_timms_statistics() -> None:
    """Compare areas, aspect ratios, places and flips over many draws with timm's own transform."""
    o = options("--color-jitter", "0", "--img-size", "64")
    transform = TrainTransform(o, mean=GREY)
    (crop,) = create_transform(64, is_training=True, color_jitter=0, hflip=0, use_prefetcher=True).transforms[
        :1
    ]
    image = Image.new("RGB", (120, 90))
    random.seed(0)
    count, ours, flips = 4000, [], 0
    for _ in range(count):
        matrix = transform(image)[1].double().numpy()
        flips += matrix[0, 0] < 0
        width, height = abs(matrix[0, 0]), matrix[1, 1]
        left = min(matrix[0, 2], matrix[0, 2] + matrix[0, 0])
        ours.append((width * height, np.log(width / height), left + width / 2, matrix[1, 2] + height / 2))
    timms = []
    for _ in range(count):
        top, left, height, width = crop.get_params(image, crop.scale, crop.ratio)
        w, h, x, y = width / 120, height / 90, left / 120, top / 90
        timms.append((w * h, np.log(w / h), x + w / 2, y + h / 2))
    assert abs(flips / count - 0.5) < 4 * 0.5 / count**0.5
    a, b = np.array(ours), np.array(timms)
    error = np.sqrt(a.var(0) / count + b.var(0) / count)
    assert (np.abs(a.mean(0) - b.mean(0)) < 4 * error).all()
    quantiles = np.linspace(0.05, 0.95, 19)
    assert np.abs(np.quantile(a, quantiles, axis=0) - np.quantile(b, quantiles, axis=0)).max() < 0.04


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 1), (2, 2), (1, 40)])
def test_tiny_images_are_cropped(size: tuple[int, int]) -> None:
    transform = TrainTransform(options("--color-jitter", "0"), mean=GREY)
    for seed in range(40):
        random.seed(seed)
        image, geometry = transform(Image.new("RGB", size, (9, 9, 9)))
        assert image.unique().tolist() == [9]
        corners = geometry @ torch.tensor([[0.0, 0, 1], [1, 1, 1]]).T
        assert ((corners >= 0) & (corners <= 1)).all()
