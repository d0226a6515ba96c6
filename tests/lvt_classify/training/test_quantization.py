"""Quantization-aware fine-tuning: rounding, gradients, and checkpoints without a trace of it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from lvt_classify.training.quantization import (
    InputRange,
    input_ranges,
    make_quantization_aware,
    quantize_weight,
    share_input_ranges,
)
from lvt_core import load_checkpoint
from lvt_core.layers import CSA
from tests.commands import run, run_ranks, sentence, train, train_command, weights

SMALL = {"embed_dims": (8, 8, 16, 16), "num_heads": (2, 2, 2, 2), "depths": (1, 1, 1, 1), "num_classes": 3}


def _model() -> nn.Module:
    return timm.create_model("lvt_cls", **SMALL)


def _by_hand(row: torch.Tensor) -> torch.Tensor:
    scale = row.abs().max() / 127
    return (row / scale).round().clamp(-127, 127) * scale


def test_weights_are_rounded_per_output_channel() -> None:
    weight = torch.randn(5, 3, 2, 2) * torch.tensor([1e-3, 1, 1e3, 1, 0]).view(-1, 1, 1, 1)
    for rounded, row in zip(quantize_weight(weight), weight, strict=True):
        expected = _by_hand(row) if row.any() else row
        torch.testing.assert_close(rounded, expected)
    taps = torch.randn(9, 4, 6)
    torch.testing.assert_close(quantize_weight(taps, 2)[7, 2], _by_hand(taps[7, 2]))


def test_ranges_grow_at_once_and_shrink_slowly() -> None:
    layer = InputRange()
    rounded = layer(torch.tensor([1.0, 2.55]))
    torch.testing.assert_close(layer.extremes, torch.tensor([0.0, 2.55]))  # zero is always within the range
    torch.testing.assert_close(rounded, torch.tensor([1.0, 2.55]))
    step = (2.55 - 0.01 * (2.55 - 0.5)) / 255
    assert layer(torch.tensor([0.5])).item() == pytest.approx(round(0.5 / step) * step, rel=1e-4)
    assert layer.extremes.tolist() == pytest.approx([0, 255 * step])
    layer(torch.tensor([-1.0, 7.0]))
    assert layer.extremes.tolist() == [-1, 7]
    layer.eval()
    assert layer(torch.tensor([100.0])).item() == pytest.approx(7, abs=8 / 255)
    assert layer.extremes.tolist() == [-1, 7]


def test_all_layers_round_and_all_parameters_learn() -> None:
    plain = _model()
    model = copy.deepcopy(plain)
    make_quantization_aware(model)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]
    layers = sum(isinstance(module, (nn.Linear, nn.Conv2d, CSA)) for module in plain.modules())
    assert (
        len(input_ranges(model)) == layers
    )  # the atrous convolution is rounded by the module that applies it
    images = torch.randn(4, 3, 64, 64)  # more than one key in every attention
    expected, logits = plain.eval()(images), model.train()(images)
    error = (logits - expected).abs().max() / expected.abs().max()
    assert 0 < error < 0.2
    logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if parameter.ndim > 1:
            assert parameter.grad.any(), name
    for name, parameter in model.named_parameters():  # the rounded weights are gone
        assert model.get_parameter(name) is parameter
        assert torch.equal(parameter, plain.get_parameter(name))
    assert all(extremes.any() for extremes in input_ranges(model).values()), "a layer that rounds nothing"


def test_rounding_reaches_every_weight() -> None:
    """Move weights within their steps: the output must not change."""
    model = _model().eval()
    make_quantization_aware(model)
    images = torch.randn(2, 3, 64, 64)
    model.train()(images)
    model.eval()
    with torch.no_grad():
        before = model(images)
        for name, parameter in model.named_parameters():
            if parameter.ndim < 2 or name == "cls_token":
                continue
            rows = parameter.flatten(0, 1 if name.endswith("tap_weight") else 0).flatten(1)
            step = rows.abs().amax(dim=1, keepdim=True) / 127
            kept, exact = rows.clone(), (rows / step).round() * step
            inner = rows.abs() < 126 * step
            rows.copy_(torch.where(inner, exact + 0.3 * step, rows))
            torch.testing.assert_close(model(images), before, rtol=1e-4, atol=1e-5, msg=name)
            rows.copy_(kept)


def test_the_average_uses_the_models_ranges() -> None:
    model = _model()
    make_quantization_aware(model)
    average = copy.deepcopy(model).eval()
    share_input_ranges(model, average)
    images = torch.randn(2, 3, 64, 64)
    model.train()(images)
    torch.testing.assert_close(average(images), model.eval()(images))
    with torch.no_grad():
        average.head.weight.add_(1)  # its weights differ, and it rounds them
    assert not torch.allclose(average(images), model(images))


def test_the_command_trains_resumes_and_writes_a_usual_checkpoint(folder: Path, tmp_path: Path) -> None:
    first = train(folder, tmp_path, "--epochs", 1, name="first") / "last.pth.tar"
    options = ["--quantization-aware", "--model-ema", "--model-ema-decay", 0.9, "--token-label", "--no-aug"]
    whole = train(folder, tmp_path, *options, "--finetune", first, name="whole")
    cut = tmp_path / "whole" / "checkpoint-0.pth.tar"
    assert cut.exists()
    before = torch.load(whole / "last.pth.tar", weights_only=True)
    (tmp_path / "cut").mkdir()
    cut = cut.rename(tmp_path / "cut" / "last.pth.tar")
    run(*train_command(folder, tmp_path, *options, "--resume", cut))
    after = torch.load(cut, weights_only=True)
    for key in ("state_dict", "state_dict_ema", "input_ranges"):
        assert before[key].keys() == after[key].keys()
        assert all(torch.equal(before[key][name], after[key][name]) for name in before[key]), key
    assert weights(first).keys() == before["state_dict"].keys()
    load_checkpoint(_model(), cut)
    kwargs = [f"{name}={value}".replace(" ", "") for name, value in SMALL.items() if name != "num_classes"]
    run("validate.py", folder, "--checkpoint", cut, "--img-size", 32, "-b", 4, "--model-kwargs", *kwargs)
    message = sentence(run(*train_command(folder, tmp_path, "--resume", cut), ok=False))
    assert "quantization_aware was True, is False" in message


def test_two_processes(folder: Path, tmp_path: Path) -> None:
    first = train(folder, tmp_path, "--epochs", 1, name="first") / "last.pth.tar"
    options = ["--quantization-aware", "--finetune", first, "--epochs", 1, "-b", 8]
    command = train_command(folder, tmp_path, *options, name="two")
    run_ranks(2, *command)
    assert all(value.isfinite().all() for value in weights(tmp_path / "two" / "last.pth.tar").values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--quantization-aware: requires trained weights to start from; add --finetune FILE"),
        (["--finetune", "a.pth", "--compile"], "--compile: cannot be combined with --quantization-aware"),
        (["--finetune", "a.pth", "--model", "test_resnet"], "--quantization-aware: requires --model lvt_cls"),
    ],
)
def test_rejects_options_that_contradict(
    folder: Path, tmp_path: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "test_resnet" in options:
        state = timm.create_model("test_resnet", num_classes=3).state_dict()
        torch.save({"state_dict": state}, tmp_path / "a.pth")
        options = [str(tmp_path / "a.pth") if word == "a.pth" else word for word in options]
    words = ["main.py", folder, "--img-size", 32, "--device", "cpu", "--workers", 0, "--output", tmp_path]
    done = run(*words, "--quantization-aware", *options, ok=False)
    assert message in sentence(done)


def test_recomputed_activations_do_not_move_the_ranges() -> None:
    batches = [scale * torch.randn(2, 3, 32, 32) for scale in (3.0, 1.0, 0.3)]
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = timm.create_model("lvt_cls", **SMALL)
        model.set_grad_checkpointing(checkpointing)
        make_quantization_aware(model)
        for images in batches:
            model(images).sum().backward()
        found.append(input_ranges(model))
    for name, extremes in found[0].items():
        torch.testing.assert_close(found[1][name], extremes, msg=name)
