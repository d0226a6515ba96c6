"""Label maps of logits against PyTorch's own resizing and argmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from lvt_core.semantic.resized import Resizing, label_map
from tests.label_maps import drawn_logits, smooth_logits

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def check(logits: np.ndarray, resizing: Resizing, layout: torch.memory_format) -> None:
    images = torch.from_numpy(logits)[None].contiguous(memory_format=layout)
    with torch.inference_mode():
        assert torch.equal(label_map(images, resizing), resizing(images).argmax(dim=1))


@st.composite
def drawn_resizing(draw: st.DrawFn, size: tuple[int, int]) -> Resizing:
    if draw(st.booleans()):
        return Resizing(size)
    padded = draw(st.integers(3, 60)), draw(st.integers(3, 60))
    cut = slice(draw(st.integers(0, 1)), padded[0] - draw(st.integers(0, 1))), slice(0, padded[1] - 1)
    return Resizing(size, padded, cut)


@given(st.data(), drawn_logits(), st.sampled_from(LAYOUTS))
@settings(max_examples=300, deadline=None)
def test_equals_pytorch(data: st.DataObject, case, layout: torch.memory_format) -> None:
    check(case[0], data.draw(drawn_resizing(case[1])), layout)


@pytest.mark.slow
@given(st.data(), drawn_logits(), st.sampled_from(LAYOUTS))
@settings(max_examples=10_000, deadline=None)
def test_equals_pytorch_on_ten_thousand_maps(data: st.DataObject, case, layout: torch.memory_format) -> None:
    check(case[0], data.draw(drawn_resizing(case[1])), layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("classes", [2, 19, 37, 150])
@pytest.mark.parametrize(
    "resizing",
    [
        Resizing((128, 160)),
        Resizing((97, 131)),
        Resizing((120, 150), (128, 160)),
        Resizing((233, 190), (128, 164), (slice(0, 128), slice(0, 160))),
        Resizing((20, 30)),
    ],
)
def test_equals_pytorch_on_regions(classes: int, resizing: Resizing, layout: torch.memory_format) -> None:
    for seed in range(2):
        check(smooth_logits(classes, 32, 41, seed=seed), resizing, layout)


RESIZINGS = [Resizing((131, 97)), Resizing((90, 131), (131, 97)), Resizing((128, 384)), Resizing((32, 259))]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("classes", [20, 37, 150])
@pytest.mark.parametrize("resizing", RESIZINGS)
@pytest.mark.parametrize("near", [(8, 20), (0, 2), (30, 32), (13, 15)])
def test_ties_that_only_rounding_decides(
    classes: int, resizing: Resizing, layout: torch.memory_format, near: tuple[int, int]
) -> None:
    check(with_twins(smooth_logits(classes, 32, 24, seed=0), near), resizing, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("classes", [20, 37, 150])
@pytest.mark.parametrize("size", [(240, 288), (480, 300), (121, 300)])
@pytest.mark.parametrize("near", [(0, 1), (1, 3), (40, 42), (118, 120)])
def test_ties_in_few_rows(
    classes: int, size: tuple[int, int], layout: torch.memory_format, near: tuple[int, int]
) -> None:
    check(with_twins(smooth_logits(classes, 120, 24, seed=0), near), Resizing(size), layout)


def with_twins(logits: np.ndarray, near: tuple[int, int]) -> np.ndarray:
    """Add regions where four classes differ by a few last bits: each kernel decides in its own way."""
    rng = np.random.default_rng(0)
    rows, columns = slice(*near), slice(5, 15)
    twins = logits[:, rows, columns].max(axis=0) + 1
    for index in rng.choice(len(logits), 4, replace=False):
        logits[index, rows, columns] = twins + rng.integers(-2, 3, twins.shape) * np.spacing(twins)
    return logits


def test_a_batch_and_other_types() -> None:
    images = torch.from_numpy(np.stack([smooth_logits(20, 16, 16, seed=seed) for seed in range(2)]))
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        logits = images.to(dtype)
        resizing = Resizing((61, 64))
        assert torch.equal(label_map(logits, resizing), resizing(logits).argmax(dim=1))
    logits = images.requires_grad_()
    assert torch.equal(label_map(logits, resizing), resizing(logits).argmax(dim=1))
