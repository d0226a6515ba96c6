"""Hostile folders: exports, class maps, recipes, data sets and archives of pictures."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lvt_core
import lvt_predict
from lvt_classify.data.classes import read_class_map
from lvt_classify.data.dataset import open_dataset
from lvt_classify.options.groups import TrainOptions
from lvt_core.checkpoint.facts import facts_of
from lvt_core.errors import UserError
from lvt_core.export.recipe.file import read_recipe
from lvt_core.files import count_left_out, require_tree
from lvt_core.panoptic.annotations import read_json
from lvt_predict.photo.sources import find_items
from tests.attacks.limits import rejected, within_limits
from tests.attacks.payloads import plain_pickle
from tests.lvt_predict.exports import change

JSON: dict[str, Callable[[Path], object]] = {
    "nested lists": lambda file: file.write_text("[" * 1_000_000),
    "nested closed lists": lambda file: file.write_text("[" * 100_000 + "]" * 100_000),
    "nested objects": lambda file: file.write_text('{"a":' * 100_000),
    "digits": lambda file: file.write_text('{"input": ' + "9" * 5000 + "}"),
    "a list": lambda file: file.write_text("[]"),
    "bytes": lambda file: file.write_bytes(b"\xff\xfe\0"),
    "a pipe": lambda file: os.mkfifo(file),
    "a device": lambda file: file.symlink_to("/dev/zero"),
    "a folder": lambda file: file.mkdir(),
}


def large(file: Path) -> None:
    file.write_text('{"a": [' + "0," * 100_000_000 + "0]}")


@pytest.mark.parametrize("name", [*JSON, "large"])
def test_files_of_json(name: str, tmp_path: Path) -> None:
    for file in (tmp_path / "model.json", tmp_path / "config.json"):
        (large if name == "large" else JSON[name])(file)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with rejected("model.json"):
        lvt_predict.load(tmp_path)
    with rejected("config.json"):
        read_recipe(tmp_path / "config.json")
    with within_limits():
        facts_of({}, tmp_path / "model.safetensors")
    with rejected("config.json"):
        lvt_core.SegFormer.from_pretrained(tmp_path)
    if name != "large":  # annotations of COCO have hundreds of megabytes
        with rejected("config.json"):
            read_json(tmp_path / "config.json")
    (tmp_path / "model.json").rename(tmp_path / "a.json")
    with rejected("model.safetensors|has no|is a folder without"):
        lvt_core.load(tmp_path)


MANIFEST: dict[str, Any] = {
    "runtime": "onnx",
    "file": "model.onnx",
    "sha256": {"model.onnx": ""},
    "input": [1, 3, 32, 32],
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", "../model.onnx"),
        ("file", "/etc/passwd"),
        ("sha256", {"../../etc/passwd": "", "model.onnx": ""}),
        ("input", [10**100, 3, 32, 32]),
        ("runtime", "os"),
        ("file", "a" * 100_000),
    ],
)
def test_manifests(key: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps(MANIFEST))
    change(tmp_path, **{key: value})
    with rejected():
        lvt_predict.load(tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, lambda file: file.symlink_to("/dev/zero"), large])
def test_networks_that_never_end(make: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps(MANIFEST))
    make(tmp_path / "model.onnx")
    with rejected("model.onnx"):
        lvt_predict.load(tmp_path)


MAPS: dict[str, Callable[[Path], object]] = {
    "a payload": lambda file: plain_pickle(file, file.with_name("ran")),
    "a call of eval": lambda file: file.write_bytes(b"cbuiltins\neval\n(S'1'\ntR."),
    "a class by its code": lambda file: file.write_bytes(b"\x82\x01."),
    "nested lists": lambda file: file.write_bytes(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."),
    "a large memo": lambda file: file.write_bytes(b"\x80\x02K\x01r\xff\xff\xff\x7f."),
    "a large text": lambda file: file.write_bytes(b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b"a."),
    "a large array": lambda file: file.write_bytes(b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"a."),
    "laughing lists": lambda file: file.write_bytes(b"\x80\x02]q\0" + b"(h\0" * 3 + b"l."),
    "digits": lambda file: file.write_bytes(b"L" + b"9" * 100_000 + b"L\n."),
    "a pipe": os.mkfifo,
    "a device": lambda file: file.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("suffix", [".pkl", ".txt"])
def test_class_maps(name: str, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"a{suffix}"
    MAPS[name](file)
    with rejected("--class-map .*a"):
        read_class_map(str(file))
        assert suffix == ".txt"  # nearly anything is text
        raise lvt_predict.UserError("--class-map a: was read as text")
    assert not (tmp_path / "ran").exists()


def picture() -> bytes:
    written = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize("name", ["../../../out.png", "/tmp/lvt_attack/out.png", "a/../../../out.png"])
def test_archives_of_pictures_write_nothing(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    with tarfile.open(folder / "a.tar", "w") as archive:
        for member in (name, "b/in.png"):
            entry = tarfile.TarInfo(member)
            entry.size = len(picture())
            archive.addfile(entry, io.BytesIO(picture()))
        link = tarfile.TarInfo("b/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    dataset = open_dataset(TrainOptions(data_dir=str(folder / "a.tar")), "train", training=True)
    assert len(dataset) >= 2
    for i in range(len(dataset)):
        with contextlib.suppress(KeyError):  # the target of the link
            dataset.reader[i]
    assert sorted(tmp_path.rglob("*"))[: len(before)] == before
    assert not any(path.name == "out.png" for path in tmp_path.parent.glob("*"))
    assert not Path("/tmp/lvt_attack").exists()


def test_links_in_circles(tmp_path: Path) -> None:
    """Folders with links to all of them: there are as many paths as orders of the folders."""
    names = "abcdefghij"
    for name in names:
        (tmp_path / name).mkdir()
    for name in names:
        (tmp_path / name / "a.png").write_bytes(picture())
        for other in names:
            (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    with within_limits():
        with pytest.raises(UserError, match="on more than 100 paths"):
            count_left_out(tmp_path, (".png",))
        with pytest.raises(UserError, match="link to a folder above"):
            require_tree(tmp_path)
        assert len(find_items([str(tmp_path)])[0]) == 10


@pytest.mark.parametrize("target", ["..", "."])
def test_data_with_a_link_to_a_folder_above(target: str, tmp_path: Path) -> None:
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "train" / "a" / "a.png").write_bytes(picture())
    (tmp_path / "train" / "a" / "b").symlink_to(target)
    with rejected("train/a/b: is a link to a folder above it"):
        open_dataset(TrainOptions(data_dir=str(tmp_path)), "train", training=True)
