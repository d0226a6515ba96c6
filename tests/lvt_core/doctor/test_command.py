"""`lvt doctor`: each kind of defect is made on purpose, and must be in the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvt_core import cli
from lvt_core.doctor.command import examine_data
from lvt_core.doctor.report import SHOWN, Report
from lvt_core.errors import UserError
from tests.det_commands import write_panoptic_data
from tests.small import write_pictures


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "data", (40, 40), {"train": 4, "val": 2})


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Return images and masks of three values."""
    rng = np.random.default_rng(0)
    for split, count in (("training", 3), ("validation", 2)):
        for kind in ("images", "annotations"):
            (tmp_path / kind / split).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"images/{split}/{i}.png")
            values = np.repeat(np.arange(3, dtype=np.uint8), 700)[:2000].reshape(40, 50)
            Image.fromarray(values).save(tmp_path / f"annotations/{split}/{i}.png")
    return tmp_path


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Return panoptic data in COCO's layout."""
    (tmp_path / "annotations").mkdir()
    for split, count in (("train", 2), ("val", 1)):
        made = write_panoptic_data(tmp_path / "raw", split, count)
        target = tmp_path / "annotations" / f"panoptic_{split}2017"
        Path(made.annotations).rename(f"{target}.json")
        Path(made.maps).rename(target)
        Path(made.images).rename(tmp_path / f"{split}2017")
    return tmp_path


def test_good_data_have_no_defect(classes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["doctor", str(classes)])
    printed = capsys.readouterr().out
    assert "train: pictures             8" in printed and printed.endswith("no defect\n")
    cli.main(["doctor", str(classes), "--json"])
    assert json.loads(capsys.readouterr().out)["facts"]["val: classes"] == 2


@pytest.mark.parametrize("data", ["masks", "coco"])
def test_good_dense_data(data: str, request: pytest.FixtureRequest) -> None:
    report = examine_data(request.getfixturevalue(data))
    assert report.count == 0 and len(report.facts) >= 6


def test_defects_of_class_folders(classes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (classes / "train/bright/0.png").write_bytes(b"no picture")
    shutil.copy(classes / "train/bright/1.png", classes / "val/bright/copy.png")
    (classes / "train/cat").mkdir()
    Image.new("RGB", (40, 40)).save(classes / "train/cat/a.png")
    (classes / "train/empty").mkdir()
    Image.new("RGB", (8, 8)).save(classes / "train/lonely.png")
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(classes / "val/dark/sixteen.png")
    (classes / "val/dark/notes.txt").write_text("")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["doctor", str(classes)])
    assert stopped.value.code == 1
    printed = capsys.readouterr().out
    for words in (
        "unreadable pictures: 1",
        "train/bright/0.png: cannot be read as a picture",
        "validation pictures in the training data: 1",
        "val/bright/copy.png = ",
        "classes that differ: 1",
        "val lacks 'cat', which train has",
        "classes without a picture: 1",
        "pictures without a class: 1",
        "note: val: 1 pictures have 16 bits",
        "note: val: 1 files are left out: .txt",
        "note: train: 1 pictures are smaller than 32 pixels",
        "5 defects",
    ):
        assert words in printed, words


def test_defects_of_masks(masks: Path) -> None:
    (masks / "annotations/training/0.png").unlink()
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(masks / "annotations/training/1.png")
    Image.new("L", (50, 40)).save(masks / "annotations/validation/lonely.png")
    Image.fromarray(np.full((40, 50), 9, np.uint8)).save(masks / "annotations/validation/0.png")
    Image.new("RGB", (50, 40)).save(masks / "annotations/validation/1.png")
    report = examine_data(masks)
    assert list(report.defects) == [
        "images without a mask", "wrong masks", "masks without an image", "values that training never sees",
    ]  # fmt: skip
    assert "40 x 40 pixels, but its image has 50 x 40" in report.defects["wrong masks"][0]
    assert "1.png: has 3 channels" in report.defects["wrong masks"][1]
    assert report.defects["values that training never sees"] == ["the masks to validate on have [9]"]


def test_masks_of_another_convention(masks: Path) -> None:
    for path in (masks / "annotations").rglob("*.png"):
        values = np.zeros((40, 50), np.uint8)
        values[:20] = 255
        Image.fromarray(values).save(path)
    (text,) = examine_data(masks).defects["values of another convention"]
    assert text.endswith("own_data.py --mask-values 0 255 reads both")


def test_defects_of_panoptic_data(coco: Path) -> None:
    file = coco / "annotations/panoptic_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["segments_info"][0]["bbox"] = [0, 0, 1, 1]
    file.write_text(json.dumps(content))
    first = next((coco / "train2017").iterdir())
    image = next(each for each in content["images"] if each["file_name"] != first.name)
    (coco / "train2017" / image["file_name"]).write_bytes(b"no picture")
    (coco / "annotations/panoptic_val2017.json").write_text("{")
    report = examine_data(coco)
    assert set(report.defects) >= {"wrong maps", "unreadable pictures", "wrong annotation files"}
    assert any("bbox" in text for text in report.defects["wrong maps"])


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    root = write_pictures(tmp_path, (33, 35), {"train": 40, "val": 1})
    (root / "train/dark/7.png").write_bytes(b"")
    reports = [examine_data(root, processes=n) for n in (1, 2)]
    assert reports[0] == reports[1] and reports[0].count == 1


def test_a_long_list_is_cut_in_the_table_only() -> None:
    report = Report("any")
    for i in range(SHOWN + 5):
        report.add_defect("kind", f"defect {i}")
    lines = list(report.lines())
    assert lines[-2] == "  and 5 more; --json lists all" and lines[-1] == f"{SHOWN + 5} defects"
    assert len(json.loads(report.to_json())["defects"]["kind"]) == SHOWN + 5


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    for name, message in (
        ("none", "none: no such folder"),
        ("", "has no known layout; it needs train/CLASS/"),
    ):
        with pytest.raises(UserError, match=message):
            cli.main(["doctor", str(tmp_path / name)])
