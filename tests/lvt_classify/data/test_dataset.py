"""Samples follow from seed, epoch and index, and carry their geometry."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lvt_classify.data.dataset import Images, open_dataset
from lvt_classify.data.loader import EpochSampler, collate
from lvt_classify.data.transforms import TrainTransform
from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options
from lvt_core.errors import UserError


def options(folder: Path, *argv: str) -> TrainOptions:
    return parse_options(TrainOptions, [str(folder), "--img-size", "32", *argv], shared=option_names())


def images(folder: Path, *argv: str) -> Images:
    o = options(folder, "--aa", "rand-m9-mstd0.5-inc1", *argv)
    dataset = open_dataset(o, "train", training=True)
    transform = TrainTransform(o, mean=(0.5, 0.5, 0.5))
    return Images(dataset, transform, seed=3, label_root=str(folder / "labels"), num_classes=3)


def test_a_sample_is_a_function_of_its_key(folder: Path) -> None:
    first, second = images(folder), images(folder)
    for key in ((0, 5), (1, 5), (0, 6)):
        a = first[key]
        torch.rand(3)  # random numbers drawn between samples do not matter
        b = second[key]
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.geometry, b.geometry)
        assert torch.equal(a.label_map, b.label_map)
    assert not torch.equal(first[0, 5].image, first[1, 5].image)


def test_ranks_share_each_epoch_without_overlap() -> None:
    def keys(rank: int, world: int, batch_size: int, epoch: int = 2, first: int = 0) -> list:
        sampler = EpochSampler(50, batch_size=batch_size, rank=rank, world=world, seed=1)
        sampler.set_position(epoch, first)
        assert len(sampler) == len(list(sampler))
        return list(sampler)

    one = keys(0, 1, 8)
    two = [keys(rank, 2, 4) for rank in (0, 1)]
    assert len(one) == len({index for _, index in one}) == 48
    for step in range(6):
        joint = set(one[step * 8 : step * 8 + 8])
        assert joint == {key for part in two for key in part[step * 4 : step * 4 + 4]}
    assert keys(0, 1, 8, first=4) == one[32:]
    assert keys(0, 1, 8, epoch=3) != one


def test_geometry_maps_the_crop_back_onto_the_image(tmp_path: Path) -> None:
    """Compare the colour at each place of the crop with the image at the place that the geometry names."""
    y, x = np.mgrid[:120, :160]
    ramp = np.stack((x * 255 / 159, y * 255 / 119, np.zeros_like(x)), axis=-1).astype(np.uint8)
    image = Image.fromarray(ramp)
    o = options(tmp_path, "--aa", "rand-m9-n3-mstd0.5-inc1", "--vflip", "0.5", "--color-jitter", "0")
    import random

    random.seed(0)
    transform = TrainTransform(o, mean=(0.5, 0.5, 0.5))
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


def test_batches_of_one_kind_of_maps(folder: Path) -> None:
    samples = [images(folder)[0, i] for i in range(3)]
    tensor, labels = collate(samples)
    assert tensor.shape == (3, 3, 32, 32)
    assert tensor.dtype == torch.uint8
    assert labels.maps.scores.shape == labels.maps.slots.shape == (3, 5, 6, 6)
    assert labels.maps.classes.shape[0] == 3
    other = samples[0]._replace(label_map=torch.zeros(2, 5, 4, 4))
    assert "token-label maps have several shapes" in str(collate([*samples, other]))
    error = UserError("a mistake")
    assert collate([*samples, error]) is error


def test_tar_files_are_read(folder: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        tar.add(folder / "train", arcname="train")
    dataset = open_dataset(options(tmp_path / "train.tar"), "train", training=True)
    assert len(dataset) == 24


def test_nothing_is_warned_about(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images(folder)[0, 0].target == 0


@pytest.mark.parametrize("argv", [["--no-aug"], ["--scale", "1", "1", "--hflip", "0"]])
def test_without_augmentation_the_geometry_is_a_crop(folder: Path, argv: list[str]) -> None:
    o = options(folder, *argv)
    dataset = open_dataset(o, "train", training=True)
    sample = Images(dataset, TrainTransform(o, mean=(0.5, 0.5, 0.5)))[0, 0]
    assert sample.geometry[0, 1] == sample.geometry[1, 0] == 0
    assert (sample.geometry[:, :2].sum(1) + sample.geometry[:, 2] <= 1 + 1e-6).all()


def test_no_operation_of_the_recipe_fails_at_full_magnitude(tmp_path: Path) -> None:
    o = options(tmp_path, "--aa", "rand-m10-inc1")
    transform = TrainTransform(o, mean=(0.5, 0.5, 0.5))
    (step,) = [step for step in transform.steps if hasattr(step, "ops")]
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8))
    assert len(step.ops) == 15
    for op in step.ops:
        op.prob, op.magnitude = 1.0, 10
        assert op(image).size == image.size


def test_a_missing_split_is_not_replaced_by_another(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(folder / "train")
    with pytest.raises(UserError, match="has no folder for the split 'validation', only train"):
        open_dataset(options(tmp_path), "validation", training=False)
