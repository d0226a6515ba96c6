"""The dilated depthwise convolution is PyTorch's, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lvt_core.layers.fast.depthwise import dilated_depthwise_conv


@pytest.mark.parametrize("dilation", [1, 3, 5])
@pytest.mark.parametrize("size", [(7, 9), (3, 4), (12, 5), (1, 1)])
def test_equals_the_plain_call(size: tuple[int, int], dilation: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    plain = F.conv2d(x, weight, None, 1, dilation, dilation, 6)
    ours = dilated_depthwise_conv(x, weight, dilation)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    gradient = torch.randn_like(plain)
    for actual, expected in zip(
        torch.autograd.grad(ours, (x, weight), gradient),
        torch.autograd.grad(plain, (x, weight), gradient),
        strict=True,
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(dilated_depthwise_conv(x, weight, dilation), plain)


def test_gradients_of_gradients_and_of_parts() -> None:
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda *a: dilated_depthwise_conv(*a, 3), (x, weight))
    frozen = weight.detach()
    dilated_depthwise_conv(x, frozen, 3).sum().backward()
    assert x.grad is not None and frozen.grad is None


def test_autocast_and_vmap() -> None:
    x, weight = torch.randn(2, 4, 8, 8), torch.randn(4, 1, 3, 3, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = dilated_depthwise_conv(x, weight, 3)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert weight.grad is not None and weight.grad.dtype == torch.float32
    mapped = torch.vmap(lambda image: dilated_depthwise_conv(image[None], weight, 5)[0])(x)
    torch.testing.assert_close(mapped, dilated_depthwise_conv(x, weight, 5))
