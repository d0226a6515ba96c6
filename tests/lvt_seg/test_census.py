"""Masks of another convention are recognised before training, and the option that reads them is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvt_core.errors import UserError
from lvt_core.semantic.label_map import MaskValues
from lvt_seg.census import check_pairs
from lvt_seg.own_config import Split

CLASSES = ("a", "b", "c")


def check(
    root: Path, values: list[int], *, first_class: int = 0, listed: tuple[int, ...] = (), width: int = 40
) -> None:
    """Check a training and a validation pair whose masks have the values."""
    parts = []
    for name in ("train", "val"):
        images, masks = root / name / "images", root / name / "masks"
        images.mkdir(parents=True)
        masks.mkdir()
        Image.new("RGB", (width, 40)).save(images / "x.png")
        pixels = np.resize(np.array(values, np.uint16 if max(values) > 255 else np.uint8), (40, width))
        Image.fromarray(pixels).save(masks / "x.png")
        parts.append(Split(str(images), str(masks)))
    meaning = MaskValues.listed(listed) if listed else MaskValues.counted(len(CLASSES), first_class)
    check_pairs(parts, CLASSES, meaning, explicit=bool(listed), smallest=(128, 32))


@pytest.mark.parametrize(
    "values, first_class, advice",
    [
        ([1, 2, 3], 0, "has the value 3; .* have 1, 2, 3; --first-class 1 reads them"),
        ([0, 128, 255], 0, "has the value 128; .*; --mask-values 0 128 255 reads them as classes"),
        ([0, 500, 1000], 0, "has the value 1000; .*; --mask-values 0 500 1000 reads them as classes"),
        ([0, 7, 8, 9, 10], 0, "has the value 10; .*; --mask-values names the value of each class"),
        ([0, 1, 2], 1, "class 'c' has no pixel in any mask, .* are 0, .*; --first-class 0 reads them"),
        ([0, 1, 255], 0, "class 'c' has no pixel in any mask, .* are 255, .*--mask-values 0 1 2 keeps"),
    ],
)
def test_another_convention_is_named(tmp_path: Path, values, first_class: int, advice: str) -> None:
    with pytest.raises(UserError, match=advice):
        check(tmp_path, values, first_class=first_class)


def test_the_named_options_are_accepted(tmp_path: Path, capsys) -> None:
    check(tmp_path / "a", [1, 2, 3], first_class=1)
    check(tmp_path / "b", [0, 128, 255], listed=(0, 128, 255))
    assert "note: class" not in capsys.readouterr().out
    check(tmp_path / "c", [0, 1, 255], listed=(0, 1, 2))
    assert "note: class 'c' has no pixel in any mask" in capsys.readouterr().out


def test_what_is_left_out_is_named(tmp_path: Path, capsys) -> None:
    check(tmp_path, [0, 1, 2])
    (tmp_path / "train/images/notes.txt").write_text("")
    Image.new("L", (9, 9)).save(tmp_path / "train/masks/lonely.png")
    parts = [
        Split(str(tmp_path / part / "images"), str(tmp_path / part / "masks")) for part in ("train", "val")
    ]
    check_pairs(parts, CLASSES, MaskValues.counted(3, 0), explicit=False, smallest=(128, 32))
    printed = capsys.readouterr().out
    assert "train/images: left out, not in a known format: 1 .txt" in printed
    assert "train/masks: 1 masks have no image, such as lonely" in printed


def test_a_picture_too_narrow_to_be_resized_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too narrow to be resized for training") as caught:
        check(tmp_path, [0, 1, 2], width=20000)
    assert "20000 x 40" in str(caught.value)
