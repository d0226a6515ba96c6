"""Facts of a run: what files of several programs tell, and what survives a conversion."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lvt_core import LVTClassifier, load_checkpoint, save_checkpoint
from lvt_core.checkpoint import Facts, convert_checkpoint, facts_of, read_checkpoint, weights_of
from lvt_core.checkpoint.names import to_original
from tests.lvt_core.checkpoint.models import equal, small

OURS = Facts(
    model="lvt_cls",
    model_kwargs={"depths": (1, 1, 1, 1)},
    pictures={"input_size": (3, 64, 64), "crop_pct": 0.9, "mean": (0.5, 0.5, 0.5), "exif": False},
    classes=["a", "b", None, "d", None],
    class_to_idx={"a": 0, "b": 1, "d": 3, "dd": 3},
    first_class=0,
)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("to", ["lvt", "original"])
def test_conversion_keeps_the_facts(tmp_path: Path, suffix: str, to: str) -> None:
    model = LVTClassifier(small())
    save_checkpoint(model, tmp_path / "a.pth", **OURS.entries())
    convert_checkpoint(tmp_path / "a.pth", tmp_path / f"b{suffix}", to=to)
    content = read_checkpoint(tmp_path / f"b{suffix}")
    facts = facts_of(content)
    assert facts.class_to_idx == OURS.class_to_idx
    assert (facts.classes, facts.first_class, facts.model) == (OURS.classes, 0, "lvt_cls")
    assert facts.pictures == OURS.pictures
    assert tuple(facts.model_kwargs["depths"]) == (1, 1, 1, 1)
    assert equal(weights_of(content, "b").state_dict, model.state_dict())


def test_conversion_keeps_what_mmengine_stores(tmp_path: Path) -> None:
    meta = {"dataset_meta": {"classes": ("sky", "sea"), "palette": [[1, 2, 3], [4, 5, 6]]}}
    meta["dataset_meta"]["reduce_zero_label"] = False  # type: ignore[assignment]
    torch.save({"state_dict": LVTClassifier(small()).state_dict(), "meta": meta}, tmp_path / "a.pth")
    convert_checkpoint(tmp_path / "a.pth", tmp_path / "b.pth", to="lvt")
    facts = facts_of(read_checkpoint(tmp_path / "b.pth"))
    assert (list(facts.classes or ()), facts.first_class) == (["sky", "sea"], 0)
    assert facts.palette == [[1, 2, 3], [4, 5, 6]]


def test_timms_files_bring_what_they_have(tmp_path: Path) -> None:
    args = argparse.Namespace(
        model="resnet18", img_size=64, input_size=None, crop_pct=0.8, mean=[0.5], std=None
    )
    facts = facts_of({"state_dict": {}, "args": args})
    assert facts.model == "resnet18"
    assert facts.pictures == {"input_size": (3, 64, 64), "crop_pct": 0.8, "mean": (0.5,)}
    config = {"architecture": "resnet18", "label_names": ["a", "b"], "pretrained_cfg": {"crop_pct": 0.7}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    facts = facts_of({}, tmp_path / "model.safetensors")
    assert (facts.model, facts.class_to_idx, facts.pictures) == (
        "resnet18",
        {"a": 0, "b": 1},
        {"crop_pct": 0.7},
    )


def test_lightnings_files_bring_what_they_have() -> None:
    model, other = LVTClassifier(small()), LVTClassifier(small())
    hyper = {"model_name": "lvt_cls", "img_size": 96, "class_names": ["x", "y"]}
    for weights in (model.state_dict(), to_original(model.state_dict())):
        content = {"state_dict": {f"net.{k}": v for k, v in weights.items()}, "hyper_parameters": hyper}
        load_checkpoint(other, content)
        assert equal(other.state_dict(), model.state_dict())
    facts = facts_of(content)
    assert (facts.model, facts.classes, facts.pictures) == (
        "lvt_cls",
        ["x", "y"],
        {"input_size": (3, 96, 96)},
    )


@pytest.mark.parametrize("odd", [5, "text", [], {}, {"a": "b"}, [1, None], {1: 2}, -1, True, torch.zeros(3)])
def test_odd_values_count_as_missing(odd: Any) -> None:
    names = ("options", "meta", "classes", "class_to_idx", "data_config", "model_kwargs", "palette")
    facts = facts_of(
        {**dict.fromkeys(names, odd), "options": {"crop_pct": odd, "mean": odd, "img_size": odd}}
    )
    assert facts.class_to_idx is None
    assert facts.classes is None
    assert set(facts.pictures) <= {"input_size"}


def test_the_weights_that_were_judged_are_taken(tmp_path: Path) -> None:
    plain, ema, model = (LVTClassifier(small()) for _ in range(3))
    save_checkpoint(plain, tmp_path / "a.pth", state_dict_ema=ema.state_dict())
    report = load_checkpoint(model, tmp_path / "a.pth")
    assert equal(model.state_dict(), ema.state_dict())
    assert "the moving average of its weights" in str(report)
    report = load_checkpoint(model, tmp_path / "a.pth", use_ema=False)
    assert equal(model.state_dict(), plain.state_dict())
    assert "its weights, not their moving average" in str(report)
    assert equal(convert_checkpoint(tmp_path / "a.pth", tmp_path / "b.pth", to="lvt"), ema.state_dict())
