"""mmengine's files, written whole or not at all."""

from __future__ import annotations

import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.runner import save_checkpoint

from lvt_core.errors import UserError
from lvt_core.openmmlab.storage import WholeFileBackend, write_files_whole


def test_mmengine_writes_through_it(tmp_path) -> None:
    write_files_whole()
    path = tmp_path / "deep" / "x.pth"
    assert isinstance(get_file_backend(path), WholeFileBackend)
    save_checkpoint({"a": torch.ones(2)}, str(path))
    assert torch.load(path, weights_only=True)["a"].sum() == 2
    assert [p.name for p in path.parent.iterdir()] == ["x.pth"]


def test_a_failed_write_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "x.txt"
    backend = WholeFileBackend()
    backend.put_text("old", path)
    with pytest.raises(TypeError):
        backend.put(object(), path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        backend.put(b"", tmp_path / "file" / "x")
