"""Checkpoints: every layout into every model, strictly, safely, whole."""

from __future__ import annotations

import argparse
import os
import pickle
import warnings

import pytest
import timm
import torch

from lvt_core import (
    LVT,
    CheckpointError,
    LVTClassifier,
    LVTConfig,
    LVTPooled,
    load_checkpoint,
    save_checkpoint,
)
from lvt_core.checkpoint import convert_checkpoint
from lvt_core.checkpoint.names import to_backbone, to_lvt, to_original
from lvt_core.checkpoint.read import read_checkpoint
from lvt_core.errors import UserError
from tests.golden_values import golden, state_dict

SMALL = {"embed_dims": (8, 8, 16, 16), "num_heads": (2, 2, 4, 2)}


def small(**kwargs) -> LVTConfig:
    return LVTConfig(**{**SMALL, "num_classes": 5, **kwargs})


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_our_names_are_a_contract() -> None:
    keys = list(LVTClassifier(small()).state_dict())
    assert keys[1] == "backbone.stages.0.patch_embed.proj.weight"
    for key in (
        "cls_token",
        "backbone.stages.0.blocks.1.attn.tap_weight",
        "backbone.stages.1.blocks.0.attn.atrous.conv.weight",
        "backbone.stages.2.blocks.0.mlp.dwconv.bias",
        "class_blocks.1.attn.kv.weight",
        "norm.weight",
        "head.bias",
        "aux_head.weight",
    ):
        assert key in keys


@pytest.mark.parametrize("name", ["lvt_cls_state_dict", "lvt_backbone_state_dict", "segformer_state_dict"])
def test_original_names_and_shapes_there_and_back(name: str) -> None:
    original = state_dict(name)
    ours = to_lvt(original)
    assert not set(ours) & set(k for k in original if k.startswith(("backbone.0.", "backbone.backbone.")))
    back = to_original(ours)
    assert {key: list(value.shape) for key, value in back.items()} == golden()[name]
    assert equal(back, original)
    assert equal(to_original(original), original)
    assert equal(to_lvt(ours), ours)


def test_every_layout_and_wrapper_loads() -> None:
    source = LVTClassifier(small())
    ours = source.state_dict()
    forms = [
        ours,
        to_original(ours),
        {f"module.{key}": value for key, value in ours.items()},
        {"state_dict": {f"module.{k}": v for k, v in to_original(ours).items()}, "epoch": 3},
        {"model": {f"_orig_mod.{key}": value for key, value in ours.items()}},
    ]
    for form in forms:
        model = LVTClassifier(small())
        report = load_checkpoint(model, form)
        assert equal(model.state_dict(), ours)
        assert (report.dropped, report.reinitialized) == ((), ())


def test_backbones_take_the_backbones_part_and_name_the_rest() -> None:
    source = LVTClassifier(small())
    wanted = to_backbone(source.state_dict())
    for form in (source.state_dict(), to_original(source.state_dict()), wanted, to_original(wanted)):
        model = LVT(small())
        report = load_checkpoint(model, form)
        assert equal(model.state_dict(), wanted)
        assert ("head.weight" in report.dropped) == ("head.weight" in form)
        features = timm.create_model("lvt", features_only=True, **SMALL)
        load_checkpoint(features, form)
        assert equal(to_backbone(features.state_dict()), wanted)
    two = timm.create_model("lvt_cls", features_only=True, out_indices=(0, 1), **SMALL)
    report = load_checkpoint(two, source.state_dict())
    assert any(key.startswith("backbone.stages.3.") for key in report.dropped)
    assert "dropped" in str(report)


def test_moving_average() -> None:
    plain, ema = LVTClassifier(small()), LVTClassifier(small())
    content = {"state_dict": plain.state_dict(), "state_dict_ema": ema.state_dict()}
    model = LVTClassifier(small())
    load_checkpoint(model, content, use_ema=True)
    assert equal(model.state_dict(), ema.state_dict())
    with pytest.raises(CheckpointError, match="has no moving average"):
        load_checkpoint(model, plain.state_dict(), use_ema=True)


