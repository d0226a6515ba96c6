"""Own data: a folder of images, a folder of masks, a class list."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.commands import sentence
from tests.seg_commands import seg


@pytest.mark.slow
def test_own_data_in_one_command(data: Path, tmp_path: Path) -> None:
    classes, work_dir = tmp_path / "classes.txt", tmp_path / "work"
    classes.write_text("red\ngreen\nblue\n")
    words = [
        "tools/own_data.py",
        data / "images/train",
        data / "masks/train",
        classes,
        "--work-dir",
        work_dir,
    ]
    words += [
        "--first-class",
        1,
        "--crop-size",
        64,
        "--short-side",
        64,
        "--max-iters",
        10,
        "-b",
        2,
        "--val-every",
        4,
    ]
    words += ["--workers", 0]
    seg(*words, "--config-only")
    assert (work_dir / "val.txt").read_text() == "p00\np04\n"
    assert len((work_dir / "train.txt").read_text().split()) == 6
    # The real network for ten steps, in processes of its own.
    script = [sys.executable, *words]
    done = seg(*(str(word) for word in script))
    assert {path.name for path in (work_dir / "pictures").iterdir()} == {"p00.png", "p04.png"}
    assert json.loads((work_dir / "results.json").read_text())["classes"].keys() == {"red", "green", "blue"}
    assert "trained model: " in done.stdout
    assert "_base_ = " in (work_dir / "config.py").read_text()  # as it was written
    # After another image is added, the same images are held out.
    Image.new("RGB", (80, 64)).save(data / "images/train/a.png")
    Image.new("L", (80, 64)).save(data / "masks/train/a.png")
    seg(*words, "--config-only")
    assert (work_dir / "val.txt").read_text() == "p00\np04\n"
    assert "a" in (work_dir / "train.txt").read_text().split()
    (work_dir / "config.py").write_text("# mine\n")
    done = seg(*words, "--config-only", ok=False)
    assert "was written with other options, or edited" in sentence(done)
    assert (work_dir / "config.py").read_text() == "# mine\n"


def test_own_data_mistakes(data: Path, tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("red\ngreen\n")
    folders = [data / "images/train", data / "masks/train"]
    words = ["tools/own_data.py", *folders, classes, "--work-dir", tmp_path / "w", "--config-only"]
    assert "allowed are the classes, 1 to 2" in sentence(seg(*words, "--first-class", 1, ok=False))
    assert "allowed are the classes, 0 to 1" in sentence(seg(*words, ok=False))
    assert "--val-images and --val-masks" in sentence(seg(*words, "--val-images", "x", ok=False))
    assert "--batch-size 0: must be 1" in sentence(seg(*words, "-b", 0, ok=False))
    assert "at least 32 pixels" in sentence(seg(*words, "--crop-size", 8, ok=False))
    assert "--lr 0.0: must be more than 0" in sentence(seg(*words, "--lr", 0, ok=False))
    classes.write_text("red\ngreen\nblue\n")
    broken = data / "images/train/p03.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    assert "p03.png: cannot be read as a picture" in sentence(seg(*words, "--first-class", 1, ok=False))
    broken.write_bytes(whole)
    classes.write_text("red\nred\n")
    assert "must name 2 to 254 classes, each of them once" in sentence(seg(*words, ok=False))
