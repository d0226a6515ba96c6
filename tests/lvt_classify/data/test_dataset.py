"""Samples follow from seed, epoch and index, and carry their geometry."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from lvt_classify.data.dataset import Images, open_dataset
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


def test_a_missing_split_is_not_replaced_by_another(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(folder / "train")
    with pytest.raises(UserError, match="has no folder for the split 'validation', only train"):
        open_dataset(options(tmp_path), "validation", training=False)
