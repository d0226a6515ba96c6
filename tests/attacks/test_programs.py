"""PyTorch's programs run code when they are opened; they are opened only if the user trusts them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch

import lvt_core
import lvt_predict
from lvt_core import cli
from lvt_core.errors import UserError
from lvt_predict import sample
from lvt_predict.model import ExportedModel
from lvt_predict.photo import command
from tests.attacks.payloads import SIZE, exported_folder, program
from tests.commands import run, sentence, write_folder

VALIDATE = ["--img-size", SIZE[0], "--workers", 0, "--device", "cpu", "-b", 4, "--val-split", "val"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("images"), train=1, val=1, classes=4)


@pytest.fixture(params=["pickle", "expression"])
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a program that makes the folder ``ran``, by a pickle or by the size of a dimension."""
    mark = tmp_path / "ran"
    if request.param == "pickle":
        return program(tmp_path / "a.pt2", mark)
    return program(tmp_path / "a.pt2", symbolic=f"__import__('os').makedirs({str(mark)!r}, exist_ok=True)")


def test_pytorch_runs_the_code(hostile: Path, tmp_path: Path) -> None:
    """Without this, the other tests would reject a file that does no harm."""
    with contextlib.suppress(Exception):  # the code runs before PyTorch notices that the rest is wrong
        torch.export.load(hostile)
    assert (tmp_path / "ran").exists()


def test_validation_of_a_program(hostile: Path, images: Path, tmp_path: Path) -> None:
    done = run("validate.py", images, "--checkpoint", hostile, *VALIDATE, ok=False)
    assert "a.pt2: a .pt2 program can run any code when it is opened; if you trust" in sentence(done)
    assert "--trust" in sentence(done)
    assert not (tmp_path / "ran").exists()


def test_validation_of_a_folder(hostile: Path, images: Path, tmp_path: Path) -> None:
    model = ["--model", "lvt_cls", "--model-kwargs", "depths=(1,1,1,1)", "embed_dims=(8,8,16,16)"]
    torch.manual_seed(0)

    kwargs = {"depths": (1,) * 4, "embed_dims": (8, 8, 16, 16), "num_heads": (2,) * 4}
    lvt_core.save_checkpoint(timm.create_model("lvt_cls", num_classes=4, **kwargs), tmp_path / "b.pth")
    done = run(
        *["validate.py", images, "--checkpoint", tmp_path, *VALIDATE, *model, "num_heads=(2,2,2,2)"],
    )
    assert "left out, because programs can run code: a.pt2" in done.stderr
    assert "b.pth: top-1" in done.stderr
    (tmp_path / "b.pth").unlink()
    done = run("validate.py", images, "--checkpoint", tmp_path, *VALIDATE, ok=False)
    assert "--trust" in sentence(done)
    assert not (tmp_path / "ran").exists()


def test_a_configuration_file_cannot_trust(hostile: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("trust = True\n")
    words = ["validate.py", images, "--checkpoint", hostile, "--cfg", tmp_path / "a.py", *VALIDATE]
    assert "--trust: must be given on the command line, not in a file" in sentence(run(*words, ok=False))
    assert not (tmp_path / "ran").exists()


OPENERS: dict[str, Callable[[Path], object]] = {
    "ExportedModel": ExportedModel,
    "lvt_predict.load": lvt_predict.load,
    "lvt_core.load": lvt_core.load,
    "lvt-predict": lambda folder: command.main([str(folder.parent / "a.png"), "--with", str(folder)]),
    "lvt predict": lambda folder: cli.main(["predict", str(folder.parent / "a.png"), "--with", str(folder)]),
    "lvt_predict.sample": lambda folder: sample.main([str(folder)]),
}


@pytest.mark.parametrize("name", OPENERS)
def test_exported_folders(name: str, hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    folder = exported_folder(tmp_path / "folder", hostile)
    with pytest.raises(UserError, match=r"model.pt2: a .pt2 program can run any code .* --trust") as caught:
        OPENERS[name](folder)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_explain_does_not_open_exports(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    folder = exported_folder(tmp_path / "folder", hostile)
    with pytest.raises(UserError, match="is an exported network"):
        cli.main(["explain", str(tmp_path / "a.png"), "--with", str(folder)])
    assert not (tmp_path / "ran").exists()


def test_trusted_programs_run(images: Path, tmp_path: Path) -> None:
    good = program(tmp_path / "a.pt2")
    done = run("validate.py", images, "--checkpoint", good, "--trust", *VALIDATE)
    assert "a.pt2: top-1" in done.stderr
    done = run("validate.py", images, "--checkpoint", tmp_path, "--trust", *VALIDATE)
    assert "a.pt2: top-1" in done.stderr
    folder = exported_folder(tmp_path / "folder", good)
    photo = next(images.rglob("*.png"))
    assert len(lvt_predict.load(folder, trust=True).predict(photo).scores) == 4
    assert len(lvt_core.load(folder, trust=True).predict(photo).scores) == 4
    command.main([str(photo), "--with", str(folder), "--trust"])
    cli.main(["predict", str(photo), "--with", str(folder), "--trust"])
    with pytest.raises(UserError, match="has no sample"):  # the folder is open
        sample.main([str(folder), "--trust"])
