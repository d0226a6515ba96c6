"""`torch.hub` finds the networks in a clone, and timm's factory loads the original release's files."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

import lvt_core
from lvt_core.checkpoint.names import to_original
from tests.small import SMALL

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def original(tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    """Return a file with the original release's names, and the classifier in it."""
    model = timm.create_model("lvt_cls", **SMALL)
    file = tmp_path / "original.pth.tar"
    torch.save({"state_dict": {f"module.{k}": v for k, v in to_original(model.state_dict()).items()}}, file)
    return file, model


@pytest.mark.parametrize("extra", [{}, {"checkpoint": True}])
@pytest.mark.parametrize("name", ["lvt_cls", "lvt", "lvt_backbone", "segformer_lvt"])
def test_torch_hub_makes_every_network(name: str, extra: dict, tmp_path: Path) -> None:
    fresh = torch.hub.load(str(ROOT), name, source="local", **SMALL)
    file = tmp_path / "weights.pth"
    lvt_core.save_checkpoint(fresh.state_dict(), file)
    options = {"checkpoint_path": str(file)} if extra else {}
    model = torch.hub.load(str(ROOT), name, source="local", **SMALL, **options)
    same = [torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True)]
    assert all(same) == bool(extra)


def test_timms_factory_loads_the_original_releases_file(original: tuple[Path, torch.nn.Module]) -> None:
    file, source = original
    model = timm.create_model("lvt_cls", checkpoint_path=str(file), **SMALL)
    for key, value in model.state_dict().items():
        assert torch.equal(value, source.state_dict()[key]), key
    hub = torch.hub.load(str(ROOT), "lvt_cls", source="local", checkpoint_path=str(file), **SMALL)
    assert torch.equal(hub.head.weight, source.head.weight)


def test_loading_stays_strict_and_leaves_the_given_weights_alone(
    original: tuple[Path, torch.nn.Module],
) -> None:
    model, weights = timm.create_model("lvt_cls", **SMALL), to_original(original[1].state_dict())
    keys = list(weights)
    model.load_state_dict(weights)
    assert list(weights) == keys
    del weights["head.weight"]
    with pytest.raises(RuntimeError, match='Missing key.*"head.weight"'):
        model.load_state_dict(weights)


def test_the_packages_are_typed() -> None:
    assert all((ROOT / package / "py.typed").is_file() for package in ("lvt_core", "lvt_predict"))
