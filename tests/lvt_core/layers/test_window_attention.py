"""Windows are cut and put back as the docstrings say; gradients have gradients."""

from __future__ import annotations

import pytest
import torch

from lvt_core.layers.window_attention import cut_windows, pad_to_windows, put_back, window_attention


def test_put_back_is_the_example_of_its_docstring() -> None:
    o = torch.arange(1.0, 7).view(2, 3)  # two windows of three taps on one axis
    windows = torch.zeros(3, 3, 1, 1, 2, 1)
    windows[1, :, 0, 0, :, 0] = o.T  # the middle row of taps
    row = put_back(windows, 1, 4).flatten()
    assert row.tolist() == [o[0][1], o[0][2] + o[1][0], o[1][1], o[1][2]]


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1)])
def test_gradients_of_gradients(size: tuple[int, int]) -> None:
    windows = (size[0] + 1) // 2 * ((size[1] + 1) // 2)
    shapes = [(1, *size, 2), (windows, 1, 9, 9), (9, 2, 2)]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradgradcheck(window_attention, inputs)


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1), (2, 1)])
def test_taps_are_the_pixels_around_every_second_one(size: tuple[int, int]) -> None:
    H, W = size
    x = torch.randn(2, H, W, 3)
    windows = cut_windows(pad_to_windows(x))
    assert windows.shape == (3, 3, 2, (H + 1) // 2, (W + 1) // 2, 3)
    for dy, dx, _, i, j, _ in torch.cartesian_prod(*map(torch.arange, windows.shape)).tolist():
        y, z = 2 * i - 1 + dy, 2 * j - 1 + dx
        inside = 0 <= y < H and 0 <= z < W
        assert torch.equal(windows[dy, dx, :, i, j], x[:, y, z] if inside else torch.zeros(2, 3))


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1), (2, 1)])
def test_windows_put_back_count_how_many_cover_a_pixel(size: tuple[int, int]) -> None:
    H, W = size
    windows = cut_windows(pad_to_windows(torch.ones(1, H, W, 1)))
    counts = put_back(windows, H, W)[0, :, :, 0]
    for y in range(H):
        for z in range(W):
            rows, columns = (2 if p % 2 and p + 1 < side else 1 for p, side in ((y, H), (z, W)))
            assert counts[y, z] == rows * columns
