"""Tests of the digit pictures on disk: their layout, their token labels, and whole or not at all."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from demo.classification import data
from demo.classification.data import ClassificationData
from demo.classification.token_labels import FULL_LOGIT
from demo.scenes.scans import load_scans, split_scans

TINY = ClassificationData(train_per_scan=2, scan_step=70)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "data"
    assert TINY.make(path)
    return path


def _scan(path: Path) -> int:
    return int(path.stem.removeprefix("scan").split("_")[0])


def test_layout_is_an_image_folder(root: Path) -> None:
    for split, renderings in (("train", 2), ("val", 1)):
        folder = ImageFolder(str(root / split))
        assert folder.classes == [f"digit_{digit}" for digit in range(10)]
        scans = split_scans(split, step=70)
        assert len(folder) == renderings * len(scans)
        for name, label in folder.samples:
            assert load_scans().digit[_scan(Path(name))] == label
            assert _scan(Path(name)) in scans
            assert Image.open(name).size == (64, 64)
    assert {path.name for path in root.iterdir()} == {
        "train",
        "val",
        "token_labels",
        "dataset.json",
    }


def test_each_training_picture_has_its_token_labels(root: Path) -> None:
    pictures = {p.relative_to(root / "train").with_suffix("") for p in root.glob("train/*/*.png")}
    maps = {p.relative_to(root / "token_labels").with_suffix("") for p in root.glob("token_labels/*/*.pt")}
    assert pictures == maps
    for stem in maps:
        label_map = torch.load(root / "token_labels" / f"{stem}.pt", weights_only=True)
        assert label_map.shape == (2, 5, 8, 8) and label_map.dtype == torch.float16
        logits, classes = label_map.float()
        assert (logits[:-1] >= logits[1:]).all()
        assert logits.min() >= 0 and logits.max() <= FULL_LOGIT
        assert (classes == classes.round()).all() and classes.min() >= 0 and classes.max() <= 9
        for cell in classes.flatten(1).T:
            assert len(set(cell.tolist())) == 5
        row, column = divmod(int(logits[0].argmax()), 8)
        assert logits[0, row, column] > 4
        assert f"digit_{int(classes[0, row, column])}" == stem.parent.name


def test_the_same_settings_give_the_same_bytes_on_any_number_of_processes(root: Path, tmp_path: Path) -> None:
    TINY.make(tmp_path / "again", processes=2)
    for picture in root.glob("*/*/*.png"):
        twin = tmp_path / "again" / picture.relative_to(root)
        assert picture.read_bytes() == twin.read_bytes()


def test_a_finished_folder_is_reused_and_other_settings_replace_it(tmp_path: Path) -> None:
    path = tmp_path / "data"
    assert TINY.make(path)
    (path / "mark").touch()
    assert not TINY.make(path)
    assert (path / "mark").exists()
    assert ClassificationData(seed=1, scan_step=200).make(path)
    assert not (path / "mark").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data.torch, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        TINY.make(tmp_path / "data")
    assert not list(tmp_path.iterdir())


def test_rejects_wrong_values(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train_per_scan=0: must be 1 or more"):
        ClassificationData(train_per_scan=0)
    with pytest.raises(ValueError, match="seed=-1: must be 0 or more"):
        ClassificationData(seed=-1)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match=r"exists without a dataset\.json"):
        TINY.make(tmp_path)
    assert (tmp_path / "mine.txt").exists()
