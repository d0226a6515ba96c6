"""The Triton kernels in Triton's interpreter; `test_csa_triton` runs this file in a process of its own.

The interpreter cannot multiply matrices of bfloat16, so its precision is tested by compiling alone.
"""

from __future__ import annotations

import pytest
import torch

from lvt_core.layers import csa_triton
from lvt_core.layers.csa_fused import portable, portable_backward

TOLERANCES = {torch.float32: 1e-4, torch.float16: 3e-3}  # of the largest value
# Odd and even sides, one pixel, no power of two, more than one tile of the weights' gradient.
CASES = [(2, 7, 9, 64, 2), (1, 13, 11, 24, 3), (3, 1, 1, 64, 2), (1, 1, 6, 8, 4), (1, 3, 2, 96, 3)]


def inputs(case: tuple[int, ...], dtype: torch.dtype) -> list[torch.Tensor]:
    """Output gradient, map, logits and weights."""
    B, H, W, C, N = case
    logits = 4 * torch.randn(B, (H + 1) // 2, (W + 1) // 2, N * 81)  # far from uniform attention
    weight = torch.randn(9, C, C) * C**-0.5
    return [t.to(dtype) for t in (torch.randn(B, H, W, C), torch.randn(B, H, W, C), logits, weight)]


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equal_the_portable_form_in_float64_and_repeat_to_the_bit(
    case: tuple[int, ...], dtype: torch.dtype
) -> None:
    heads = case[-1]
    grad, *tensors = inputs(case, dtype)
    exact = [t.double() for t in (grad, *tensors)]
    expected = portable(*exact[1:], heads), *portable_backward(*exact, heads)
    found = csa_triton.forward(*tensors, heads), *csa_triton.backward(grad, *tensors, heads)
    for ours, right in zip(found, expected, strict=True):
        assert ours.dtype == dtype and ours.shape == right.shape
        assert (ours - right).abs().max() <= TOLERANCES[dtype] * right.abs().max()
    again = csa_triton.forward(*tensors, heads), *csa_triton.backward(grad, *tensors, heads)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


def test_weights_gradient_of_several_chunks(monkeypatch) -> None:
    monkeypatch.setattr(csa_triton, "CHUNK", 32)
    grad, *tensors = inputs((2, 12, 13, 16, 1), torch.float32)  # 84 windows
    found = csa_triton.backward(grad, *tensors, 1)[2]
    torch.testing.assert_close(found, portable_backward(grad, *tensors, 1)[2], rtol=1e-4, atol=1e-4)


def test_inputs_that_are_not_contiguous() -> None:
    grad, *tensors = inputs((2, 5, 4, 16, 1), torch.float32)
    turned = [t.transpose(0, 1).contiguous().transpose(0, 1) for t in (grad, *tensors)]
    assert not any(t.is_contiguous() for t in turned)
    found = csa_triton.forward(*turned[1:], 1), *csa_triton.backward(*turned, 1)
    expected = csa_triton.forward(*tensors, 1), *csa_triton.backward(grad, *tensors, 1)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
