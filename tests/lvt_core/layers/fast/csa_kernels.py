"""The Triton kernels in Triton's interpreter; `test_csa_triton` runs this file in a process of its own.

The interpreter cannot multiply matrices of bfloat16, so that precision is only compiled. It needs
milliseconds for every operation: the cases are as small as they may be.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lvt_core.layers.fast import csa_triton
from lvt_core.layers.fast.csa_fused import portable, portable_backward

TOLERANCES = {torch.float32: 1e-4, torch.float16: 3e-3}  # relative to the largest value
USUAL = (1, 7, 9, 64, 2)  # B, H, W, C, N: two programs of windows for each head
CASES = [
    USUAL,
    (1, 13, 11, 16, 1),  # two chunks of the weights' gradient
    (2, 1, 1, 16, 1),
    (1, 1, 6, 24, 3),  # fewer channels than a matrix of the tensor cores has
    (1, 2, 3, 96, 3),  # no power of two, four tiles of the weights' gradient
]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csa_triton, "CHUNK", csa_triton.ROWS)


def inputs(case: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """Output gradient, map, logits and weights."""
    B, H, W, C, N = case
    logits = 4 * torch.randn(B, (H + 1) // 2, (W + 1) // 2, N * 81)  # far from uniform attention
    weight = torch.randn(9, C, C) * C**-0.5
    return [t.to(dtype) for t in (torch.randn(B, H, W, C), torch.randn(B, H, W, C), logits, weight)]


def run(tensors: list[Tensor], num_heads: int) -> list[Tensor]:
    """Return the map and the three gradients."""
    forward = csa_triton.forward(*tensors[1:], num_heads)
    return [forward, *csa_triton.backward(*tensors, num_heads)]


@pytest.mark.parametrize(
    "case, dtype", [(USUAL, torch.float16), *((case, torch.float32) for case in CASES)], ids=str
)
def test_equal_the_portable_form_in_float64(case: tuple[int, ...], dtype: torch.dtype) -> None:
    tensors = inputs(case, dtype)
    exact = [t.double() for t in tensors]
    expected = portable(*exact[1:], case[-1]), *portable_backward(*exact, case[-1])
    for ours, right in zip(run(tensors, case[-1]), expected, strict=True):
        assert ours.dtype == dtype and ours.shape == right.shape
        assert (ours - right).abs().max() <= TOLERANCES[dtype] * right.abs().max()


def test_bits_do_not_depend_on_the_run_or_on_strides() -> None:
    tensors = inputs((2, 3, 4, 16, 1), torch.float32)
    turned = [t.transpose(0, 1).contiguous().transpose(0, 1) for t in tensors]
    assert not any(t.is_contiguous() for t in turned)
    first, again, other = run(tensors, 1), run(tensors, 1), run(turned, 1)
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)
