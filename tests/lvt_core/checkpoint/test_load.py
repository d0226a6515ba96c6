"""Loading: every layout and wrapper into every model."""

from __future__ import annotations

import pytest
import timm

from lvt_core import (
    LVT,
    CheckpointError,
    LVTClassifier,
    load_checkpoint,
)
from lvt_core.checkpoint.names import to_backbone, to_original
from tests.lvt_core.checkpoint.models import SMALL, equal, small


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
