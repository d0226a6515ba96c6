"""The network as runtimes like it: ordinary operators on tensors of at most four dimensions.

`exportable` copies a model and replaces what delegates refuse or do slowly. The function stays the same;
weights are folded where that saves an operator.

Legend: B batch, H W map, h = ceil(H/2), w = ceil(W/2) windows, C channels, N heads, d = C / N.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvt_core.export.forms.tokens import TokenDepthwiseMlp, TokenNorm, TokenPatchEmbed
from lvt_core.layers.class_attention import ClassAttention
from lvt_core.layers.csa import CSA
from lvt_core.layers.mlp import DepthwiseMlp
from lvt_core.layers.patch_embed import PatchEmbed
from lvt_core.layers.rasa import RASA, SpatialReduction, recurse, reduce_windows
from lvt_core.layers.window_attention import KERNEL, NUM_TAPS, STRIDE
from lvt_core.segformer import SegFormerHead


def exportable(model: nn.Module) -> nn.Module:
    """A copy for inference, of the same function.

    CSA becomes slices and one matrix product per tap, its put-back sums and interleaving (`SlicedCSA`);
    attention becomes two matrix products and a softmax, with its scale in the key's weights;
    what follows a convolution sees tokens; a SegFormer head is folded.
    """
    forms: dict[type, Callable[..., nn.Module]] = {
        CSA: SlicedCSA,
        DepthwiseMlp: TokenDepthwiseMlp,
        PatchEmbed: TokenPatchEmbed,
        nn.LayerNorm: TokenNorm,
        RASA: SlicedRASA,
        ClassAttention: SlicedClassAttention,
        SegFormerHead: SegFormerHead.fold,
    }
    model = copy.deepcopy(model).eval().requires_grad_(False)
    return replace_layers(model, forms).requires_grad_(False)  # of the new ones, too: converters read them


class Outputs(nn.Module):
    """A model whose outputs are always a tuple.

    Args:
        model: Gives a tensor, or a list or tuple of them.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = self.model(x)
        return (found,) if isinstance(found, Tensor) else tuple(found)


def replace_layers(module: nn.Module, forms: Mapping[type, Callable[..., nn.Module]]) -> nn.Module:
    """Put other forms in the place of a model's layers, by type.

    Args:
        module: The model; it is changed.
        forms: For each type, what makes the other form of a layer.

    Returns:
        The model, or its other form if it is such a layer itself.
    """
    if type(module) in forms:
        return forms[type(module)](module)
    for name, child in module.named_children():
        setattr(module, name, replace_layers(child, forms))
    return module


