"""The network in a form that suits runtimes: ordinary operators on tensors of at most four dimensions.

`exportable` copies a model and replaces layers that delegates reject or run slowly. The function stays the
same; weights are folded where that saves an operator.

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
from lvt_core.layers.rasa import RASA, Recursion, SpatialReduction, reduce_windows
from lvt_core.layers.window_attention import KERNEL, NUM_TAPS, STRIDE
from lvt_core.segformer import SegFormerHead


def exportable(model: nn.Module) -> nn.Module:
    """Copy a model for inference, with the same function.

    CSA becomes slices and one matrix product per tap, its put-back sums and interleaving (`SlicedCSA`);
    attention becomes two matrix products and a softmax, with its scale in the key's weights;
    layers behind a convolution see tokens; a SegFormer head is folded.
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
    return replace_layers(model, forms).requires_grad_(False)  # converters read it on the new layers, too


class Outputs(nn.Module):
    """A model whose outputs are always a tuple.

    Args:
        model: Model whose output is a tensor, or a list or tuple of them.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(x)
        return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def replace_layers(module: nn.Module, forms: Mapping[type, Callable[..., nn.Module]]) -> nn.Module:
    """Replace a model's layers by other forms, by type.

    Args:
        module: Model; it is changed.
        forms: Function that makes the other form of a layer, by type.

    Returns:
        Model, or its other form if the model itself is such a layer.
    """
    if type(module) in forms:
        return forms[type(module)](module)
    for name, child in module.named_children():
        setattr(module, name, replace_layers(child, forms))
    return module


class SlicedCSA(nn.Module):
    """`CSA` without windows in memory (paper, section 3.1).

    Args:
        csa: Layer whose weights are used.
    """

    def __init__(self, csa: CSA) -> None:
        super().__init__()
        self.num_heads = csa.num_heads
        # A softmax over the last axis handles nine numbers at a time; with keys first it handles vectors.
        weight, bias = (self._keys_first(t * csa.scale) for t in (csa.attn.weight, csa.attn.bias))
        self.attn = _linear(weight / STRIDE**2, bias)  # the core is a sum, not a mean
        self.values = nn.ModuleList(_linear(weight) for weight in csa.tap_weight)
        self.proj = csa.proj

    def _keys_first(self, t: Tensor) -> Tensor:
        """Reorder rows from (head, query, key) to (key, head, query)."""
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
    """Compute four times the mean of each window's 2 x 2 core, ``(B, h, w, C)``.

    With odd or free sizes a core may lie half outside; then its last row or column counts twice: the map is
    extended by one row and column, and cut to the size of the windows.
    """
    _, H, W, _ = x.shape
    if isinstance(H, int) and isinstance(W, int) and H % 2 == W % 2 == 0:
        return pixels[4] + pixels[5] + pixels[7] + pixels[8]
    x = torch.cat((x, x[:, -1:]), dim=1)[:, : (H + 1) // 2 * 2]
    x = torch.cat((x, x[:, :, -1:]), dim=2)[:, :, : (W + 1) // 2 * 2]
    return x[:, ::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, ::2] + x[:, 1::2, 1::2]


def _put_back(taps: list[Tensor]) -> Tensor:
    """Put nine tap outputs ``(B, h, w, C)`` into the map ``(B, 2h, 2w, C)``, by parity of its pixels."""
    B, h, w, C = taps[0].shape
    rows = [_interleave(taps[3 * dy + 1], taps[3 * dy + 2], taps[3 * dy], axis=2) for dy in range(KERNEL)]
    above, even, odd = rows  # (B, h, 2w, C): outputs for the row above, the own row, the row below
    return _interleave(even, odd, above, axis=1)


def _interleave(even: Tensor, odd: Tensor, before: Tensor, axis: int) -> Tensor:
    """Interleave the pixels of an axis: even ones have one tap, odd ones this window's and the next one's."""
    B, h, w, C = even.shape
    if axis == 2:
        odd = odd + F.pad(before[:, :, 1:], (0, 0, 0, 1))
        return torch.cat((even, odd), dim=3).reshape(B, h, 2 * w, C)
    odd = odd + F.pad(before[:, 1:], (0, 0, 0, 0, 0, 1))
    return torch.cat((even, odd), dim=2).reshape(B, 2 * h, w, C)


class SlicedRASA(Recursion):
    """`RASA` with separate matrices for keys and values (paper, section 3.2).

    Args:
        rasa: Layer whose weights are used.
    """

    def __init__(self, rasa: RASA) -> None:
        super().__init__(rasa.num_recursions)
        self.rasa = rasa
        replace_layers(rasa, {SpatialReduction: FoldedReduction})
        self.heads = _Heads(rasa.kv.weight, rasa.num_heads)
        del rasa.kv  # the weight would not be in the file

    def step(self, x: Tensor) -> Tensor:
        """Compute one attention step: ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        rasa = self.rasa
        B, H, W, C = x.shape
        q = rasa.atrous(rasa.q(x).permute(0, 3, 1, 2))  # (B, C, H, W)
        q = q.permute(0, 2, 3, 1).reshape(B, H * W, C)
        reduced = rasa.reduce(x)
        return rasa.proj(self.heads(q, reduced.reshape(B, -1, C))).reshape(B, H, W, C)


class FoldedReduction(nn.Module):
    """`SpatialReduction` whose kernel is stored as a matrix.

    Args:
        reduction: Layer whose weights are used.
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
    """`ClassAttention` with separate matrices for keys and values.

    Args:
        attention: Layer whose weights are used.
    """

    def __init__(self, attention: ClassAttention) -> None:
        super().__init__()
        self.q, self.proj = attention.q, attention.proj
        self.heads = _Heads(attention.kv.weight, attention.num_heads)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(B, 1 + L, C)`` to the class token's update ``(B, 1, C)``."""
        return self.proj(self.heads(self.q(x[:, :1]), x))


class _Heads(nn.Module):
    """The attention of queries ``(B, L, C)`` to tokens ``(B, S, C)``, with result ``(B, L, C)``."""

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
    """Make a linear layer with given weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device=weight.device)
    layer.to(weight.dtype).requires_grad_(False)
    layer.weight.copy_(weight)
    if bias is not None:
        layer.bias.copy_(bias)
    return layer
