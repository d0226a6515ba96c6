"""Small inputs that once went wrong (`tests/cases/README.md`): each command gives the right result now."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvt_core import cli
from lvt_predict.pictures import read_picture
from tests.commands import ROOT, run, sentence

CASES = ROOT / "tests" / "cases"
SEGMENTATION, DETECTION = ROOT / "segmentation", ROOT / "detection"
CLASSIFY = "--img-size 48 --workers 0 -b 8 --device cpu --epochs 1 --warmup-epochs 0".split()


def own_masks(case: str, work_dir: Path, *options: object, **kwargs):
    """Run segmentation's own_data.py on a case, on a small network."""
    folder = CASES / case
    inputs = (folder / "images", folder / "masks", folder / "classes.txt")
    sizes = "--crop-size 64 --short-side 64 --max-iters 12 -b 4 --workers 0".split()
    command = ("tools/own_data.py", *inputs, "--work-dir", work_dir, *sizes, *options)
    return run(*command, task=SEGMENTATION, **kwargs)


def own_panoptic(case: str, work_dir: Path, *options: object, **kwargs):
    """Run detection's own_data.py on a case."""
    folder = CASES / case
    inputs = (folder / "images", folder / "panoptic.json", folder / "maps")
    sizes = "--short-side 96 --epochs 3 -b 2 --workers 0".split()
    return run(
        "tools/own_data.py", *inputs, "--work-dir", work_dir, *sizes, *options, task=DETECTION, **kwargs
    )


def test_binary_masks_stop_before_training(tmp_path: Path) -> None:
    message = sentence(own_masks("binary_masks_0_255", tmp_path, ok=False))
    assert "'object'" in message
    assert "no pixel" in message
    assert re.search(r"\d+(\.\d+)? % of the pixels are 255", message)
    assert "--mask-values 0 255" in message
    assert not (tmp_path / "run").exists()


def test_binary_masks_are_read_with_the_option_that_the_message_names(tmp_path: Path) -> None:
    own_masks("binary_masks_0_255", tmp_path, "--mask-values", 0, 255, "--config-only")
    assert (tmp_path / "config.py").is_file()


def test_a_byte_order_mark_belongs_to_no_class(tmp_path: Path) -> None:
    own_masks("classes_with_bom", tmp_path, "--config-only")
    text = (tmp_path / "config.py").read_text(encoding="utf-8")
    assert "background" in text
    assert "\ufeff" not in text
    assert "\\ufeff" not in text


@pytest.fixture(scope="module")
def discs(tmp_path_factory) -> Path:
    """Return the work dir of a network that was trained on masks of 16 bits."""
    work_dir = tmp_path_factory.mktemp("discs")
    own_masks("masks_16_bit_ok", work_dir)
    return work_dir


@pytest.mark.slow
def test_masks_of_16_bits_are_learnt(discs: Path) -> None:
    assert json.loads((discs / "results.json").read_text())["mIoU"] > 90


@pytest.mark.slow
@pytest.mark.parametrize("case", ["export_data_180", "export_data_grey16"])
def test_the_gate_reads_pictures_as_training_does(case: str, discs: Path, tmp_path: Path) -> None:
    """Export on pictures that are turned, or have 16 bits, and on plain copies: the score is the same."""
    plain = Path(shutil.copytree(CASES / case, tmp_path / "plain"))
    for path in (plain / "images").rglob("*.*"):
        picture = read_picture(path)
        path.unlink()
        picture.save(path.with_suffix(".png"))
    (checkpoint,) = (discs / "run").glob("best_*.pth")
    scores = []
    for name, data in (("case", CASES / case), ("copy", plain)):
        words = ["export", str(checkpoint), "--to", "onnx", "--size", "64", "--precision", "fp16"]
        cli.main([*words, "--data", str(data), "--output", str(tmp_path / name)])
        scores.append(json.loads((tmp_path / name / "model.json").read_text())["parity"]["exported"])
    assert scores[0] == scores[1] > 75  # pictures that are read otherwise give 7 to 10; training varies


@pytest.mark.parametrize("case", ["panoptic_xyxy", "panoptic_zero"])
def test_boxes_follow_from_the_maps_or_the_first_wrong_one_is_named(case: str, tmp_path: Path) -> None:
    message = sentence(own_panoptic(case, tmp_path, "--config-only", ok=False))
    assert "panoptic.json" in message
    assert "bbox" in message
    assert re.search(r"\[\d+, \d+, \d+, \d+\]", message)  # the box of the map


def test_a_truncated_picture_is_named_before_training(tmp_path: Path) -> None:
    message = sentence(own_panoptic("panoptic_trunc", tmp_path, "--config-only", ok=False))
    assert re.search(r"panoptic_trunc/images/\S+: cannot be read as a picture", message)


def classify(case: str, output: Path) -> str:
    command = ("main.py", CASES / case, "--model-kwargs", "depths=(1,1,1,1)", *CLASSIFY, "--output", output)
    done = run(*command, "--experiment", "run")
    return done.stdout + done.stderr


@pytest.mark.slow
def test_pictures_of_mixed_formats_all_count(tmp_path: Path) -> None:
    assert "48 training and 16 validation images" in classify("mixed_extensions", tmp_path)


@pytest.mark.slow
def test_every_kind_of_picture_trains(tmp_path: Path) -> None:
    count = {split: len(list((CASES / "image_kinds" / split).rglob("*.*"))) for split in ("train", "val")}
    said = classify("image_kinds", tmp_path)
    assert f"{count['train']} training and {count['val']} validation images" in said
    assert (tmp_path / "run" / "model_best.pth.tar").exists()


@pytest.mark.parametrize(
    "name", ["000.png", "001.png", "002.png", "003.jpg", "004.png", "005.png", "006.jpg"]
)
def test_training_sees_what_the_reader_reads(name: str) -> None:
    from lvt_classify.data.decode import decoded

    path = CASES / "image_kinds" / "train" / "cat" / name
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(decoded(image)), np.asarray(read_picture(path)))


@pytest.mark.parametrize("folder", ["seg_exif/images", "export_data_180/images/validation"])
def test_dense_training_and_the_gate_see_what_the_reader_reads(folder: str) -> None:
    from lvt_core.openmmlab.transforms import LoadImage

    path = sorted((CASES / folder).iterdir())[0]
    loaded = LoadImage().transform({"img_path": str(path)})["img"]
    np.testing.assert_array_equal(loaded[..., ::-1], np.asarray(read_picture(path)))
