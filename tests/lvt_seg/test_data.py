"""Pipelines and data sets: sizes, labels, and what is said about wrong files."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.structures import SegDataSample
from PIL import Image

from lvt_core.errors import UserError
from lvt_core.openmmlab.transforms import LoadImage
from lvt_core.panoptic.quality import read_map
from lvt_core.semantic.label_map import read_values
from lvt_predict.pictures import read_picture
from lvt_seg.datasets import ImageMaskDataset, match_pairs
from lvt_seg.pictures import PicturesHook
from lvt_seg.transforms import AlignedResize, LoadMask


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(512, 683, (512, 704)), (683, 512, (704, 512)), (300, 2000, (320, 2048)), (64, 64, (512, 512))],
)
def test_aligned_resize(height, width, expected) -> None:
    sample = {"img": np.zeros((height, width, 3), np.uint8)}
    sample["gt_seg_map"] = np.zeros((height, width), np.uint8)
    sample["seg_fields"] = ["gt_seg_map"]
    result = AlignedResize(scale=(2048, 512)).transform(sample)
    assert result["img"].shape[:2] == result["img_shape"] == result["gt_seg_map"].shape == expected
    assert result["scale_factor"] == (expected[1] / width, expected[0] / height)


def mask_sample(path, *, zero: bool, label_map=None, shape=None) -> dict:
    sample = {"seg_map_path": str(path), "reduce_zero_label": zero, "label_map": label_map, "seg_fields": []}
    return {**sample, "ori_shape": shape} if shape else sample


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("label_map", [None, {0: 1, 1: 255, 2: 0}])
def test_masks_are_read_as_mmsegmentation_reads_them(tmp_path, zero, label_map) -> None:
    path = tmp_path / "mask.png"
    values = [0, 1, 2, 255] + ([3] if zero else [])
    Image.fromarray(np.random.default_rng(0).choice(values, (9, 11)).astype(np.uint8)).save(path)
    theirs = LoadAnnotations().transform(mask_sample(path, zero=zero, label_map=label_map))
    ours = LoadMask(num_classes=3).transform(mask_sample(path, zero=zero, label_map=label_map))
    np.testing.assert_array_equal(ours["gt_seg_map"], theirs["gt_seg_map"])
    assert ours["seg_fields"] == theirs["seg_fields"] and ours["gt_seg_map"].dtype == np.uint8


def test_a_palette_picture_gives_its_numbers(tmp_path) -> None:
    path = tmp_path / "mask.png"
    picture = Image.fromarray(np.eye(4, dtype=np.uint8), mode="P")
    picture.putpalette([200, 10, 10, 10, 200, 10])
    picture.save(path)
    result = LoadMask(num_classes=2).transform(mask_sample(path, zero=False))
    np.testing.assert_array_equal(result["gt_seg_map"], np.eye(4))


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (np.full((4, 5), 3, np.uint8), {"zero": False}, r"value 3; allowed are the classes, 0 to 2, and 255"),
        (
            np.full((4, 5), 4, np.uint8),
            {"zero": True},
            r"value 4; allowed are the classes, 1 to 3, and 0 and 255",
        ),
        (np.full((4, 5), 300, np.uint16), {"zero": False}, "has the value 300"),
        (np.full((4, 5), -2, np.int32), {"zero": False}, "has the value -2"),
        (np.full((4, 5), 1.5, np.float32), {"zero": False}, "has the value 1.5"),
        (np.zeros((4, 5, 3), np.uint8), {"zero": False}, "has 3 channels; a label map has one"),
        (
            np.zeros((4, 5), np.uint8),
            {"zero": False, "shape": (8, 5)},
            "5 x 4 pixels, but its image has 5 x 8",
        ),
    ],
)
def test_wrong_masks_are_one_sentence(tmp_path, mask, options, message) -> None:
    path = tmp_path / "mask.tiff"
    Image.fromarray(mask).save(path)
    with pytest.raises(UserError, match=message) as caught:
        LoadMask(num_classes=3).transform(mask_sample(path, **options))
    assert str(path) in str(caught.value)


def test_a_damaged_mask_is_named(tmp_path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"mask\.png: cannot be read as a picture"):
        LoadMask(num_classes=3).transform(mask_sample(path, zero=False))


def test_a_damaged_image_is_named(tmp_path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"image\.jpg: cannot be read as a picture"):
        LoadImage().transform({"img_path": str(path)})


def test_more_classes_than_eight_bits_hold() -> None:
    with pytest.raises(UserError, match="num_classes=300: masks of 8 bits support at most 254"):
        LoadMask(num_classes=300)


def test_pairs_are_matched_by_name_in_any_format_and_depth(data) -> None:
    images, masks = data / "images/train", data / "masks/train"
    (images / "p00.png").rename(images / "p00.jpeg")
    (images / "city").mkdir()
    (masks / "city").mkdir()
    (images / "p01.png").rename(images / "city" / "p01.png")
    (masks / "p01.png").rename(masks / "city" / "p01.png")
    pairs = match_pairs(images, masks)
    assert len(pairs) == 8 and (images / "city/p01.png", masks / "city/p01.png") in pairs
    dataset = ImageMaskDataset(
        data_root=str(data),
        data_prefix={"img_path": "images/train", "seg_map_path": "masks/train"},
        metainfo={"classes": ("a", "b", "c")},
        reduce_zero_label=True,
    )
    assert len(dataset) == 8
    assert dataset.get_data_info(0)["reduce_zero_label"] is True


def test_a_list_of_names(data) -> None:
    names = data / "names.txt"
    names.write_text("p03\np01\n")
    found = match_pairs(data / "images/train", data / "masks/train", names)
    assert [image.stem for image, _ in found] == ["p03", "p01"]
    names.write_text("p99\n")
    with pytest.raises(UserError, match="names 'p99', but"):
        match_pairs(data / "images/train", data / "masks/train", names)
    names.write_text("\n")
    with pytest.raises(UserError, match="names no image"):
        match_pairs(data / "images/train", data / "masks/train", names)


def test_what_is_missing_is_named(data) -> None:
    images, masks = data / "images/train", data / "masks/train"
    with pytest.raises(UserError, match="nowhere: no such folder of masks"):
        match_pairs(images, data / "nowhere")
    (masks / "p02.png").unlink()
    with pytest.raises(UserError, match=r"p02\.png: has no mask; .* has no p02\.png"):
        match_pairs(images, masks)
    (data / "empty").mkdir()
    with pytest.raises(UserError, match="empty: holds no images"):
        match_pairs(data / "empty", masks)
    Image.new("RGB", (9, 9)).save(images / "p03.jpg")
    with pytest.raises(UserError, match=r"p03\.png: p03\.jpg has the same name"):
        match_pairs(images, masks)


def test_aligned_resize_interpolates_twice_as_published(tmp_path) -> None:
    """First to the allowed sides in bytes, then stretched to multiples of 32."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 83, 3), dtype=np.uint8)
    found = AlignedResize(scale=(256, 48)).transform({"img": pixels})["img"]
    once = cv2.resize(pixels, (66, 48), interpolation=cv2.INTER_LINEAR)
    twice = cv2.resize(once, (96, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(found, twice)
    assert (found != cv2.resize(pixels, (96, 64), interpolation=cv2.INTER_LINEAR)).any()


def test_a_picture_of_one_column_is_resized() -> None:
    found = AlignedResize(scale=(256, 64)).transform({"img": np.zeros((1000, 1, 3), np.uint8)})["img"]
    assert found.shape == (256, 32, 3)


@pytest.mark.parametrize("read", [read_values, read_map, read_picture])
def test_a_picture_that_is_too_large_is_a_sentence(tmp_path, monkeypatch, read) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (40, 40)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(
        UserError, match=r"large\.png: has more than 178,956,970 pixels; cut it into smaller ones"
    ):
        read(path)


def test_a_map_that_a_viewer_turns_is_rejected(tmp_path) -> None:
    path = tmp_path / "mask.png"
    exif = Image.Exif()
    exif[274] = 3
    Image.new("L", (4, 4)).save(path, exif=exif)
    with pytest.raises(UserError, match="has the EXIF orientation 3; a map is read as it is stored"):
        read_values(path)


def test_an_image_of_one_row_is_drawn(tmp_path) -> None:
    Image.new("RGB", (40, 1)).save(tmp_path / "row.png")
    row = PixelData(data=torch.zeros(1, 1, 40, dtype=torch.long))
    sample = SegDataSample(metainfo={"img_path": str(tmp_path / "row.png")})
    sample.pred_sem_seg, sample.gt_sem_seg = row, row
    meta = {"classes": ("a", "b"), "palette": [[9, 9, 9], [99, 99, 99]]}
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=SimpleNamespace(metainfo=meta)))
    PicturesHook(folder=str(tmp_path / "show")).after_test_iter(runner, 0, outputs=[sample])
    assert (tmp_path / "show/row.png").is_file()
