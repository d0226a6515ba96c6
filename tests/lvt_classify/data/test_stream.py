"""Tar files, read as folders of images and as streams of WebDataset shards."""

from __future__ import annotations

import csv
import io
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lvt_classify.data.classes import ClassIndex
from lvt_classify.data.dataset import open_dataset
from lvt_classify.data.loader import Loader, train_loader, validation_loader
from lvt_classify.data.stream import StreamedImages
from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options
from lvt_classify.runtime import Runtime
from lvt_classify.training.engine import evaluate
from lvt_core.errors import UserError
from tests.commands import run, run_ranks, sentence, train_command, weights

CONFIG = {
    "crop_mode": "center",
    "input_size": (3, 32, 32),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "interpolation": "bicubic",
    "crop_pct": 1.0,
}
SHARDS, SAMPLES = 4, 48
SPLIT = f"train-{{0000..{SHARDS - 1:04}}}.tar"


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """Write grey images whose level is their class, twelve per shard."""
    pytest.importorskip("webdataset", reason="WebDataset's package is not installed")
    root = tmp_path_factory.mktemp("shards")
    for shard in range(SHARDS):
        with tarfile.open(root / f"train-{shard:04}.tar", "w") as tar:
            for number in range(shard, SAMPLES, SHARDS):
                image, file = Image.fromarray(np.full((40, 48, 3), number * 5, np.uint8)), io.BytesIO()
                image.save(file, "PNG")
                for kind, data in (("png", file.getvalue()), ("cls", str(number).encode())):
                    info = tarfile.TarInfo(f"{number:04}.{kind}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return root


def stream(folder: Path, *argv: str, rank: int = 0, world: int = 1, training: bool = True) -> Loader:
    split = f"{SPLIT}|{SAMPLES}"
    words = [str(folder), "--dataset", "wds/x", "--train-split", split, "--val-split", split, "-b", "4"]
    o = parse_options(TrainOptions, [*words, "--img-size", "32", *argv], shared=option_names())
    runtime = Runtime(torch.device("cpu"), rank, world, None)
    dataset = open_dataset(o, split, training=training)
    if training:
        return train_loader(o, runtime, dataset, CONFIG, label_root=o.token_label_data)
    return validation_loader(o, runtime, dataset, CONFIG)


def epoch(loader: Loader, number: int, first_step: int = 0) -> tuple[list[int], torch.Tensor]:
    loader.set_position(number, first_step)
    batches = list(loader)
    return torch.cat([b[1].targets for b in batches]).tolist(), torch.cat([b[0] for b in batches])


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_epoch_follows_from_the_seed_and_its_number(shards: Path, workers: str) -> None:
    def fresh() -> Loader:
        return stream(shards, "-j", workers, "--aa", "rand-m9-mstd0.5-inc1")

    one = fresh()
    first, second = epoch(one, 0), epoch(one, 1)
    assert one.steps == SAMPLES // 4
    assert sorted(first[0]) == sorted(second[0]) == list(range(SAMPLES))
    assert first[0] != second[0] != sorted(second[0])
    torch.rand(3)  # random numbers drawn elsewhere do not matter
    resumed = fresh()
    again = epoch(resumed, 1)
    assert again[0] == second[0] and torch.equal(again[1], second[1])
    rest = epoch(fresh(), 1, first_step=5)
    assert rest[0] == second[0][20:] and torch.equal(rest[1], second[1][20:])


def test_processes_and_workers_share_the_shards(shards: Path) -> None:
    seen: Counter[int] = Counter()
    for rank in (0, 1):
        loader = stream(shards, "-j", "1", rank=rank, world=2, training=False)
        targets = torch.cat([labels.targets for _, labels in loader]).tolist()
        assert 0 < len(targets) < SAMPLES
        seen.update(targets)
    assert seen == Counter(range(SAMPLES))


def test_validation_sees_every_sample_once(shards: Path, recwarn) -> None:
    for workers in ("0", "2"):
        loader = stream(shards, "-j", workers, training=False)
        assert sorted(t for _, labels in loader for t in labels.targets.tolist()) == list(range(SAMPLES))
    assert not [w for w in recwarn if "Length of IterableDataset" in str(w.message)]


def test_rejects_streams_that_cannot_be_used(shards: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="5 processes cannot share 4 WebDataset shards: write more shards"):
        stream(shards, world=5)
    with pytest.raises(UserError, match=r"train-0000.tar: no such WebDataset shard"):
        stream(folder)
    with pytest.raises(UserError, match="--token-label-data: needs a data set of files, not a stream"):
        stream(shards, "--token-label", "--token-label-data", str(folder / "labels"))


@pytest.mark.slow
def test_training_on_shards_by_one_and_two_processes(shards: Path, tmp_path: Path) -> None:
    command = train_command(
        *[shards, tmp_path, "--dataset", "wds/x", "--num-classes", SAMPLES, "--workers", 1],
        *["--train-split", f"{SPLIT}|{SAMPLES}", "--val-split", f"{SPLIT}|{SAMPLES}"],
    )
    run(*command, "--experiment", "one")
    run_ranks(2, *command, "--experiment", "two")
    for name in ("one", "two"):
        with open(tmp_path / name / "summary.csv", newline="") as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1"]
        assert all(
            torch.isfinite(value).all() for value in weights(tmp_path / name / "last.pth.tar").values()
        )


def test_training_on_tar_files(folder: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        with tarfile.open(tmp_path / f"{split}.tar", "w") as tar:
            tar.add(folder / split, arcname=split)
    options = ["--train-split", "train.tar", "--val-split", "val.tar", "--workers", 2]
    run(*train_command(tmp_path, tmp_path / "out", *options))
    run(*train_command(folder, tmp_path / "out", name="folder"))
    tarred, plain = (weights(tmp_path / "out" / name / "last.pth.tar") for name in ("run", "folder"))
    assert all(torch.equal(tarred[key], plain[key]) for key in plain)


def test_names_a_missing_package(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("timm.data.readers.reader_wds.wds", None)
    done = run(*train_command(tmp_path, tmp_path, "--dataset", "wds/x"), ok=False)
    assert "webdataset" in sentence(done)


def damaged(path: Path, shards: Path, kind: str) -> Path:
    """Copy the shards, and damage the first one."""
    shutil.copytree(shards, path)
    file = path / "train-0000.tar"
    if kind == "cut off in a picture":
        file.write_bytes(file.read_bytes()[:2700])
    elif kind == "cut off between members":
        file.write_bytes(file.read_bytes()[:2048])
    else:
        with tarfile.open(file, "a") as tar:  # a picture without a class
            info = tarfile.TarInfo("0099.png")
            info.size = 4
            tar.addfile(info, io.BytesIO(b"abcd"))
    return path


@pytest.mark.parametrize("kind", ["cut off in a picture", "cut off between members", "no class"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_shard_ends_in_a_sentence(kind: str, workers: int, shards: Path, tmp_path: Path) -> None:
    folder = damaged(tmp_path / "data", shards, kind)
    with pytest.raises(UserError, match="the stream cannot be read to its end|samples were read, but"):
        evaluate(
            lambda images: torch.zeros(len(images), SAMPLES),
            stream(folder, "-j", str(workers), training=False),
            Runtime(torch.device("cpu"), 0, 1, None),
            title="eval",
            log_interval=100,
        )


def test_classes_that_a_map_or_the_model_lacks_end_in_a_sentence(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "map.txt").write_text("cat\ndog\n")
    with pytest.raises(UserError, match=r"it has the class \d+, which has no index"):
        list(stream(shards, "--class-map", str(tmp_path / "map.txt"), "--workers", "1", training=False))
    images = StreamedImages(
        stream(shards, "--workers", "0", training=False).dataset.dataset,
        lambda image: torch.zeros(3, 2, 2),
        training=False,
        rank=0,
        world=1,
        classes=ClassIndex(3),
    )
    found = [sample for sample in images if isinstance(sample, UserError)]
    assert len(found) == SAMPLES - 3
    assert "but the model has 3 classes" in str(found[0])
