"""Steps 2 to 4 of CSA: values, mix, put back.

Legend: B batch, H W map, h = ceil(H/2), w = ceil(W/2) windows, C channels, N heads, d = C / N,
K = 3 kernel side, T = K * K = 9 taps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lvt_core.layers.fast.cache_blocking import is_in_pieces, piece_length
from lvt_core.layers.fast.modes import uses_own_backward

KERNEL = 3
STRIDE = 2
NUM_TAPS = KERNEL * KERNEL


def window_attention(x: Tensor, attn: Tensor, tap_weight: Tensor) -> Tensor:
    """Compute the value of every tap, mix the taps of each window, and put the mixtures back into the map.

    Under autocast it computes in autocast's type.

    Args:
        x: Map ``(B, H, W, C)``.
        attn: Weights between the taps of each window, ``(B*h*w, N, T, T)``: query, key.
        tap_weight: Value matrix of each tap, ``(T, C, C)``: tap, out, in.

    Returns:
        ``(B, H, W, C)``.
    """
    if torch.jit.is_scripting():
        return _on_whole_map(x, attn, tap_weight)
    device = x.device.type
    if device != "meta" and torch.is_autocast_enabled(device):  # autocast does not support "meta"
        dtype = torch.get_autocast_dtype(device)
        x, attn, tap_weight = x.to(dtype), attn.to(dtype), tap_weight.to(dtype)
    if uses_own_backward():
        return _WindowAttention.apply(x, attn, tap_weight)
    return _window_attention(x, attn, tap_weight)


class _WindowAttention(torch.autograd.Function):
    """`window_attention` with a backward pass that keeps only the inputs and computes the values again.

    Autograd's backward pass would keep the windows and their values, and would fill, copy and add a padded
    map for each tap.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, attn: Tensor, tap_weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, attn, tap_weight)
        return _window_attention(x, attn, tap_weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        *inputs, tap_weight = ctx.saved_tensors
        pieces = [window_gradients(*piece, tap_weight=tap_weight) for piece in _pieces(*inputs, grad)]
        grad_x, grad_attn, grad_weight = zip(*pieces, strict=True)
        return torch.cat(grad_x), torch.cat(grad_attn), sum(grad_weight[1:], start=grad_weight[0])


def _window_attention(x: Tensor, attn: Tensor, tap_weight: Tensor) -> Tensor:
    if is_in_pieces(x):
        return _in_bands(x, attn, tap_weight)
    return _on_whole_map(x, attn, tap_weight)


def _on_whole_map(x: Tensor, attn: Tensor, tap_weight: Tensor) -> Tensor:
    _, H, W, _ = x.shape
    return put_back(_mix(cut_windows(pad_to_windows(x)), attn, tap_weight), H, W)  # (B, H, W, C)


def _in_bands(x: Tensor, attn: Tensor, tap_weight: Tensor) -> Tensor:
    """Compute one band of window rows at a time; neighbouring bands share one row of pixels."""
    B, H, W, C = x.shape
    h, w = (H + 1) // 2, (W + 1) // 2
    padded = pad_to_windows(x)  # (B, 2h + 1, 2w + 1, C)
    y = x.new_empty(B, h, 2, W, C)  # pairs of an even and an odd row
    rows = piece_length(x.element_size() * w * NUM_TAPS * C)
    for b, weights in enumerate(attn.view(B, h, -1, *attn.shape[1:])):
        for start in range(0, h, rows):
            stop = min(start + rows, h)
            windows = cut_windows(padded[b : b + 1, 2 * start : 2 * stop + 1])
            mixed = _mix(windows, weights[start:stop].flatten(0, 1), tap_weight)
            above, even, odd = _put_back_axis(mixed.transpose(0, 1), axis=3)[:, 0, :, :W]  # (rows, W, C) each
            y[b, start:stop, 0] = even
            y[b, start:stop, 1] = odd
            skip = 1 if start == 0 else 0  # nothing lies above the first band
            y[b, start - 1 + skip : stop - 1, 1] += above[skip:]
    return y.flatten(1, 2)[:, :H]


def window_gradients(
    x: Tensor, attn: Tensor, grad: Tensor, *, tap_weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of `window_attention` for its three inputs."""
    B, H, W, C = x.shape
    windows = cut_windows(pad_to_windows(x))  # (K, K, B, h, w, C)
    v = _split_heads(_values(windows, tap_weight), attn)  # (B*h*w, N, T, d)
    grad = _split_heads(cut_windows(pad_to_windows(grad)), attn)  # of the mixtures; (B*h*w, N, T, d)
    grad_attn = grad @ v.transpose(2, 3)  # (B*h*w, N, T, T)
    grad_v = (attn.transpose(2, 3) @ grad).permute(2, 0, 1, 3).reshape(NUM_TAPS, -1, C)  # (T, B*h*w, C)
    grad_weight = torch.bmm(grad_v.transpose(1, 2), windows.view(NUM_TAPS, -1, C))  # (T, C, C)
    grad_x = put_back(torch.bmm(grad_v, tap_weight).view(windows.shape), H, W)  # (B, H, W, C)
    return grad_x, grad_attn, grad_weight


def _mix(windows: Tensor, attn: Tensor, tap_weight: Tensor) -> Tensor:
    """Mix the values of windows ``(K, K, B, h, w, C)``; same shape."""
    v = _split_heads(_values(windows, tap_weight), attn)  # (B*h*w, N, T, d)
    return (attn @ v).permute(2, 0, 1, 3).reshape(windows.shape)


def _values(windows: Tensor, tap_weight: Tensor) -> Tensor:
    """Multiply each tap by its matrix: ``(K, K, B, h, w, C)``; same shape."""
    T, C, _ = tap_weight.shape
    return torch.bmm(windows.view(T, -1, C), tap_weight.transpose(1, 2)).view(windows.shape)


def _split_heads(windows: Tensor, attn: Tensor) -> Tensor:
    """Reshape ``(K, K, B, h, w, C)`` to ``(B*h*w, N, T, d)``."""
    M, N, T, _ = attn.shape
    return windows.view(T, M, N, windows.shape[-1] // N).permute(1, 2, 0, 3)


def _pieces(x: Tensor, attn: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield groups of images whose windows fit the cache, with their part of the other tensors."""
    if not is_in_pieces(x):
        return iter([(x, attn, *others)])
    windows = attn.shape[0] // x.shape[0]
    length = piece_length(x.element_size() * windows * NUM_TAPS * x.shape[-1])
    return zip(x.split(length), attn.split(length * windows), *(t.split(length) for t in others), strict=True)


def pad_to_windows(x: Tensor) -> Tensor:
    """Pad the map with zeros, so that all windows are complete: ``(B, 2h + 1, 2w + 1, C)``."""
    _, H, W, _ = x.shape
    return F.pad(x, (0, 0, 1, W % 2, 1, H % 2))


def cut_windows(padded: Tensor) -> Tensor:
    """Cut a padded map into its windows, taps first: ``(3, 3, B, h, w, C)``.

    Tap ``dy`` of window row ``i`` is row ``2i + dy``.
    """
    B, height, width, C = padded.shape
    taps = []
    for dy in range(3):  # TorchScript reads no constants of modules
        for dx in range(3):
            taps.append(padded[:, dy : height - 2 + dy : 2, dx : width - 2 + dx : 2])
    return torch.stack(taps).view(3, 3, B, height // 2, width // 2, C)


def put_back(x: Tensor, height: int, width: int) -> Tensor:
    """Add each tap's output to the pixel of the tap: ``(3, 3, B, h, w, C)`` to ``(B, H, W, C)``.

    Outputs outside of the map are dropped. A pixel has at most two contributors per axis, so each pixel
    gathers them, one axis after the other. Tap ``t`` of window ``i`` is pixel ``2i - 1 + t``. On one axis,
    with the outputs ``o[i] = (o0, o1, o2)`` of window ``i``::

        pixel 2a     (even)  is tap 1 of window a:                  o[a][1]
        pixel 2a + 1 (odd)   is tap 2 of window a, tap 0 of a + 1:  o[a][2] + o[a + 1][0]

    Example, two windows and four pixels::

        [o[0][1],  o[0][2] + o[1][0],  o[1][1],  o[1][2]]

    ``o[0][0]`` would be pixel -1 and is dropped. Gathering needs no atomic addition, so it is deterministic
    on every device.
    """
    x = _put_back_axis(x, axis=2)[:, :, :height]  # (3, B, H, w, C)
    return _put_back_axis(x, axis=2)[:, :, :width]  # (B, H, W, C)


def _put_back_axis(taps: Tensor, axis: int) -> Tensor:
    """Put three taps ``(3, ...)`` back along ``axis`` of each tap, whose length doubles."""
    first, middle, last = taps.unbind(0)
    length = first.shape[axis]
    if torch.jit.is_tracing():  # the classic ONNX exporter loses an addition into a part of a tensor
        both = last.narrow(axis, 0, length - 1) + first.narrow(axis, 1, length - 1)
        odd = torch.cat((both, last.narrow(axis, length - 1, 1)), dim=axis)
    else:
        odd = last.clone()
        odd.narrow(axis, 0, length - 1).add_(first.narrow(axis, 1, length - 1))
    return torch.stack((middle, odd), dim=axis + 1).flatten(axis, axis + 1)
