"""Core ML's operators in numpy are PyTorch's, one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lvt_core.errors import UserError
from lvt_predict.coreml_interpreter import operators as ops, windows as windows


def _same(actual: np.ndarray, expected: Tensor) -> None:
    assert actual.shape == tuple(expected.shape)
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("groups", "stride", "dilation", "kernel"),
    [(1, 1, 1, (3, 3)), (1, 4, 1, (7, 7)), (3, 2, 1, (3, 2)), (6, 1, 2, (3, 3)), (2, (2, 1), (1, 3), (1, 3))],
)
def test_convolutions(
    groups: int, stride: int | tuple[int, int], dilation: int | tuple[int, int], kernel: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 6, 11, 13), torch.randn(12, 6 // groups, *kernel), torch.randn(12)
    strides, dilations = (np.broadcast_to(value, 2).tolist() for value in (stride, dilation))
    expected = F.conv2d(x, weight, bias, stride, (1, 2), dilation, groups)
    options = {"strides": strides, "dilations": dilations, "groups": groups}
    actual = windows.conv(
        x.numpy(), weight.numpy(), pad_type="custom", pad=[1, 1, 2, 2], bias=bias.numpy(), **options
    )
    _same(actual, expected)
    actual = windows.conv(x.numpy(), weight.numpy(), **options)
    _same(actual, F.conv2d(x, weight, None, stride, 0, dilation, groups))


@pytest.mark.parametrize("kernel", [(3, 3), (2, 4)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_convolutions_that_keep_the_size(kernel: tuple[int, int], dilation: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 2, 9, 10), torch.randn(3, 2, *kernel)
    options = {"dilations": (dilation, dilation)}
    actual = windows.conv(x.numpy(), weight.numpy(), pad_type="same", **options)
    _same(actual, F.conv2d(x, weight, padding="same", dilation=dilation))
    # On a mirrored map, "same_lower" pads as "same" does on the map.
    actual = windows.conv(x.flip(2, 3).numpy(), weight.flip(2, 3).numpy(), pad_type="same_lower", **options)
    _same(actual, F.conv2d(x, weight, padding="same", dilation=dilation).flip(2, 3))


@pytest.mark.parametrize("pad_type", ["same", "same_lower"])
def test_strides_keep_a_part_of_the_size(pad_type: str) -> None:
    x = np.ones((1, 1, 9, 10), np.float32)
    actual = windows.conv(x, np.ones((1, 1, 3, 3), np.float32), strides=(2, 2), pad_type=pad_type)
    first = 6.0 if pad_type == "same" else 4.0  # rows are padded at both ends, columns at one
    assert actual.shape == (1, 1, 5, 5) and actual[0, 0, 0, 0] == first and actual[0, 0, 1, 1] == 9


@pytest.mark.parametrize(("groups", "stride", "padding", "more"), [(1, 2, 0, 0), (2, 3, 1, 2), (1, 1, 2, 0)])
def test_transposed_convolutions(groups: int, stride: int, padding: int, more: int) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 4, 5, 6), torch.randn(4, 3, 4, 3), torch.randn(3 * groups)
    for dilation in (1, 2):
        expected = F.conv_transpose2d(x, weight, bias, stride, padding, more, groups, dilation)
        actual = windows.conv_transpose(
            x.numpy(), weight.numpy(), strides=(stride, stride), pad_type="custom", pad=[padding] * 4,
            dilations=(dilation, dilation), groups=groups, bias=bias.numpy(),
            output_shape=expected.shape if more else None,
        )  # fmt: skip
        _same(actual, expected)


@pytest.mark.parametrize("padding", [(0, 0), (1, 0), (1, 1)])
def test_pools(padding: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 9, 12)
    pad = [padding[0], padding[0], padding[1], padding[1]]
    options = {"kernel_sizes": (3, 2), "strides": (2, 3), "pad_type": "custom", "pad": pad}
    for exclude in (True, False):
        expected = F.avg_pool2d(x, (3, 2), (2, 3), padding, count_include_pad=not exclude)
        _same(windows.avg_pool(x.numpy(), **options, exclude_padding_from_average=exclude), expected)
    _same(windows.max_pool(x.numpy(), **options), F.max_pool2d(x, (3, 2), (2, 3), padding))
    for pool in (windows.avg_pool, windows.max_pool):
        with pytest.raises(UserError, match="pool with ceil_mode True: the interpreter supports only False"):
            pool(x.numpy(), **options, ceil_mode=True)


def test_slices_are_numpys() -> None:
    x = np.arange(4 * 5 * 6).reshape(4, 5, 6)

    def cut(begin: list[int], end: list[int], **options: list[int]) -> np.ndarray:
        arrays = {key: np.array(value) for key, value in options.items()}
        return ops.slice_by_index(x, np.array(begin), np.array(end), **arrays)

    np.testing.assert_array_equal(cut([1, 0, 2], [3, 5, 6]), x[1:3, :, 2:])
    np.testing.assert_array_equal(cut([0, 1, 5], [4, -1, 0], stride=[2, 3, -2]), x[::2, 1:-1:3, 5:0:-2])
    masks = {"begin_mask": [True, False, False], "end_mask": [False, True, False]}
    np.testing.assert_array_equal(cut([3, 2, 1], [2, 3, 9], **masks), x[:2, 2:, 1:])
    squeezed = cut([1, -2, 0], [0, 0, 3], squeeze_mask=[True, True, False])
    np.testing.assert_array_equal(squeezed, x[1, -2, :3])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concatenation_takes_turns(axis: int) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    np.testing.assert_array_equal(ops.concat([x, y], axis), np.concatenate((x, y), axis))
    actual = np.moveaxis(ops.concat([x, y], axis, interleave=True), axis, 0)
    np.testing.assert_array_equal(actual[::2], np.moveaxis(x, axis, 0))
    np.testing.assert_array_equal(actual[1::2], np.moveaxis(y, axis, 0))
    for options in ({"num_splits": np.array(2)}, {"split_sizes": np.array([x.shape[axis], y.shape[axis]])}):
        parts = ops.split(np.concatenate((x, y), axis), axis, **options)
        np.testing.assert_array_equal(parts, [x, y])


def test_products() -> None:
    torch.manual_seed(0)
    x, y, bias = torch.randn(2, 3, 4), torch.randn(2, 4, 5), torch.randn(5)
    _same(ops.matmul(x.numpy(), y.numpy()), x @ y)
    _same(ops.matmul(x.mT.numpy(), y.mT.numpy(), transpose_x=True, transpose_y=True), x @ y)
    _same(ops.linear(x.numpy(), y[0].T.numpy(), bias.numpy()), F.linear(x, y[0].T, bias))
    _same(ops.linear(x.numpy(), y[0].T.numpy()), F.linear(x, y[0].T))


def test_activations_and_norms() -> None:
    torch.manual_seed(0)
    x, weight, bias = 4 * torch.randn(2, 5, 6, 8), torch.randn(6, 8), torch.randn(6, 8)
    _same(ops.gelu(x.numpy()), F.gelu(x))
    _same(ops.silu(x.numpy()), F.silu(x))
    _same(ops.softmax(30 * x.numpy(), np.array(1)), F.softmax(30 * x, dim=1))
    axes, epsilon = np.array([2, 3]), np.float32(1e-5)
    _same(
        ops.layer_norm(x.numpy(), axes, epsilon, weight.numpy(), bias.numpy()),
        F.layer_norm(x, (6, 8), weight, bias, 1e-5),
    )
    _same(ops.layer_norm(x.numpy(), axes, epsilon), F.layer_norm(x, (6, 8), eps=1e-5))
    _same(ops.reduce_mean(x.numpy(), axes, keep_dims=True), x.mean((2, 3), keepdim=True))
    _same(ops.reduce_max(x.numpy(), axes, keep_dims=False), x.amax((2, 3)))
    with pytest.raises(UserError, match="gelu with mode 'TANH_APPROXIMATION': .* supports only 'EXACT'"):
        ops.gelu(x.numpy(), mode="TANH_APPROXIMATION")


def test_batch_norm_has_its_own_weights() -> None:
    x, mean, weight, bias = torch.randn(2, 4, 5, 3), torch.randn(4), torch.randn(4), torch.randn(4)
    variance = torch.rand(4)
    given = [value.numpy() for value in (x, mean, variance)]
    for weights in ((None, None), (weight, None), (None, bias), (weight, bias)):
        expected = F.batch_norm(x, mean, variance, *weights, eps=1e-3)
        actual = ops.batch_norm(*given, *(w if w is None else w.numpy() for w in weights), epsilon=1e-3)
        _same(actual, expected)


@pytest.mark.parametrize("size", [(10, 18), (7, 23), (5, 9)])
def test_maps_grow_as_in_pytorch(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 9)
    scales = [(new + 1e-4) / old for new, old in zip(size, x.shape[2:], strict=True)]
    actual = ops.upsample_bilinear(x.numpy(), *scales, align_corners=False)
    _same(actual, F.interpolate(x, size, mode="bilinear", align_corners=False))
    actual = ops.upsample_nearest_neighbor(x.numpy(), *scales)
    _same(actual, F.interpolate(x, size, mode="nearest"))


def test_padding_and_weights_of_eight_bits() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4)
    actual = ops.pad(x.numpy(), np.array([1, 0, 2, 3]), constant_val=np.float32(7))
    _same(actual, F.pad(x, (2, 3, 1, 0), value=7))
    with pytest.raises(UserError, match="pad with mode 'reflect': the interpreter supports only 'constant'"):
        ops.pad(x.numpy(), np.array([1, 0, 2, 3]), mode="reflect")
    data, zero = np.array([[-128, 5], [7, 127]], np.int8), np.array([1, -2], np.int8)
    scale = np.array([0.5, 2], np.float32)
    rows = ops.affine_dequantize(data, zero, scale, np.array(0))
    assert rows.tolist() == [[-64.5, 2], [18, 258]]
    columns = ops.affine_dequantize(data, zero, scale, np.array(1))
    assert columns.tolist() == [[-64.5, 14], [3, 258]]
    one = ops.affine_dequantize(data, np.int8(0)[()], np.float32(2), np.array(0))
    assert one.tolist() == [[-256, 10], [14, 254]]
