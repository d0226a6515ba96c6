"""Any valid architecture on any legal image: properties that hold without a reference value."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from lvt_core import LVTClassifier, LVTConfig, LVTPooled, load_checkpoint, save_checkpoint

CASES = 3000  # per property, in the slow tier
SLOW = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
QUICK = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def configs(draw: st.DrawFn) -> LVTConfig:
    """Draw a small architecture with any combination of the options."""
    heads = draw(st.tuples(*[st.integers(1, 3)] * 4))
    widths = draw(st.tuples(*[st.integers(1, 3)] * 4))
    dims = tuple(2 * head * width for head, width in zip(heads, widths, strict=True))
    return LVTConfig(
        in_chans=draw(st.integers(1, 4)),
        num_classes=draw(st.integers(1, 5)),
        depths=draw(st.tuples(*[st.integers(1, 2)] * 4)),
        embed_dims=dims,
        num_heads=heads,
        mlp_ratios=draw(st.tuples(*[st.sampled_from((0.5, 1, 2, 2.5))] * 4)),
        mixers=draw(st.tuples(*[st.sampled_from(("csa", "rasa"))] * 4)),
        sr_ratios=draw(st.tuples(*[st.sampled_from((1, 2, 4))] * 4)),
        atrous_rates=draw(st.none() | st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)),
        num_recursions=draw(st.integers(1, 3)),
    )


models = st.tuples(configs(), st.sampled_from((LVTClassifier, LVTPooled)))
sides = st.integers(32, 70)


def build(drawn: tuple[LVTConfig, type], seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    config, kind = drawn
    return kind(config)


def trains(drawn: tuple[LVTConfig, type], height: int, width: int, batch: int) -> None:
    """Check that outputs and gradients are finite and that every parameter has a gradient."""
    model = build(drawn).train()
    logits = model(torch.randn(batch, drawn[0].in_chans, height, width))
    assert logits.shape == (batch, drawn[0].num_classes)
    logits.square().mean().backward()
    assert logits.isfinite().all()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def is_independent_of_its_batch(drawn: tuple[LVTConfig, type], height: int, width: int, batch: int) -> None:
    """Check that an image gives the same logits in any batch, at any place in it.

    In float64: a layer norm over two channels multiplies float32's rounding by thousands.
    """
    model = build(drawn).eval().double()
    images = torch.randn(batch, drawn[0].in_chans, height, width).double()
    with torch.inference_mode():
        together = model(images)
        for place in {0, batch - 1}:
            single = model(images[place : place + 1])[0]
            torch.testing.assert_close(single, together[place], rtol=1e-8, atol=1e-10)


def round_trips(drawn: tuple[LVTConfig, type], height: int, width: int, batch: int) -> None:
    """Check that a model and its copies, by state dict or by `deepcopy`, compute the same."""
    model, other = build(drawn).eval().double(), build(drawn, seed=1).eval().double()
    images = torch.randn(batch, drawn[0].in_chans, height, width).double()
    load_checkpoint(other, model.state_dict())
    with torch.inference_mode():
        expected = model(images)
        # The last bit follows from where a tensor lies in memory.
        for again in (other, copy.deepcopy(model)):
            torch.testing.assert_close(again(images), expected, rtol=1e-9, atol=1e-11)
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


PROPERTIES = [trains, is_independent_of_its_batch, round_trips]


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda holds: holds.__name__)
def test_some_architectures(holds) -> None:
    QUICK(given(models, sides, sides, st.integers(1, 3))(holds))()


@pytest.mark.slow
@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda holds: holds.__name__)
def test_many_architectures(holds) -> None:
    SLOW(given(models, sides, sides, st.integers(1, 3))(holds))()


def test_files_keep_every_bit(tmp_path) -> None:
    model = build(
        (LVTConfig(embed_dims=(2, 4, 4, 6), num_heads=(1, 2, 1, 3), depths=(1, 1, 1, 1)), LVTPooled)
    )
    for name in ("weights.pth", "weights.safetensors"):
        save_checkpoint(model, tmp_path / name)
        other = build((model.config, LVTPooled), seed=1)
        load_checkpoint(other, tmp_path / name)
        for key, value in model.state_dict().items():
            assert torch.equal(other.state_dict()[key], value), key
