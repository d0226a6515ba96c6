"""The Triton kernels of `csa_fused`: CSA between its logits and its projection on a GPU.

Gain: in bfloat16 on an H100, forward 2.9 to 4 times as fast as the portable form, with a third of its memory;
benchmarks/results/gpu.json has the figures, docs/gpu.md reads them.

A window's nine values are made where they are used, so neither cut windows nor values are ever in memory.
Forward writes each window's nine outputs; backward writes the gradients of its nine values. `_put_back` then
collects from the one, two or four windows that cover a pixel. Nothing is added atomically, so every run gives
the same bits. Products are summed in float32; float32 inputs are multiplied exactly, not as TF32.

Legend: B batch, H W map, h = ceil(H/2), w = ceil(W/2) windows, M = B * h * w, C channels, N heads, d = C / N.
In kernels a row is a window, and d, C and the nine taps are padded to powers of two: D, CP, TAPS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS, WARPS = 32, 4  # windows and warps per program
# The same for the kernels that keep nine vectors per window in registers, by bytes per number, for heads of
# HEAD channels. On an H100, eight warps made the backward kernel of half precision 4.6 times slower.
MIX = {2: (16, 4), 4: (16, 8)}
MIX_BACKWARD = {2: (32, 4), 4: (16, 8)}
HEAD = 32
CHUNK = 2048  # windows per program of the weights' gradient
TILE = 64  # side of that gradient's tile per program, in channels
MIN_SIDE = 16  # smallest side of a matrix for the tensor cores
TAPS = tl.constexpr(16)


def launch(kernel: Any, grid: tuple[int, ...], *inputs: Any, **constants: int) -> None:
    """Start a kernel on the GPU."""
    kernel[grid](*inputs, **constants)


def forward(
    x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int, *, launch: Callable[..., None] = launch
) -> Tensor:
    """Compute the map before CSA's projection.

    Args:
        x: Map ``(B, H, W, C)``; float32, bfloat16 or float16, as are the others.
        logits: ``(B, h, w, N * 81)``, neither scaled nor under a softmax.
        tap_weight: ``(9, C, C)``: tap, out, in.
        num_heads: ``N``.
        launch: Function that starts a kernel.

    Returns:
        ``(B, H, W, C)``.
    """
    x, logits, tap_weight = x.contiguous(), logits.contiguous(), tap_weight.contiguous()
    outputs = x.new_empty(9, logits.numel() // (81 * num_heads), x.shape[3])  # (9, M, C)
    rows = outputs.shape[1]
    dims = _dims(x, num_heads, MIX)
    grid = triton.cdiv(rows, dims["ROWS"]), num_heads
    launch(_mix, grid, x, logits, tap_weight, outputs, rows, *x.shape[1:3], **dims)
    return _collect(outputs, None, x, launch)


def backward(
    grad: Tensor,
    x: Tensor,
    logits: Tensor,
    tap_weight: Tensor,
    num_heads: int,
    *,
    chunk: int = CHUNK,
    launch: Callable[..., None] = launch,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of `forward` for the map, the logits and the weights.

    Args:
        grad: Gradient of `forward`'s result.
        x: Map, as in `forward`.
        logits: Logits, as in `forward`.
        tap_weight: Weights, as in `forward`.
        num_heads: ``N``.
        chunk: Windows per program of the weights' gradient, a multiple of `ROWS`.
        launch: Function that starts a kernel.
    """
    grad, x = grad.contiguous(), x.contiguous()
    logits, tap_weight = logits.contiguous(), tap_weight.contiguous()
    C = x.shape[3]
    grad_logits = torch.empty_like(logits)
    grad_values = x.new_empty(9, logits.numel() // (81 * num_heads), C)  # (9, M, C)
    rows = grad_values.shape[1]
    inputs = (grad, x, logits, tap_weight, grad_logits, grad_values, rows, *x.shape[1:3])
    dims = _dims(x, num_heads, MIX_BACKWARD)
    launch(_mix_backward, (triton.cdiv(rows, dims["ROWS"]), num_heads), *inputs, **dims)
    tiles, chunks = triton.cdiv(C, TILE), triton.cdiv(rows, chunk)
    parts = x.new_empty(chunks, 9, C, C, dtype=torch.float32)
    constants = {"C": C, "SIDE": min(TILE, _padded(C)), "CHUNK": chunk, "ROWS": ROWS, "num_warps": WARPS}
    launch(_weight_grad, (9 * tiles * tiles, chunks), grad_values, x, parts, rows, *x.shape[1:3], **constants)
    return _collect(grad_values, tap_weight, x, launch), grad_logits, parts.sum(0).to(tap_weight.dtype)


def _collect(taps: Tensor, matrices: Tensor | None, x: Tensor, launch: Callable[..., None]) -> Tensor:
    """Put ``(9, M, C)`` back into a map like ``x``, through each tap's matrix if there are any."""
    result, C, rows = torch.empty_like(x), x.shape[3], taps.shape[1]
    launch(
        _put_back,
        (triton.cdiv(rows, ROWS), 4),
        taps,
        taps if matrices is None else matrices,
        result,
        rows,
        *x.shape[1:3],
        C=C,
        CP=_padded(C),
        ROWS=ROWS,
        PROJECT=matrices is not None,
        num_warps=WARPS,
    )
    return result


def _dims(x: Tensor, num_heads: int, tiles: dict[int, tuple[int, int]]) -> dict[str, int]:
    """Return the constants of a kernel; wider heads get fewer windows, because registers are few."""
    channels, (rows, warps) = x.shape[3], tiles[x.element_size()]
    width = _padded(channels // num_heads)
    rows = max(MIN_SIDE, rows * HEAD // max(HEAD, width))
    padded = {"CP": _padded(channels), "D": width}
    return {"C": channels, "N": num_heads, **padded, "ROWS": rows, "num_warps": warps}


def _padded(channels: int) -> int:
    return max(MIN_SIDE, triton.next_power_of_2(channels))


@triton.jit
def _pixel(rows, tap, num_rows, H, W):
    """Return the number of the pixel at a tap of each window, and whether it exists."""
    h, w = (H + 1) // 2, (W + 1) // 2
    y = rows // w % h * 2 - 1 + tap // 3
    z = rows % w * 2 - 1 + tap % 3
    inside = (rows < num_rows) & (y >= 0) & (y < H) & (z >= 0) & (z < W)
    return ((rows // (h * w)).to(tl.int64) * H + y) * W + z, inside


@triton.jit
def _values(x, weight, rows, head, tap, num_rows, H, W, C: tl.constexpr, N: tl.constexpr, CP: tl.constexpr,
            D: tl.constexpr):  # fmt: skip
    """Compute one tap's values of one head, ``(ROWS, D)`` in float32; zero outside of the map."""
    d: tl.constexpr = C // N
    channel, of_head = tl.arange(0, CP), tl.arange(0, D)
    pixel, inside = _pixel(rows, tap, num_rows, H, W)
    pixels = tl.load(
        x + pixel[:, None] * C + channel[None, :], mask=inside[:, None] & (channel < C)[None, :], other=0.0
    )  # (ROWS, CP)
    out = tap * C + head * d + of_head
    matrix = tl.load(
        weight + out[None, :] * C + channel[:, None], mask=(of_head < d)[None, :] & (channel < C)[:, None],
        other=0.0,
    )  # (CP, D)  # fmt: skip
    return tl.dot(pixels, matrix, input_precision="ieee")


@triton.jit
def _logits(logits, rows, query, key, head, num_rows, C: tl.constexpr, N: tl.constexpr):
    """Load scaled logits in float32, -inf for padding; return them, their offsets, and which exist."""
    offsets = (rows.to(tl.int64) * N + head) * 81 + query * 9 + key
    there = (rows < num_rows) & (query < 9) & (key < 9)
    scaled = tl.load(logits + offsets, mask=there, other=0.0).to(tl.float32) * ((C // N) ** -0.5)
    return tl.where(key < 9, scaled, float("-inf")), offsets, there


@triton.jit
def _log_sum(logits, rows, head, num_rows, C: tl.constexpr, N: tl.constexpr):
    """Compute the value that the softmax subtracts from the logits of a query: ``(ROWS, query)``."""
    query, key = tl.arange(0, TAPS)[None, :, None], tl.arange(0, TAPS)[None, None, :]
    scaled, _, _ = _logits(logits, rows[:, None, None], query, key, head, num_rows, C, N)
    largest = tl.max(scaled, axis=2)
    return largest + tl.log(tl.sum(tl.exp(scaled - largest[:, :, None]), axis=2))


@triton.jit(do_not_specialize=["num_rows", "H", "W"])
def _mix(x, logits, weight, outputs, num_rows, H, W, C: tl.constexpr, N: tl.constexpr, CP: tl.constexpr,
         D: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    """Compute the nine outputs ``o_n = sum_m A[n, m] v_m`` of a window, for one head of some windows."""
    d: tl.constexpr = C // N
    rows, head = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1)
    log_sum, query = _log_sum(logits, rows, head, num_rows, C, N), tl.arange(0, TAPS)[None, :]
    o = tl.zeros((ROWS, TAPS, D), tl.float32)
    for tap in range(9):
        v = _values(x, weight, rows, head, tap, num_rows, H, W, C, N, CP, D)  # (ROWS, D)
        scaled, _, _ = _logits(logits, rows[:, None], query, tap, head, num_rows, C, N)
        p = tl.exp(scaled - log_sum)  # (ROWS, query)
        o += p[:, :, None] * v[:, None, :]
    query, of_head = query[:, :, None], tl.arange(0, D)[None, None, :]
    offsets = (query.to(tl.int64) * num_rows + rows[:, None, None]) * C + head * d + of_head
    mask = (rows < num_rows)[:, None, None] & (query < 9) & (of_head < d)
    tl.store(outputs + offsets, o.to(outputs.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["num_rows", "H", "W"])
def _mix_backward(grad, x, logits, weight, grad_logits, grad_values, num_rows, H, W, C: tl.constexpr,
                  N: tl.constexpr, CP: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    """Compute the gradients of the values, ``dv_m = sum_n A[n, m] do_n``, and of the logits."""
    d: tl.constexpr = C // N
    rows, head = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1)
    log_sum = _log_sum(logits, rows, head, num_rows, C, N)
    query, key = tl.arange(0, TAPS)[None, :], tl.arange(0, TAPS)[None, None, :]
    of_head = tl.arange(0, D)
    pixel, inside = _pixel(rows[:, None], query, num_rows, H, W)
    do = tl.load(
        grad + pixel[:, :, None] * C + head * d + of_head[None, None, :],
        mask=(inside & (query < 9))[:, :, None] & (of_head < d)[None, None, :],
        other=0.0,
    ).to(tl.float32)  # (ROWS, query, D)
    dp = tl.zeros((ROWS, TAPS, TAPS), tl.float32)
    for tap in range(9):
        v = _values(x, weight, rows, head, tap, num_rows, H, W, C, N, CP, D)  # (ROWS, D)
        dp = tl.where(key == tap, tl.sum(do * v[:, None, :], axis=2)[:, :, None], dp)
        scaled, _, _ = _logits(logits, rows[:, None], query, tap, head, num_rows, C, N)
        p = tl.exp(scaled - log_sum)  # (ROWS, query)
        dv = tl.sum(p[:, :, None] * do, axis=1)  # (ROWS, D)
        offsets = (tap * num_rows.to(tl.int64) + rows)[:, None] * C + head * d + of_head[None, :]
        mask = (rows < num_rows)[:, None] & (of_head < d)[None, :]
        tl.store(grad_values + offsets, dv.to(grad_values.dtype.element_ty), mask=mask)
    scaled, offsets, there = _logits(
        logits, rows[:, None, None], query[:, :, None], key, head, num_rows, C, N
    )  # (ROWS, query, key)
    p = tl.exp(scaled - log_sum[:, :, None])
    dp = p * (dp - tl.sum(p * dp, axis=2)[:, :, None]) * (d**-0.5)
    tl.store(grad_logits + offsets, dp.to(grad_logits.dtype.element_ty), mask=there)


@triton.jit(do_not_specialize=["num_rows", "H", "W"])
def _put_back(taps, matrices, result, num_rows, H, W, C: tl.constexpr, CP: tl.constexpr, ROWS: tl.constexpr,
              PROJECT: tl.constexpr):  # fmt: skip
    """Collect each pixel from the windows that cover it, as `lvt_core.layers.window_attention.put_back`.

    A program takes one of the four pixels ``(2i + down, 2j + right)`` for each window ``(i, j)``: on one
    axis it is tap 1 of window ``i``, or else tap 2 of window ``i`` and tap 0 of window ``i + 1``.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    down, right = tl.program_id(1) // 2, tl.program_id(1) % 2
    h, w = (H + 1) // 2, (W + 1) // 2
    i, j = rows // w % h, rows % w
    channel = tl.arange(0, CP)
    total = tl.zeros((ROWS, CP), tl.float32)
    for step in tl.static_range(4):
        below, beside = step // 2, step % 2
        if below <= down and beside <= right:
            tap = (1 + down - 2 * below) * 3 + 1 + right - 2 * beside
            window = (tap * num_rows.to(tl.int64) + rows + below * w + beside)[:, None]
            there = (rows < num_rows) & (i + below < h) & (j + beside < w)
            y = tl.load(
                taps + window * C + channel[None, :], mask=there[:, None] & (channel < C)[None, :], other=0.0
            )  # (ROWS, CP)
            if PROJECT:
                offsets = (tap * C + channel)[:, None] * C + channel[None, :]
                square = (channel < C)[:, None] & (channel < C)[None, :]
                matrix = tl.load(matrices + offsets, mask=square, other=0.0)  # (out, in)
                total += tl.dot(y, matrix, input_precision="ieee")
            else:
                total += y.to(tl.float32)
    pixel = ((rows // (h * w)).to(tl.int64) * H + 2 * i + down) * W + 2 * j + right
    inside = (rows < num_rows) & (2 * i + down < H) & (2 * j + right < W)
    tl.store(
        result + pixel[:, None] * C + channel[None, :],
        total.to(result.dtype.element_ty),
        mask=inside[:, None] & (channel < C)[None, :],
    )


@triton.jit(do_not_specialize=["num_rows", "H", "W"])
def _weight_grad(grad_values, x, parts, num_rows, H, W, C: tl.constexpr, SIDE: tl.constexpr,
                 CHUNK: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    """Sum one tap's ``dv^T x`` over a chunk of windows: a tile of ``(out, in)``."""
    tiles: tl.constexpr = (C + SIDE - 1) // SIDE
    tap, tile, chunk = (
        tl.program_id(0) // (tiles * tiles),
        tl.program_id(0) % (tiles * tiles),
        tl.program_id(1),
    )
    out = tile // tiles * SIDE + tl.arange(0, SIDE)
    channel = tile % tiles * SIDE + tl.arange(0, SIDE)
    total = tl.zeros((SIDE, SIDE), tl.float32)
    for start in range(0, CHUNK, ROWS):
        rows = chunk * CHUNK + start + tl.arange(0, ROWS)
        window = (tap * num_rows.to(tl.int64) + rows)[None, :]
        dv = tl.load(
            grad_values + window * C + out[:, None], mask=(out < C)[:, None] & (rows < num_rows)[None, :],
            other=0.0,
        )  # (SIDE, ROWS)  # fmt: skip
        pixel, inside = _pixel(rows, tap, num_rows, H, W)
        pixels = tl.load(
            x + pixel[:, None] * C + channel[None, :], mask=inside[:, None] & (channel < C)[None, :],
            other=0.0,
        )  # (ROWS, SIDE)  # fmt: skip
        total += tl.dot(dv, pixels, input_precision="ieee")
    offsets = (chunk * 9 + tap) * C * C + out[:, None] * C + channel[None, :]
    tl.store(parts + offsets, total, mask=(out < C)[:, None] & (channel < C)[None, :])