class SlicedCSA(nn.Module):
    """`CSA` without windows in memory (paper, section 3.1).

    Args:
        csa: Whose weights it takes.
    """

    def __init__(self, csa: CSA) -> None:
        super().__init__()
        self.num_heads = csa.num_heads
        # Softmax over the last axis takes nine numbers at a time. With keys first it takes a vector of them.
        weight, bias = (self._keys_first(t * csa.scale) for t in (csa.attn.weight, csa.attn.bias))
        self.attn = _linear(weight / STRIDE**2, bias)  # of the core's sum
        self.values = nn.ModuleList(_linear(weight) for weight in csa.tap_weight)
        self.proj = csa.proj

    def _keys_first(self, t: Tensor) -> Tensor:
        """Rows by head, query, key to rows by key, head, query."""
        return t.reshape(self.num_heads, NUM_TAPS, NUM_TAPS, -1).permute(2, 0, 1, 3).reshape(t.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        B, H, W, C = x.shape
        N, h, w = self.num_heads, (H + 1) // 2, (W + 1) // 2
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))  # (B, H + 2, W + 2, C), the same for odd and even sizes
        pixels = [
            padded[:, dy : dy + 2 * h - 1 : STRIDE, dx : dx + 2 * w - 1 : STRIDE]
            for dy in range(KERNEL)
            for dx in range(KERNEL)
        ]  # (B, h, w, C) each
        attn = self.attn(_core(x, pixels)).reshape(B * h * w, NUM_TAPS, N * NUM_TAPS).softmax(dim=1)
        attn = attn.reshape(B * h * w, NUM_TAPS, N, NUM_TAPS).permute(0, 2, 3, 1)  # (B*h*w, N, query, key)
        values = [
            value(tap).reshape(B * h * w, N, 1, C // N)
            for value, tap in zip(self.values, pixels, strict=True)
        ]
        mixed = attn @ torch.cat(values, dim=2)  # (B*h*w, N, 9, d)
        taps = [tap.reshape(B, h, w, C) for tap in mixed.unbind(2)]
        return self.proj(_put_back(taps)[:, :H, :W])


def _core(x: Tensor, pixels: list[Tensor]) -> Tensor:
    """Four times the mean of each window's 2 x 2 core, ``(B, h, w, C)``.

    Where a core may lie half outside, for sizes that are odd or free, its last row or column counts twice:
    one row and column more than there are, then as many as the windows have.
    """
    _, H, W, _ = x.shape
    if isinstance(H, int) and isinstance(W, int) and H % 2 == W % 2 == 0:
        return pixels[4] + pixels[5] + pixels[7] + pixels[8]
    x = torch.cat((x, x[:, -1:]), dim=1)[:, : (H + 1) // 2 * 2]
    x = torch.cat((x, x[:, :, -1:]), dim=2)[:, :, : (W + 1) // 2 * 2]
    return x[:, ::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, ::2] + x[:, 1::2, 1::2]


def _put_back(taps: list[Tensor]) -> Tensor:
    """Nine tap outputs ``(B, h, w, C)`` to the map ``(B, 2h, 2w, C)``, by parity of its pixels."""
    B, h, w, C = taps[0].shape
    rows = [_interleave(taps[3 * dy + 1], taps[3 * dy + 2], taps[3 * dy], axis=2) for dy in range(KERNEL)]
    above, even, odd = rows  # (B, h, 2w, C): what window rows put on the row above, on their own, below
    return _interleave(even, odd, above, axis=1)


def _interleave(even: Tensor, odd: Tensor, before: Tensor, axis: int) -> Tensor:
    """Pixels of an axis: even ones from one tap, odd ones from this window and the next."""
    B, h, w, C = even.shape
    if axis == 2:
        odd = odd + F.pad(before[:, :, 1:], (0, 0, 0, 1))
        return torch.cat((even, odd), dim=3).reshape(B, h, 2 * w, C)
    odd = odd + F.pad(before[:, 1:], (0, 0, 0, 0, 0, 1))
    return torch.cat((even, odd), dim=2).reshape(B, 2 * h, w, C)


class SlicedRASA(nn.Module):
    """`RASA` with keys and values from matrices of their own (paper, section 3.2).

    Args:
        rasa: Whose weights it takes.
    """

    def __init__(self, rasa: RASA) -> None:
        super().__init__()
        self.rasa = rasa
        replace_layers(rasa, {SpatialReduction: FoldedReduction})
        self.heads = _Heads(rasa.kv.weight, rasa.num_heads)
        del rasa.kv  # which would be a weight in no file

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        return recurse(self._step, x, self.rasa.num_recursions)

    def _step(self, x: Tensor) -> Tensor:
        rasa = self.rasa
        B, H, W, C = x.shape
        q = rasa.atrous(rasa.q(x).permute(0, 3, 1, 2))  # (B, C, H, W)
        q = q.permute(0, 2, 3, 1).reshape(B, H * W, C)
        reduced = rasa.reduce(x)
        return rasa.proj(self.heads(q, reduced.reshape(B, -1, C))).reshape(B, H, W, C)


class FoldedReduction(nn.Module):
    """`SpatialReduction` with its kernel as the matrix that it is.

    Args:
        reduction: Whose weights it takes.
    """

    def __init__(self, reduction: SpatialReduction) -> None:
        super().__init__()
        self.ratio = reduction.ratio
        self.weight = nn.Parameter(reduction.matrix().detach().clone(), requires_grad=False)
        self.bias = reduction.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H // R, W // R, C)``."""
        return reduce_windows(x, self.ratio, self.weight, self.bias)


class SlicedClassAttention(nn.Module):
    """`ClassAttention` with keys and values from matrices of their own.

    Args:
        attention: Whose weights it takes.
    """

    def __init__(self, attention: ClassAttention) -> None:
        super().__init__()
        self.q, self.proj = attention.q, attention.proj
        self.heads = _Heads(attention.kv.weight, attention.num_heads)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(B, 1 + L, C)`` to the class token's update ``(B, 1, C)``."""
        return self.proj(self.heads(self.q(x[:, :1]), x))


class _Heads(nn.Module):
    """Attention of queries ``(B, L, C)`` to tokens ``(B, S, C)``: ``(B, L, C)``."""

    def __init__(self, kv_weight: Tensor, num_heads: int) -> None:
        super().__init__()
        k, v = kv_weight.chunk(2)
        self.num_heads = num_heads
        self.k = _linear(k * (k.shape[0] // num_heads) ** -0.5)
        self.v = _linear(v)

    def forward(self, q: Tensor, tokens: Tensor) -> Tensor:
        B, L, C = q.shape
        q, k, v = (self._split(t) for t in (q, self.k(tokens), self.v(tokens)))  # (B, N, L or S, d)
        weights = (q @ k.transpose(2, 3)).softmax(dim=-1)  # (B, N, L, S)
        return (weights @ v).transpose(1, 2).reshape(B, L, C)

    def _split(self, x: Tensor) -> Tensor:
        B, L, C = x.shape
        return x.reshape(B, L, self.num_heads, C // self.num_heads).transpose(1, 2)


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A layer of these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device=weight.device)
    layer.to(weight.dtype).requires_grad_(False)
    layer.weight.copy_(weight)
    if bias is not None:
        layer.bias.copy_(bias)
    return layer
