"""The SegFormer head against its published, literal form."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lvt_core import LVT, CheckpointError, LVTConfig, SegFormer, SegFormerHead, complexity, load_checkpoint
from lvt_core.checkpoint.names import to_backbone, to_original
from tests.small import SMALL


def literal(head: SegFormerHead, maps: list[Tensor], *, training: bool) -> Tensor:
    """Compute the head as published: linear, bilinear, concatenate stage 4 first, 1x1, norm, ReLU, 1x1."""
    size = maps[0].shape[2:]
    branches = []
    for x, layer in zip(maps, head.projections, strict=True):
        y = layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        branches.append(F.interpolate(y, size=size, mode="bilinear", align_corners=False))
    y = F.conv2d(torch.cat(branches[::-1], dim=1), head.fuse.weight[:, :, None, None])
    norm = head.norm
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    y = F.batch_norm(y, mean, var, norm.weight, norm.bias, training=training, momentum=0.1, eps=norm.eps)
    return head.classifier(F.relu(y))


def example(dtype: torch.dtype = torch.float64) -> tuple[SegFormerHead, list[Tensor]]:
    head = SegFormerHead((8, 6, 5, 4), embed_dim=12, num_classes=7, drop_rate=0.0).to(dtype)
    torch.nn.init.normal_(head.norm.weight)
    torch.nn.init.normal_(head.norm.bias)
    head.norm.running_mean.normal_()
    head.norm.running_var.uniform_(0.5, 2)
    sizes = ((13, 18), (7, 9), (4, 5), (2, 3))
    return head, [torch.randn(2, d, *size, dtype=dtype) for d, size in zip((8, 6, 5, 4), sizes, strict=True)]


@pytest.mark.parametrize("training", [True, False])
def test_equals_the_literal_head_forward_and_gradients(training: bool) -> None:
    head, maps = example()
    head.train(training)
    gradients = []
    for form in (lambda: literal(head, maps, training=training), lambda: head(maps)):
        logits = form()
        wanted = [p for p in head.parameters()]
        gradients.append((logits, *torch.autograd.grad((logits**2).sum(), wanted)))
    for expected, actual in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


def test_running_statistics_are_the_literal_heads() -> None:
    head, maps = example()
    size = maps[0].shape[2:]
    columns = head.fuse.weight.split(12, dim=1)
    fused = sum(
        F.interpolate(F.conv2d(x, (f @ p.weight)[:, :, None, None], f @ p.bias), size=size, mode="bilinear")
        for x, p, f in zip(maps, head.projections, columns[::-1], strict=True)
    )
    mean = 0.9 * head.norm.running_mean + 0.1 * fused.mean(dim=(0, 2, 3))
    head.train()(maps)
    torch.testing.assert_close(head.norm.running_mean, mean)


def test_a_folded_head_is_the_same_function_and_a_copy() -> None:
    head, maps = example()
    head.eval()
    before = {key: value.clone() for key, value in head.state_dict().items()}
    folded = head.fold()
    torch.testing.assert_close(folded(maps), head(maps))
    folded.bias.data.zero_()
    folded.classifier.weight.data.zero_()
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())


def test_published_cost() -> None:
    model = SegFormer()
    literal_head = model.decode_head.literal_macs([(128, 128), (64, 64), (32, 32), (16, 16)])
    backbone = complexity(model.backbone, 512).total_macs
    assert round((literal_head + backbone) / 1e9, 3) == 10.633  # as published
    model.decode_head = model.decode_head.fold()
    assert 6.2e9 < complexity(model, 512).total_macs < 6.4e9


def test_dropout_drops_whole_channels_in_training_only() -> None:
    head = SegFormerHead((4,), embed_dim=64, num_classes=3, drop_rate=0.5)
    maps = [torch.randn(1, 4, 6, 6)]
    assert not torch.equal(head.train()(maps), head(maps))
    assert torch.equal(head.eval()(maps), head(maps))


@pytest.mark.parametrize("height,width", [(64, 64), (77, 93)])
def test_any_size_and_every_parameter_learns(height: int, width: int) -> None:
    model = SegFormer(LVTConfig(**SMALL), embed_dim=16)
    logits = model(torch.randn(2, 3, height, width))
    assert logits.shape == (2, 5, -(-height // 4), -(-width // 4))
    logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_checkpoints_of_segmentors() -> None:
    source = SegFormer(LVTConfig(**SMALL), embed_dim=16)
    ours = source.state_dict()
    assert {"backbone.stages.0.patch_embed.proj.weight", "decode_head.fuse.weight"} <= set(ours)
    framework = {key.replace("decode_head.", "decode_head.head."): value for key, value in ours.items()}
    for form in (ours, framework, to_original(ours), {"state_dict": framework, "meta": {}}):
        model = SegFormer(LVTConfig(**SMALL), embed_dim=16)
        load_checkpoint(model, form)
        assert all(torch.equal(value, ours[key]) for key, value in model.state_dict().items())
        backbone = LVT(LVTConfig(**SMALL))
        assert "decode_head.fuse.weight" in load_checkpoint(backbone, form).dropped
        assert all(torch.equal(v, to_backbone(ours)[k]) for k, v in backbone.state_dict().items())


def test_rejects_another_number_of_classes() -> None:
    source = SegFormer(LVTConfig(**SMALL), embed_dim=16).state_dict()
    model = SegFormer(LVTConfig(**SMALL | {"num_classes": 3}), embed_dim=16)
    with pytest.raises(CheckpointError, match=r"decode_head.classifier.weight: \(5, 16, 1, 1\) in the"):
        load_checkpoint(model, source)
    report = load_checkpoint(model, source, reset_head=True)
    assert report.reinitialized == ("decode_head.classifier.weight", "decode_head.classifier.bias")


def test_rejects_impossible_heads() -> None:
    with pytest.raises(ValueError, match="num_classes=0"):
        SegFormerHead((8,), num_classes=0)
    with pytest.raises(ValueError, match="in_dims="):
        SegFormerHead((), num_classes=2)
