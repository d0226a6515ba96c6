"""The backbone on mmengine's registry is `LVT`, with what dense tasks set."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS, MODELS as ROOT_MODELS
from mmseg.registry import MODELS as SEG_MODELS

import lvt_seg  # noqa: F401  (registers)
from lvt_core import LVT, CheckpointError, LVTClassifier, LVTConfig, save_checkpoint
from lvt_core.checkpoint.names import to_original
from lvt_core.errors import UserError
from tests.golden_values import assert_close, image, state_dict

TINY = {"embed_dims": (8, 8, 16, 16), "num_heads": (2, 2, 2, 2), "depths": (1, 1, 1, 1)}


def build(**options):
    return MODELS.build({"type": "LVT", **TINY, **options})


def test_one_class_serves_every_framework() -> None:
    assert SEG_MODELS.get("LVT") is ROOT_MODELS.get("LVT")
    assert list(build().state_dict()) == list(LVT(LVTConfig(**TINY)).state_dict())


@torch.no_grad()
def test_golden_features_from_the_originals_file(tmp_path) -> None:
    path = tmp_path / "original.pth"
    torch.save(state_dict("lvt_backbone_state_dict"), path)
    model = MODELS.build({"type": "LVT", "init_cfg": {"type": "Pretrained", "checkpoint": str(path)}})
    model.init_weights()
    model.eval()
    for stage, features in enumerate(model(image("features_128x160")), start=1):
        assert_close(features, f"features_128x160_stage{stage}")


def test_a_classifiers_file_loads_too(tmp_path) -> None:
    source = LVTClassifier(LVTConfig(**TINY, num_classes=5))
    for name, weights in (("ours", source.state_dict()), ("original", to_original(source.state_dict()))):
        path = tmp_path / f"{name}.pth"
        save_checkpoint(weights, path)
        model = build(init_cfg={"type": "Pretrained", "checkpoint": str(path)})
        model.init_weights()
        for key, value in model.state_dict().items():
            assert torch.equal(value, source.state_dict()[f"backbone.{key}"])


def test_a_file_that_does_not_fit_or_is_not_there(tmp_path) -> None:
    path = tmp_path / "other.pth"
    save_checkpoint(LVT(LVTConfig(**{**TINY, "depths": (2, 1, 1, 1)})), path)
    with pytest.raises(CheckpointError, match=r"2 unexpected|unexpected \(backbone.stages.0.blocks.1"):
        build(init_cfg={"type": "Pretrained", "checkpoint": str(path)}).init_weights()
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        build(init_cfg={"type": "Pretrained", "checkpoint": str(tmp_path / "x.pth")}).init_weights()


def test_out_indices() -> None:
    model = build(out_indices=(0, 2))
    x = torch.randn(1, 3, 64, 64)
    assert [tuple(m.shape) for m in model(x)] == [(1, 8, 16, 16), (1, 16, 4, 4)]
    sum(m.sum() for m in model(x)).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("stages.3."), name
        assert parameter.requires_grad != name.startswith("stages.3."), name


def test_frozen_stages_stay_in_evaluation_and_get_no_gradient() -> None:
    model = build(frozen_stages=2, drop_path_rate=0.5).train()
    assert [stage.training for stage in model.stages] == [False, False, True, True]
    model.train()
    assert not model.stages[1].training
    sum(m.sum() for m in model(torch.randn(2, 3, 64, 64))).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith(("stages.0.", "stages.1.")), name


def test_activation_checkpointing_changes_nothing() -> None:
    torch.manual_seed(0)
    plain = build().train()
    saving = build(grad_checkpointing=True).train()
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 96)
    calls = []
    for model in (plain, saving):
        runs = []
        for stage in model.stages:
            stage.blocks[0].register_forward_pre_hook(lambda *_, runs=runs: runs.append(1))
        sum(m.square().mean() for m in model(x)).backward()
        calls.append(len(runs))
    assert calls == [4, 8]  # each block a second time, in the backward pass
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_indices": (2, 1)}, r"out_indices=\(2, 1\)"),
        ({"out_indices": ()}, r"out_indices=\(\)"),
        ({"out_indices": (0, 4)}, r"out_indices=\(0, 4\)"),
        ({"frozen_stages": 5}, "frozen_stages=5: must be 0"),
        ({"init_cfg": {"type": "Kaiming"}}, r"init_cfg=\{'type': 'Kaiming'\}"),
        ({"embed_dim": 64}, "backbone.embed_dim=64: no such option"),
        ({"depths": (1, 1)}, r"LVTConfig.depths=\(1, 1\)"),
    ],
)
def test_wrong_options_are_one_sentence(options, message) -> None:
    with pytest.raises(UserError, match=message):
        build(**options)
