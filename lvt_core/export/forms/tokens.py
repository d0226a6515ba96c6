"""Other forms of the layers with a convolution: the layers behind it see tokens.

Legend: B batch, H W map, C channels.
"""

from __future__ import annotations

from torch import Tensor, nn

from lvt_core.layers.mlp import DepthwiseMlp
from lvt_core.layers.patch_embed import PatchEmbed


def _tokens(x: Tensor) -> Tensor:
    """Map ``(B, C, H, W)`` to tokens ``(B, H*W, C)``.

    The output of a convolution is channels-last in OpenVINO. If it stayed a map, the next layer would take it
    for channels-first and copy it pixel by pixel.
    """
    B, C, H, W = x.shape
    return x.permute(0, 2, 3, 1).reshape(B, H * W, C)


class TokenNorm(nn.LayerNorm):
    """`LayerNorm` on tokens: OpenVINO has no single kernel for maps.

    Args:
        norm: Layer whose weights are used.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__(norm.normalized_shape, norm.eps, device="meta")
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a map ``(B, H, W, C)`` or tokens, same shape."""
        if x.dim() < 4:
            return super().forward(x)
        return super().forward(x.flatten(1, 2)).reshape(x.shape)


class TokenPatchEmbed(nn.Module):
    """`PatchEmbed` that normalises tokens.

    Args:
        embed: Layer whose weights are used.
    """

    def __init__(self, embed: PatchEmbed) -> None:
        super().__init__()
        self.proj, self.norm = embed.proj, embed.norm

    def forward(self, x: Tensor) -> Tensor:
        """Image or map ``(B, C_in, H, W)`` to ``(B, H/stride, W/stride, C)``, rounded up."""
        x = self.proj(x)  # (B, C, h, w)
        B, C, h, w = x.shape
        return self.norm(_tokens(x)).reshape(B, h, w, C)


class TokenDepthwiseMlp(nn.Module):
    """`DepthwiseMlp` whose activation and second layer see tokens.

    Args:
        mlp: Layer whose weights are used.
    """

    def __init__(self, mlp: DepthwiseMlp) -> None:
        super().__init__()
        self.fc1, self.dwconv, self.act, self.fc2 = mlp.fc1, mlp.dwconv, mlp.act, mlp.fc2

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        hidden = self.dwconv(self.fc1(x).permute(0, 3, 1, 2))  # (B, hidden, H, W)
        return self.fc2(self.act(_tokens(hidden))).reshape(x.shape)
