"""Hostile checkpoints: each is rejected in one sentence, soon, and with little memory."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import lvt_core
from lvt_core.checkpoint.read import SUFFIXES, read_checkpoint
from tests.attacks.limits import rejected
from tests.attacks.payloads import Payload, checkpoint, pickle_archive, plain_pickle

GIGA = 10**9


class Rebuilt:
    """A tensor as a pickle describes it: a small storage, and any size and strides.

    Args:
        size: Size of the tensor.
        stride: Strides of the tensor.
        offset: Number of its first value in the storage.
    """

    def __init__(self, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> None:
        self.arguments = (torch.zeros(4).storage(), offset, size, stride, False, {})

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, self.arguments


def saved(value: Any) -> Callable[[Path], object]:
    return lambda file: torch.save(value, file)


def old_format(value: Any) -> Callable[[Path], object]:
    return lambda file: torch.save(value, file, _use_new_zipfile_serialization=False)


def zipped_again(value: Any) -> Callable[[Path], object]:
    """Return a writer of the archive of a value with compressed members."""

    def write(file: Path) -> None:
        source = zipfile.ZipFile(io.BytesIO(pickle_archive(value)))
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))

    return write


def of_a_future_version(file: Path) -> None:
    """Write an archive with compressed members that PyTorch reads, but Python's `zipfile` rejects."""
    zipped_again({"a": torch.zeros(2**28 // 4)})(file)
    content = bytearray(file.read_bytes())
    place = content.find(b"PK\1\2")
    while place >= 0:
        content[place + 6] = 99  # version that is needed to read the member
        place = content.find(b"PK\1\2", place + 4)
    file.write_bytes(content)


def overlapping(file: Path) -> None:
    """Write an archive whose members share their bytes: many names stand for one member."""
    file.write_bytes(pickle_archive({"a": torch.zeros(1 << 20)}))
    content = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        entry = next(each for each in archive.infolist() if each.filename.endswith("data/0"))
    directory = content.index(b"PK\1\2", entry.header_offset + entry.file_size)
    end = content.rindex(b"PK\5\6")
    records = content[directory:end]
    tail = bytearray(content[end:])
    count = struct.unpack_from("<H", tail, 10)[0]
    repeated = records * 50
    struct.pack_into("<HHI", tail, 8, count * 50, count * 50, len(repeated))
    file.write_bytes(content[:directory] + repeated + bytes(tail))


def old_storage(numel: int) -> Callable[[Path], object]:
    """Return a writer of the old format, whose storage says that it has many values."""

    def write(file: Path) -> None:
        written = io.BytesIO()
        torch.save({"a": torch.zeros(7)}, written, _use_new_zipfile_serialization=False)
        content = written.getvalue()
        marked = b"K\x07" if content.count(b"K\x07") else b""
        assert marked
        file.write_bytes(content.replace(marked, b"\x8a\x06" + numel.to_bytes(6, "little")))

    return write


def header(size: int, text: bytes = b"{}") -> Callable[[Path], object]:
    return lambda file: file.write_bytes(size.to_bytes(8, "little") + text)


def safetensors(description: Any, data: bytes = b"") -> Callable[[Path], object]:
    text = json.dumps(description).encode() if not isinstance(description, bytes) else description
    return lambda file: file.write_bytes(len(text).to_bytes(8, "little") + text + data)


def nested_pickle(file: Path) -> None:
    file.write_bytes(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")


def laughing(file: Path) -> None:
    """Write lists of lists, each ten times in the next: printing them would fill the memory."""
    value: Any = [0]
    for _ in range(60):
        value = [value] * 10
    torch.save({"state_dict": value, "epoch": value}, file)


PICKLES: dict[str, Callable[[Path], object]] = {
    "an expanded tensor": saved({"a": torch.zeros(1).expand(8 * GIGA)}),
    "an expanded tensor of two dimensions": saved({"a": torch.zeros(2, 1).expand(2, 8 * GIGA)}),
    "an expanded tensor in a list": saved({"a": torch.zeros(1), "b": [[torch.zeros(1).expand(8 * GIGA)]]}),
    "an expanded tensor in the old format": old_format({"a": torch.zeros(1).expand(8 * GIGA)}),
    "an expanded parameter": saved({"a": torch.nn.Parameter(torch.zeros(1).expand(8 * GIGA))}),
    "a tensor larger than its storage": saved({"a": Rebuilt((8 * GIGA,), (1,))}),
    "a tensor beyond its storage": saved({"a": Rebuilt((1,), (1,), 8 * GIGA)}),
    "a tensor of too many dimensions": saved({"a": Rebuilt((1,) * 100_000, (1,) * 100_000)}),
    "a negative size": saved({"a": Rebuilt((-1,), (1,))}),
    "many views of one storage": saved(dict.fromkeys(map(str, range(1000)), torch.zeros(2**20))),
    "compressed members": zipped_again({"a": torch.zeros(2**28 // 4)}),
    "compressed members of a future version": of_a_future_version,
    "overlapping members": overlapping,
    "a large storage in the old format": old_storage(8 * GIGA),
    "a huge storage in the old format": old_storage(2**45),
    "nested lists": nested_pickle,
    "lists of lists": laughing,
    "numbers as keys": saved({"state_dict": {1: torch.zeros(1)}}),
    "numbers and texts as keys": saved({1: torch.zeros(1), "a": torch.zeros(1)}),
    "tuples as keys": saved({("a", 1): torch.zeros(1)}),
    "a sparse tensor": lambda file: torch.save({"a": torch.eye(3).to_sparse()}, file),
    "a long key": saved({"state_dict": {"a" * 10**6: torch.zeros(1)}}),
    "many keys": saved({"state_dict": {f"a{i}": torch.zeros(1) for i in range(1000)}}),
    "a text of digits": lambda file: file.write_bytes(b"\x80\x02L" + b"9" * 100_000 + b"L\n."),
    "an empty file": lambda file: file.write_bytes(b""),
    "zeros": lambda file: file.write_bytes(bytes(10_000)),
    "a zip file": lambda file: zipfile.ZipFile(file, "w").writestr("a", "b"),
    "a zip file with a path": lambda file: zipfile.ZipFile(file, "w").writestr("../../a", "b"),
    "a program of TorchScript": lambda file: torch.jit.script(torch.nn.ReLU()).save(str(file)),
    "a tensor": saved(torch.zeros(1)),
    "a payload": lambda file: checkpoint(file, file.with_name("ran")),
    "a payload in the old format": lambda file: torch.save(
        Payload(file.with_name("ran")), file, _use_new_zipfile_serialization=False
    ),
    "a payload in a plain pickle": lambda file: plain_pickle(file, file.with_name("ran")),
    "a folder": lambda file: file.mkdir(),
    "a pipe": lambda file: os.mkfifo(file),
    "a link in a circle": lambda file: file.symlink_to(file),
    "a device": lambda file: file.symlink_to("/dev/zero"),
}
SAFETENSORS: dict[str, Callable[[Path], object]] = {
    "a header of 2^60 bytes": header(2**60),
    "a header of 90 MB": header(90_000_000),
    "a header larger than the file": header(1000),
    "no header": header(0, b""),
    "nested lists": safetensors(b'{"a":' + b"[" * 100_000),
    "nested lists in the metadata": safetensors({"__metadata__": {"lvt": "[" * 100_000}}),
    "digits in the metadata": safetensors({"__metadata__": {"lvt": "9" * 5000}}),
    "a list in the metadata": safetensors({"__metadata__": {"lvt": "[1]"}}),
    "a large tensor": safetensors(
        {"a": {"dtype": "F32", "shape": [8 * GIGA], "data_offsets": [0, 32 * GIGA]}}
    ),
    "a tensor without values": safetensors(
        {"a": {"dtype": "F32", "shape": [8 * GIGA], "data_offsets": [0, 0]}}
    ),
    "a product that overflows": safetensors(
        {"a": {"dtype": "F32", "shape": [2**33, 2**33], "data_offsets": [0, 0]}}
    ),
    "tensors that share bytes": safetensors(
        {name: {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} for name in "ab"}, bytes(4)
    ),
    "a pipe": lambda file: os.mkfifo(file),
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    PICKLES[name](file)
    with rejected("a.pth"):
        lvt_core.load(file)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", [name for name in PICKLES if re.search("expanded|views|compressed|share", name)]
)
def test_values_that_are_not_stored(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    PICKLES[name](file)
    reason = "not a readable checkpoint" if "future version" in name else "rejected, because"
    with rejected(f"a.pth: {reason}"):
        read_checkpoint(file)


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    SAFETENSORS[name](file)
    with rejected("a.safetensors"):
        lvt_core.load(file)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_payload_under_any_name(suffix: str, tmp_path: Path) -> None:
    file = checkpoint(tmp_path / f"a{suffix}", tmp_path / "ran")
    with rejected("rejected, because it contains|damaged"):
        read_checkpoint(file)
    assert not (tmp_path / "ran").exists()


def test_tied_weights_and_views_are_read(tmp_path: Path) -> None:
    flat = torch.arange(12.0)
    content = {
        "a": flat,
        "b": flat,
        "c": flat[3:6],
        "d": flat.view(3, 4).T,
        "e": torch.zeros(0),
        "f": flat[0],
    }
    torch.save(content, tmp_path / "a.pth")
    for key, value in read_checkpoint(tmp_path / "a.pth").items():
        torch.testing.assert_close(value, content[key])
