"""The truth that an export is judged by is the network's own, or it judges nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lvt_core.errors import UserError
from lvt_core.export.gate.labelled import ClassifiedImages, LabelMaps

OPTIONS: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
SIZE = (32, 32)


def _write(root: Path, truth: np.ndarray, size: tuple[int, int] = (4, 6)) -> LabelMaps:
    """One image with its label map, of a network with three classes."""
    for kind, value in (("images", np.zeros((*size, 3), np.uint8)), ("annotations", truth)):
        (root / kind / "validation").mkdir(parents=True, exist_ok=True)
        Image.fromarray(value).save(root / kind / "validation" / "a.png")
    return LabelMaps(root, SIZE, num_classes=3, **OPTIONS)


def test_label_maps_are_numbers_of_the_networks_classes(tmp_path: Path) -> None:
    numbers = np.zeros((4, 6), np.uint8)
    numbers[0] = (0, 1, 2, 3, 255, 3)
    for dtype in (np.uint8, np.uint16):  # as segmentation/ reads them
        ((_, truth),) = _write(tmp_path, numbers.astype(dtype))
        assert truth.dtype == np.uint8 and truth[0].tolist() == [255, 0, 1, 2, 255, 2]
    for wrong, message in (
        (np.full((4, 6), 4, np.uint8), r"a.png: has the value 4; allowed are the classes, 1 to 3"),
        (np.full((4, 6), 258, np.uint16), "a.png: has the value 258; allowed"),
        (np.zeros((4, 6, 3), np.uint8), "a.png: has 3 channels; a label map has one"),
        (np.zeros((6, 4), np.uint8), r"a.png: has height and width \(6, 4\), but its image has \(4, 6\)"),
    ):
        with pytest.raises(UserError, match=message):
            list(_write(tmp_path, wrong))
    (tmp_path / "annotations" / "validation" / "a.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="a.png: cannot be read as a picture"):
        list(LabelMaps(tmp_path, SIZE, num_classes=3, **OPTIONS))
    with pytest.raises(UserError, match="label maps support 254 classes, the network has 255"):
        LabelMaps(tmp_path, SIZE, num_classes=255, **OPTIONS)


def test_classes_may_begin_at_zero(tmp_path: Path) -> None:
    numbers = np.zeros((4, 6), np.uint8)
    numbers[0] = (0, 1, 2, 2, 255, 0)
    _write(tmp_path, numbers)
    ((_, truth),) = LabelMaps(tmp_path, SIZE, num_classes=3, first_class=0, **OPTIONS)
    assert truth[0].tolist() == [0, 1, 2, 2, 255, 0] and not truth[1].any()
    _write(tmp_path, np.full((4, 6), 3, np.uint8))
    with pytest.raises(UserError, match="has the value 3; allowed are the classes, 0 to 2, and 255 f"):
        list(LabelMaps(tmp_path, SIZE, num_classes=3, first_class=0, **OPTIONS))


def test_masks_with_values_of_their_own(tmp_path: Path) -> None:
    """The masks of `own_data.py --mask-values` judge an export, too."""
    _write(tmp_path, np.full((4, 6), 128, np.uint8))
    ((_, truth),) = LabelMaps(tmp_path, SIZE, num_classes=3, mask_values=(0, 128, 255), **OPTIONS)
    assert (truth == 1).all()
    _write(tmp_path, np.full((4, 6), 1, np.uint8))
    with pytest.raises(UserError, match="has the value 1; allowed are the classes, 0, 128, 255"):
        list(LabelMaps(tmp_path, SIZE, num_classes=3, mask_values=(0, 128, 255), **OPTIONS))


def test_maps_without_a_pixel_that_counts_score_nothing(tmp_path: Path) -> None:
    data = _write(tmp_path, np.full((4, 6), 255, np.uint8))
    ((_, truth),) = data
    with pytest.raises(UserError, match="no pixel of its label maps counts, all are 0 or 255"):
        data.score([np.zeros_like(truth)], [truth])


def test_class_folders_are_the_networks_classes(tmp_path: Path) -> None:
    for name in ("class_2", "class_10"):  # trained in this order
        folder = tmp_path / "val" / name
        folder.mkdir(parents=True)
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / "a.png")
    data = ClassifiedImages(tmp_path, SIZE, num_classes=2, **OPTIONS)
    assert [Path(path).parent.name for path, label in data._judging if label == 1] == ["class_10"]
    names = {"class_10": 0, "cat": 1, "class_2": 7}  # the network's names decide
    data = ClassifiedImages(tmp_path, SIZE, num_classes=8, class_to_idx=names, **OPTIONS)
    found = {Path(path).parent.name: label for path, label in data._judging}
    assert found == {"class_10": 0, "class_2": 7}
    with pytest.raises(UserError, match="val/: has 2 classes, but the network has 1000 classes"):
        ClassifiedImages(tmp_path, SIZE, num_classes=1000, **OPTIONS)
    with pytest.raises(UserError, match="has the classes 'class_10', which the network does not know"):
        ClassifiedImages(tmp_path, SIZE, num_classes=2, class_to_idx={"class_2": 0, "cat": 1}, **OPTIONS)


def test_files_are_no_data_sets(tmp_path: Path) -> None:
    (tmp_path / "val").write_text("no folder")
    for root in (tmp_path, tmp_path / "val"):
        with pytest.raises(UserError, match="val/ must have one folder of images per class"):
            ClassifiedImages(root, SIZE, num_classes=2, **OPTIONS)
        with pytest.raises(UserError, match="images/validation/ must contain images"):
            LabelMaps(root, SIZE, num_classes=2, **OPTIONS)
