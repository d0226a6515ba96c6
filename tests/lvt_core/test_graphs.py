"""TorchScript, `torch.fx`, torchvision's extractor and the classic ONNX exporter take the networks."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from lvt_core import LVT, LVTConfig, SegFormer
from tests.small import SMALL, attending

NAMES = ["lvt", "lvt_cls"]
SIZE = (65, 72)  # maps of 17 x 18, 9 x 9, 5 x 5, 3 x 3


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return attending(timm.create_model(name, **SMALL))


def images(*size: int) -> Tensor:
    return torch.randn(2, 3, *(size or SIZE))


@pytest.mark.parametrize("name", NAMES)
def test_torchscript_is_the_network_and_can_be_saved(name: str, tmp_path: Path) -> None:
    model, x = network(name), images()
    torch.jit.script(model).save(tmp_path / "model.pt")
    scripted = torch.jit.load(tmp_path / "model.pt")
    with torch.no_grad():
        for batch in (x, images(40, 33)):
            torch.testing.assert_close(scripted(batch), model(batch))
    with pytest.raises(torch.jit.Error, match="input of 16 x 33 pixels: LVT supports images of at least"):
        scripted(images(16, 33))


@pytest.mark.parametrize("name", NAMES)
def test_torchscript_trains_alike(name: str) -> None:
    model, x = network(name).train(), images()
    scripted = torch.jit.script(copy.deepcopy(model))
    for each in (model, scripted):
        each(x).square().mean().backward()
    gradients = dict(scripted.named_parameters())
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[key].grad, parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_plain_symbolic_traces_are_the_network(name: str) -> None:
    model = network(name)
    graph = torch.fx.symbolic_trace(model)
    scripted = torch.jit.script(graph)
    with torch.no_grad():
        for batch in (images(), images(40, 33)):
            assert torch.equal(graph(batch), model(batch))
            torch.testing.assert_close(scripted(batch), model(batch))
    with pytest.raises(ValueError, match="input of 16 x 33 pixels"):
        graph(images(16, 33))


@pytest.mark.parametrize("name", NAMES)
def test_torchvisions_extractor_needs_no_options(name: str) -> None:
    model, x = network(name), images()
    nodes = {f"backbone.stages.{index}": str(index) for index in range(4)}
    extractor = create_feature_extractor(model, nodes)
    with torch.no_grad():
        for ours, extracted in zip(model.backbone(x), extractor(x).values(), strict=True):
            torch.testing.assert_close(extracted, ours)


@pytest.mark.parametrize("kind", ["getter", "fx"])
@pytest.mark.parametrize("name", NAMES)
def test_timms_features_by_either_extractor_and_scripted(name: str, kind: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, features_only=True, feature_cfg={"feature_cls": kind}, **SMALL).eval()
    x = images()
    with torch.no_grad():
        maps, scripted = model(x), torch.jit.script(model)(x)
    assert [tuple(each.shape[2:]) for each in maps] == [(17, 18), (9, 9), (5, 5), (3, 3)]
    for ours, theirs in zip(maps, scripted, strict=True):
        torch.testing.assert_close(theirs, ours)


def test_the_backbone_is_scripted_and_traced() -> None:
    torch.manual_seed(0)
    model, x = attending(LVT(LVTConfig(**SMALL))).double(), images().double()
    with torch.no_grad():
        for other in (torch.jit.script(model), torch.fx.symbolic_trace(model)):
            for ours, theirs in zip(model(x), other(x), strict=True):
                torch.testing.assert_close(theirs, ours)


@pytest.mark.parametrize("name", [*NAMES, "segformer"])
def test_the_classic_onnx_exporter_writes_the_network(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    segformer = name == "segformer"
    model = attending(SegFormer(LVTConfig(**SMALL), embed_dim=16)) if segformer else network(name)
    x, buffer = images(), io.BytesIO()
    free = {"images": {0: "batch"}}
    torch.onnx.export(model, (x,), buffer, dynamo=False, input_names=["images"], dynamic_axes=free)
    session = onnxruntime.InferenceSession(buffer.getvalue())
    with torch.no_grad():
        for batch in (x, images()[:1]):
            (written,) = session.run(None, {"images": batch.numpy()})
            np.testing.assert_allclose(written, model(batch), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_models_are_made_on_a_device_and_in_a_type(name: str) -> None:
    model = timm.create_model(name, device="meta", dtype=torch.bfloat16, **SMALL)
    assert all(p.is_meta and p.dtype == torch.bfloat16 for p in model.parameters())
    model.reset_classifier(3)
    assert all(p.is_meta and p.dtype == torch.bfloat16 for p in model.parameters())
    half = timm.create_model(name, device="cpu", dtype=torch.float64, **SMALL).eval()
    assert half(images().double()).dtype == torch.float64


def test_resetting_the_head_keeps_frozen_parameters_and_the_mode() -> None:
    for name in NAMES:
        model = network(name).requires_grad_(False)
        model.reset_classifier(7)
        new = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
        assert new and all("head" in key for key in new)
        assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("name", NAMES)
def test_pruned_networks_give_the_last_map_that_is_left(name: str) -> None:
    model, x = network(name), images()
    with torch.no_grad():
        wanted = model.forward_intermediates(x, indices=[1], intermediates_only=True)
        model.prune_intermediate_layers([1])
        features = model.forward_features(x)
    if features.ndim == 3:  # tokens
        features = features.transpose(1, 2).unflatten(2, wanted[0].shape[2:])
    torch.testing.assert_close(features, wanted[0])
