"""MixToken: reproducible boxes of the right size, swaps that undo themselves."""

from __future__ import annotations

import torch

from lvt_core import LVTClassifier, LVTConfig
from lvt_core.mix_token import sample_box, swap_box

TINY = LVTConfig(embed_dims=(8, 8, 16, 16), num_heads=(2, 2, 2, 2), num_classes=5)


def test_boxes_follow_from_pytorchs_generator() -> None:
    def draw(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        return [sample_box(7, 9).tolist() for _ in range(5)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_boxes_lie_in_the_grid_and_cover_what_they_should() -> None:
    """Unclipped, E[1 - lambda] is one half; clipping at the border takes some of it."""
    for height, width in ((7, 7), (10, 3), (2, 2), (1, 1)):
        boxes = torch.stack([sample_box(height, width) for _ in range(4000)])
        y0, x0, y1, x1 = boxes.unbind(1)
        assert (y0 >= 0).all()
        assert (x0 >= 0).all()
        assert (y0 <= y1).all()
        assert (x0 <= x1).all()
        assert (y1 <= height).all()
        assert (x1 <= width).all()
        share = ((y1 - y0) * (x1 - x0)).double().mean() / (height * width)
        assert 0.25 < share < 0.5


def test_swapping_twice_restores_and_inside_is_the_partner() -> None:
    x = torch.randn(5, 9, 7, 3)
    box = torch.tensor([1, 0, 2, 1])
    y = swap_box(x, box, scale=4)
    assert torch.equal(y[:, 4:8, 0:4], x.flip(0)[:, 4:8, 0:4])
    assert torch.equal(y[:, 8:], x[:, 8:])
    assert torch.equal(y[:, :4], x[:, :4])
    assert torch.equal(swap_box(y, box, scale=4), x)


def test_a_box_of_the_whole_grid_exchanges_whole_images_at_odd_sizes() -> None:
    model = LVTClassifier(TINY).eval()
    x = torch.randn(2, 3, 45, 77)
    grid = model.token_grid(45, 77)
    assert grid == (2, 3)
    with torch.no_grad():
        plain = model.forward_tokens(x, torch.zeros(4, dtype=torch.int64))
        swapped = model.forward_tokens(x, torch.tensor([0, 0, *grid]))
    torch.testing.assert_close(swapped.cls, plain.cls.flip(0))
    torch.testing.assert_close(swapped.tokens, plain.tokens)


def test_an_empty_box_gives_the_evaluated_logits() -> None:
    model = LVTClassifier(TINY).eval()
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        output = model.forward_tokens(x, torch.zeros(4, dtype=torch.int64))
        logits = model(x)
        dense = model.forward_dense(x)
    torch.testing.assert_close(output.cls + 0.5 * output.tokens.amax(1), logits)
    torch.testing.assert_close(dense.flatten(2).transpose(1, 2), output.tokens)
