"""JPEG crops decoded at a smaller scale: the same draws and geometry, and nearly the same pixels."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch
from PIL import Image

from lvt_classify.data import decode
from lvt_classify.data.decode import UnreadableImage, decoded, resized_crop
from lvt_classify.data.transforms import TrainTransform
from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options

MEAN = (0.5, 0.5, 0.5)


def photo(width: int, height: int, *, mode: str = "RGB", kind: str = "JPEG") -> bytes:
    """Return noise whose amplitude falls with frequency, as a photograph's does."""
    rng = np.random.default_rng(width)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    waves = np.fft.rfft2(rng.normal(size=(3, height, width))) / np.maximum(np.hypot(x, y), 1 / width)
    planes = np.fft.irfft2(waves, (height, width))
    pixels = 128 + 45 * (planes / planes.std(axis=(1, 2), keepdims=True)).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode).save(file, kind, quality=92)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def options(*argv: str) -> TrainOptions:
    return parse_options(TrainOptions, ["data", "--img-size", "64", *argv], shared=option_names())


@pytest.mark.parametrize("size", [(1001, 803), (90, 70)])
@pytest.mark.parametrize("label_crop", ["upright", "original"])
def test_draws_and_geometry_do_not_depend_on_the_decoding(size: tuple[int, int], label_crop: str) -> None:
    transform = TrainTransform(options("--aa", "rand-m9-mstd0.5-inc1"), mean=MEAN, label_crop=label_crop)
    data = photo(*size)
    whole = opened(data).convert("RGB")
    for seed in range(20):
        results, states = [], []
        for image in (opened(data), whole):
            random.seed(seed)
            np.random.seed(seed)
            results.append(transform(image))
            states.append(random.getstate())
        assert states[0] == states[1]
        assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pixels_equal_those_of_the_whole_image(interpolation: str) -> None:
    data = photo(1001, 803)
    whole = opened(data).convert("RGB")
    scales = set()
    for top, left, height, width in [
        (0, 0, 803, 1001),
        (3, 5, 400, 397),
        (401, 333, 402, 668),
        (77, 9, 50, 90),
    ]:
        image = opened(data)
        crop = resized_crop(image, (top, left, height, width), (64, 64), interpolation)
        scales.add(round(whole.width / image.width))
        resample = Image.Resampling[interpolation.upper()]
        wanted = whole.crop((left, top, left + width, top + height)).resize((64, 64), resample)
        difference = np.abs(np.asarray(crop).astype(int) - np.asarray(wanted))
        scaled = image.width < whole.width
        assert difference.mean() < (2 if scaled else 0.1)
        assert np.percentile(difference, 99) <= (8 if scaled else 1)
        # A crop that is shifted by one pixel differs many times as much.
        shifted = np.roll(np.asarray(wanted).astype(int), 1, axis=1)
        assert difference.mean() < np.abs(shifted - np.asarray(wanted))[:, 1:].mean() / 2
    assert scales == {1, 4, 8}


@pytest.mark.parametrize("kind, mode", [("PNG", "RGB"), ("PNG", "P"), ("WEBP", "RGB"), ("JPEG", "CMYK")])
def test_other_formats_are_cropped_as_usual(kind: str, mode: str) -> None:
    data = photo(300, 200, mode=mode, kind=kind)
    crop = resized_crop(opened(data), (10, 20, 80, 90), (64, 64), "bilinear")
    wanted = opened(data).convert("RGB").crop((20, 10, 110, 90)).resize((64, 64), Image.Resampling.BILINEAR)
    assert crop.mode == "RGB"
    assert np.abs(np.asarray(crop).astype(int) - np.asarray(wanted)).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_become_the_tensors_that_pillow_reads(mode: str) -> None:
    data = photo(301, 203, mode=mode)
    assert np.array_equal(decode.read_pixels(opened(data)).numpy(), np.asarray(opened(data).convert("RGB")))


@pytest.mark.parametrize("box", [(0, 0, 803, 1001), (0, 0, 64, 64)])
def test_rejects_damaged_data(box: tuple[int, int, int, int]) -> None:
    data = photo(1001, 803)
    with pytest.raises(UnreadableImage, match="truncated"):
        resized_crop(opened(data[: len(data) // 2]), box, (64, 64), "bicubic")
    with pytest.raises(UnreadableImage, match="truncated"):
        decoded(opened(data[: len(data) // 2]))