def test_another_number_of_classes_only_on_request() -> None:
    source, model = LVTClassifier(small()), LVTClassifier(small(num_classes=3))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="reset_head=True") as caught:
        load_checkpoint(model, source.state_dict())
    assert "head.weight: (5, 16) in the checkpoint, (3, 16) here" in str(caught.value)
    assert equal(model.state_dict(), before)  # untouched
    report = load_checkpoint(model, source.state_dict(), reset_head=True)
    assert report.reinitialized == ("head.weight", "head.bias", "aux_head.weight", "aux_head.bias")
    assert torch.equal(model.head.weight, before["head.weight"])
    assert torch.equal(model.cls_token, source.cls_token)


def test_another_kind_of_head_only_on_request() -> None:
    source, model = LVTClassifier(small()), LVTPooled(small())
    with pytest.raises(CheckpointError, match="unexpected"):
        load_checkpoint(model, source.state_dict())
    report = load_checkpoint(model, source.state_dict(), reset_head=True)
    assert "cls_token" in report.dropped
    assert torch.equal(model.norm.weight, source.norm.weight)


def test_misfits_are_all_listed() -> None:
    weights = LVTClassifier(small()).state_dict()
    del weights["backbone.stages.0.patch_embed.norm.bias"]
    weights["backbone.stages.0.extra"] = torch.zeros(1)
    weights["backbone.stages.1.blocks.0.attn.q.weight"] = torch.zeros(2, 2)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(LVTClassifier(small()), weights, reset_head=True)
    error = caught.value
    assert error.missing == ("backbone.stages.0.patch_embed.norm.bias",)
    assert error.unexpected == ("backbone.stages.0.extra",)
    assert len(error.mismatched) == 1
    assert "\n" not in str(error)
    for key in (*error.missing, *error.unexpected, "(2, 2) in the checkpoint, (8, 8) here"):
        assert key in str(error)


def test_another_network_is_refused() -> None:
    weights = timm.create_model("resnet18").state_dict()
    with pytest.raises(CheckpointError, match="holds no LVT; its keys are conv1.weight"):
        load_checkpoint(LVT(), weights)


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar", ".pt", ".safetensors"])
def test_files(tmp_path, suffix: str) -> None:
    source, model = LVTClassifier(small()), LVTClassifier(small())
    save_checkpoint(source, tmp_path / f"a{suffix}")
    load_checkpoint(model, tmp_path / f"a{suffix}")
    assert equal(model.state_dict(), source.state_dict())
    assert os.listdir(tmp_path) == [f"a{suffix}"]


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
        "half.pth": "not a readable checkpoint, damaged or cut off",
        "empty.pth": "not a readable checkpoint",
        "half.safetensors": "not a readable checkpoint, damaged or cut off",
        "trap.pth": "damaged, or not made of tensors and plain values",
        "trap2.pth": "refused, it holds posix.system",
        "list.pth": "holds a list, not a state dict",
        "numbers.pth": "holds no state dict",
        "missing.pth": "no such checkpoint",
        "notes.txt": "not a checkpoint's name",
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


def test_conversion_in_both_directions(tmp_path) -> None:
    original = state_dict("lvt_cls_state_dict")
    torch.save({"state_dict": original}, tmp_path / "o.pth.tar")
    convert_checkpoint(tmp_path / "o.pth.tar", tmp_path / "ours.safetensors", to="lvt")
    convert_checkpoint(tmp_path / "ours.safetensors", tmp_path / "back.pth", to="original")
    assert equal(read_checkpoint(tmp_path / "back.pth"), original)
    convert_checkpoint(tmp_path / "o.pth.tar", tmp_path / "b.pth", to="original", backbone=True)
    shapes = {k: list(v.shape) for k, v in read_checkpoint(tmp_path / "b.pth").items()}
    assert shapes == golden()["lvt_backbone_state_dict"]
    convert_checkpoint(tmp_path / "o.pth.tar", tmp_path / "c.pth", to="lvt", backbone=True)
    LVT().load_state_dict(read_checkpoint(tmp_path / "c.pth"))
    with pytest.raises(CheckpointError, match="to='theirs': must be 'lvt' or 'original'"):
        convert_checkpoint(tmp_path / "o.pth.tar", tmp_path / "x.pth", to="theirs")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(LVT(small()), path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"cannot write .*a\.pth: No space left on device"):
        save_checkpoint(LVT(small()), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.pth"]
