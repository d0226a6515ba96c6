"""MixToken: reproducible boxes of the right size, swaps that undo themselves."""

from __future__ import annotations

import math

import pytest
import torch

from lvt_core import LVTClassifier, LVTConfig
from lvt_core.classifiers.mix_token import mix_box, sample_box, swap_box
from tests.small import SMALL


def test_boxes_follow_from_pytorchs_generator() -> None:
    def draw(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        return [sample_box(7, 9).tolist() for _ in range(5)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def mixed_length(side: int, lam: float, centre: int) -> int:
    """Count the cells of an axis that the box covers, one by one."""
    length = math.floor(side * math.sqrt(1 - lam))
    return sum(centre - length // 2 <= cell < centre + length // 2 for cell in range(side))


@pytest.mark.parametrize(("height", "width"), [(7, 7), (10, 3), (2, 2), (1, 1)])
def test_the_box_is_that_of_the_original_release(height: int, width: int) -> None:
    for lam in (0.0, 0.01, 0.2, 0.49, 0.5, 0.77, 0.93, 0.999):
        for row in range(height):
            for column in range(width):
                y0, x0, y1, x1 = mix_box(height, width, lam, row=row, column=column)
                assert y1 - y0 == mixed_length(height, lam, row)
                assert x1 - x0 == mixed_length(width, lam, column)
                assert 0 <= y0 <= y1 <= height
                assert 0 <= x0 <= x1 <= width


def test_the_mean_share_on_the_published_grid() -> None:
    """A side has k cells with probability ((k + 1)^2 - k^2) / 49; the centre is any of the 49 cells."""
    share = 0.0
    for k in range(7):
        lam = 1 - ((k + 0.5) / 7) ** 2
        lengths = [mixed_length(7, lam, centre) for centre in range(7)]
        share += ((k + 1) ** 2 - k**2) / 49 * (sum(lengths) / 7) ** 2 / 49
    boxes = torch.stack([sample_box(7, 7) for _ in range(20_000)])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert share == pytest.approx(0.2355, abs=1e-4)
    assert areas.double().mean().item() / 49 == pytest.approx(share, abs=0.006)
    assert (areas == 0).double().mean().item() == pytest.approx(4 / 49, abs=0.008)


def test_swapping_twice_restores_and_inside_is_the_partner() -> None:
    x = torch.randn(5, 9, 7, 3)
    box = torch.tensor([1, 0, 2, 1])
    y = swap_box(x, box, scale=4)
    assert torch.equal(y[:, 4:8, 0:4], x.flip(0)[:, 4:8, 0:4])
    assert torch.equal(y[:, 8:], x[:, 8:])
    assert torch.equal(y[:, :4], x[:, :4])
    assert torch.equal(swap_box(y, box, scale=4), x)


def test_a_box_of_the_whole_grid_exchanges_whole_images_at_odd_sizes() -> None:
    model = LVTClassifier(LVTConfig(**SMALL)).eval()
    x = torch.randn(2, 3, 45, 77)
    grid = model.token_grid(45, 77)
    assert grid == (2, 3)
    with torch.no_grad():
        plain = model.forward_tokens(x, torch.zeros(4, dtype=torch.int64))
        swapped = model.forward_tokens(x, torch.tensor([0, 0, *grid]))
    torch.testing.assert_close(swapped.cls, plain.cls.flip(0))
    torch.testing.assert_close(swapped.tokens, plain.tokens)


def test_an_empty_box_gives_the_evaluated_logits() -> None:
    model = LVTClassifier(LVTConfig(**SMALL)).eval()
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        output = model.forward_tokens(x, torch.zeros(4, dtype=torch.int64))
        logits = model(x)
        dense = model.forward_dense(x)
    torch.testing.assert_close(output.cls + 0.5 * output.tokens.amax(1), logits)
    torch.testing.assert_close(dense.flatten(2).transpose(1, 2), output.tokens)
