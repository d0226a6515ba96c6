"""Reading: safe, in one sentence where it fails, from any number of threads."""

from __future__ import annotations

import argparse
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lvt_core import (
    LVT,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from lvt_core.checkpoint.read import read_checkpoint
from tests.lvt_core.checkpoint.models import equal, small


class Trap:
    def __reduce__(self):
        return (os.system, ("touch trapped",))


def test_unreadable_files_end_in_one_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = tmp_path / "good.pth"
    save_checkpoint(LVT(small()), good)
    (tmp_path / "half.pth").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "half.safetensors").write_bytes(b"\x10\x00")
    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"state_dict": Trap()}))
    torch.save({"state_dict": Trap()}, tmp_path / "trap2.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"state_dict": {"a": 1}}, tmp_path / "numbers.pth")
    for name, words in {
        "half.pth": "not a readable checkpoint; it is damaged or cut off",
        "empty.pth": "not a readable checkpoint",
        "half.safetensors": "not a readable checkpoint; it is damaged or cut off",
        "trap.pth": "it is damaged, or has more than tensors and plain values",
        "trap2.pth": "rejected, because it contains posix.system",
        "list.pth": "contains a list, must be a state dict",
        "numbers.pth": "does not contain a state dict",
        "missing.pth": "no such checkpoint",
        "notes.txt": "a checkpoint's name must end in",
    }.items():
        with pytest.raises(CheckpointError) as caught, warnings.catch_warnings():
            warnings.simplefilter("error")
            load_checkpoint(LVT(small()), name)
        assert words in str(caught.value), name
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "trapped").exists()


def test_namespaces_of_old_training_scripts_are_read(tmp_path) -> None:
    content = {"state_dict": LVT(small()).state_dict(), "args": argparse.Namespace(lr=1.6e-3)}
    torch.save(content, tmp_path / "a.pth.tar")
    assert read_checkpoint(tmp_path / "a.pth.tar")["args"].lr == 1.6e-3


def test_six_threads_read_one_file(tmp_path) -> None:
    path = tmp_path / "a.pth.tar"
    torch.save({"state_dict": LVT(small()).state_dict(), "args": argparse.Namespace(lr=1)}, path)
    with ThreadPoolExecutor(6) as pool:
        contents = list(pool.map(read_checkpoint, [path] * 36))
    assert all(equal(content["state_dict"], contents[0]["state_dict"]) for content in contents)
