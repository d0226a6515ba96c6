"""Sources: what a file, a folder, a pattern, a video, a camera and the standard input name."""

from __future__ import annotations

import io
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lvt_predict.errors import UserError
from lvt_predict.photo.sources import Film, Item, find_items, require_own_names


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("b.png", "a.jpg", "in/a.jpg", "in/a.PNG", ".hidden.png", ".git/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6), "red").save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "README").write_text("no picture")
    return tmp_path


def write_video(path: Path, frames: int, *, size: tuple[int, int] = (64, 48)) -> Path:
    """Write a video whose frames become brighter."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, size)
    for i in range(frames):
        writer.write(np.full((size[1], size[0], 3), (0, 0, 255 * i // frames), np.uint8))
    writer.release()
    return path


def test_a_folder(photos: Path) -> None:
    items, skipped = find_items([str(photos)])
    assert [item.name for item in items] == ["a", "b", "in/a.PNG", "in/a.jpg"]
    assert items[0].source == str(photos / "a.jpg")
    assert skipped == Counter({".txt": 1, "no suffix": 1})


def test_a_pattern_and_files(photos: Path) -> None:
    assert [item.name for item in find_items([str(photos / "*.png")])[0]] == ["b"]
    assert [item.name for item in find_items([str(photos / "**/*.jpg")])[0]] == ["a", "in/a"]
    assert [item.name for item in find_items([str(photos / "b.png"), str(photos / "a.jpg")])[0]] == ["b", "a"]


def test_links_are_followed_in_no_circle(photos: Path) -> None:
    (photos / "in" / "up").symlink_to(photos)
    (photos.parent / "elsewhere").mkdir(exist_ok=True)
    Image.new("RGB", (8, 6)).save(photos.parent / "elsewhere" / "z.png")
    (photos / "link").symlink_to(photos.parent / "elsewhere")
    assert [item.name for item in find_items([str(photos)])[0]] == [
        "a",
        "b",
        "in/a.PNG",
        "in/a.jpg",
        "link/z",
    ]


def test_the_standard_input(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Standard:
        buffer = io.BytesIO((photos / "b.png").read_bytes())

    monkeypatch.setattr(sys, "stdin", Standard)
    (item,), _ = find_items(["-"])
    assert isinstance(item, Item) and item.read(exif=True).size == (8, 6)
    Standard.buffer = io.BytesIO(b"no picture")
    (item,), _ = find_items(["-"])
    assert isinstance(item, Item)
    with pytest.raises(UserError, match="standard input: cannot be read as a picture"):
        item.read(exif=True)


def test_a_video_has_its_frames_in_rgb(tmp_path: Path) -> None:
    (film,), _ = find_items([str(write_video(tmp_path / "v.mp4", 5))])
    assert isinstance(film, Film)
    frames = list(film.frames())
    assert len(frames) == 5 and frames[0].shape == (48, 64, 3) and film.rate() == 10
    assert frames[4][..., 0].mean() > frames[4][..., 2].mean() + 100  # red


def test_wrong_sources_are_sentences(photos: Path) -> None:
    (photos / "empty").mkdir()
    (photos / "texts").mkdir()
    (photos / "texts" / "a.txt").write_text("")
    (photos / "bad.mp4").write_text("no video")
    for source, message in (
        ("nowhere.png", "nowhere.png: no such picture, folder or pattern"),
        (str(photos / "*.gif"), "no such picture, folder or pattern"),
        (str(photos / "empty"), r"empty: has no pictures \(\.bmp, "),
        (str(photos / "texts"), r"texts: has no pictures .*, only files with \.txt"),
    ):
        with pytest.raises(UserError, match=message):
            find_items([source])
    items, _ = find_items([str(photos / "a.jpg"), str(photos / "in" / "a.jpg")])
    with pytest.raises(UserError, match="in/a.jpg would both be written to a.jpg; name their common folder"):
        require_own_names(items)
    for source, message in (
        (str(photos / "bad.mp4"), "bad.mp4: cannot be read as a video"),
        ("camera:97", "camera:97: no such camera"),
    ):
        (film,), _ = find_items([source])
        assert isinstance(film, Film)
        with pytest.raises(UserError, match=message):
            next(film.frames())
