"""SegFormer: a backbone's four maps become class logits at stride 4.

Legend: B batch, H W the image's height and width, C_i the channels of stage i, E embed_dim.

The published head has these steps. Each stage's map passes a linear layer ``C_i -> E`` and is resized to
stride 4, bilinearly. The four results are concatenated, stage 4 first. Then follow a 1x1 convolution
``4 E -> E``, batch norm, ReLU, dropout, and a 1x1 convolution to the classes. mmsegmentation's head of the
same name is another function: it has a norm and a ReLU on each branch.

Everything before the batch norm is linear, and bilinear weights add up to 1. So the fusion may be applied
to each branch before the branch is enlarged:

    fuse(concat_i up(P_i x_i + b_i))  =  sum_i up(F_i (P_i x_i + b_i))
                                      =  sum_i up((F_i P_i) x_i)  +  sum_i F_i b_i

where ``F_i`` are the fusion's columns for branch i. The map with ``4 E`` channels at stride 4 never exists,
and the work there falls from ``4 E E`` to ``C_1 E`` multiply-adds per pixel. In evaluation the batch norm is
linear, too, and is folded into the same matrices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvt_core.backbone import LVT
from lvt_core.config import LVTConfig


class SegFormer(nn.Module):
    """LVT with a SegFormer head; parameters have the names of the trained models.

    Args:
        config: Architecture of the backbone; the head uses its `num_classes`.
        embed_dim: Width of the head.
        drop_rate: Dropout before the head's last layer.
    """

    def __init__(
        self, config: LVTConfig | None = None, *, embed_dim: int = 256, drop_rate: float = 0.1
    ) -> None:
        super().__init__()
        config = config or LVTConfig(num_classes=150)
        self.config = config
        self.backbone = LVT(config)
        self.decode_head = SegFormerHead(
            config.embed_dims, embed_dim=embed_dim, num_classes=config.num_classes, drop_rate=drop_rate
        )

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> SegFormer:
        """Load a hub folder, as `lvt_core.hub.from_pretrained` does."""
        from lvt_core.hub import from_pretrained  # imports this module

        return from_pretrained(name, **options)

    def save_pretrained(self, folder: str) -> None:
        """Write these weights as a hub folder; `lvt hub` also writes the facts of a checkpoint."""
        from lvt_core.hub.card import Origin
        from lvt_core.hub.folder import write_folder
        from lvt_core.predict.open_model import Opened

        write_folder(Opened("segformer", self), folder, origin=Origin())

    def forward(self, x: Tensor) -> Tensor:
        """Turn images ``(B, in_chans, H, W)`` into logits ``(B, num_classes, H/4, W/4)``, rounded up."""
        return self.decode_head(self.backbone(x))


class SegFormerLabels(SegFormer):
    """A SegFormer whose output is the class of each pixel: resize and argmax are in the network.

    Args:
        model: SegFormer that shares its layers, under the same names.
    """

    def __init__(self, model: SegFormer) -> None:
        nn.Module.__init__(self)
        self.config, self.backbone, self.decode_head = model.config, model.backbone, model.decode_head

    def forward(self, x: Tensor) -> Tensor:
        """Turn images ``(B, in_chans, H, W)`` into classes ``(B, H, W)``, int32."""
        logits = super().forward(x)  # (B, classes, H/4, W/4)
        logits = F.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=False)
        return logits.argmax(dim=1).to(torch.int32)


class SegFormerHead(nn.Module):
    """The SegFormer head of the published LVT.

    Args:
        in_dims: Channels of the maps, finest first.
        embed_dim: Width of the branches and of the fused map.
        num_classes: Classes.
        drop_rate: Rate at which whole channels are dropped before the last layer.

    Raises:
        ValueError: There are no classes or no maps, or the width is not a positive integer.
    """

    def __init__(
        self, in_dims: Sequence[int], *, embed_dim: int = 256, num_classes: int, drop_rate: float = 0.1
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes={num_classes}: a SegFormer head needs at least 1")
        if not isinstance(embed_dim, int) or isinstance(embed_dim, bool) or embed_dim < 1:
            raise ValueError(f"embed_dim={embed_dim!r}: must be an integer >= 1")
        if not in_dims:
            raise ValueError(f"in_dims={in_dims}: a SegFormer head needs at least one map")
        self.embed_dim = embed_dim
        self.projections = nn.ModuleList(nn.Linear(dim, embed_dim) for dim in in_dims)
        # The columns have the published order: the coarsest branch first.
        self.fuse = nn.Linear(len(in_dims) * embed_dim, embed_dim, bias=False)
        self.norm = nn.BatchNorm2d(embed_dim)
        self.dropout = nn.Dropout2d(drop_rate)
        self.classifier = nn.Conv2d(embed_dim, num_classes, kernel_size=1)
        nn.init.kaiming_normal_(self.fuse.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Turn maps ``(B, C_i, H_i, W_i)``, finest first, into logits ``(B, num_classes, H_1, W_1)``."""
        weights, bias = self._branches()
        if self.training:
            fused = self.norm(_add_up(maps, _kernels(weights), bias))  # (B, E, H_1, W_1)
        else:
            weights, bias = self._with_norm(weights, bias)
            fused = _add_up(maps, _kernels(weights), bias)
        return self.classifier(self.dropout(F.relu(fused)))

    def fold(self) -> FoldedSegFormerHead:
        """Fold the head for inference into one matrix per branch."""
        with torch.no_grad():
            weights, bias = self._with_norm(*self._branches())
            return FoldedSegFormerHead(weights, bias, self.classifier)

    def literal_macs(self, map_sizes: Sequence[tuple[int, int]]) -> int:
        """Count the multiply-adds of one image for the head as published.

        Args:
            map_sizes: Height and width of each map.
        """
        pixels = [height * width for height, width in map_sizes]
        layers: Iterable[Any] = self.projections
        branches = sum(n * layer.weight.numel() for n, layer in zip(pixels, layers, strict=True))
        return branches + pixels[0] * (self.fuse.weight.numel() + self.classifier.weight.numel())

    def _branches(self) -> tuple[list[Tensor], Tensor]:
        """Compute ``F_i P_i``, each ``(E, C_i)``, and ``sum_i F_i b_i``, ``(E,)``."""
        shares = reversed(self.fuse.weight.split(self.embed_dim, dim=1))  # each (E, E), finest first
        weights, bias = [], self.fuse.weight.new_zeros(self.embed_dim)
        for share, projection in zip(shares, self.projections, strict=True):
            weights.append(share @ projection.weight)
            bias = bias + share @ projection.bias
        return weights, bias

    def _with_norm(self, weights: list[Tensor], bias: Tensor) -> tuple[list[Tensor], Tensor]:
        """Fold the batch norm in its evaluation form into the branches."""
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # (E,)
        bias = (bias - norm.running_mean) * scale + norm.bias
        return [scale[:, None] * weight for weight in weights], bias


class FoldedSegFormerHead(nn.Module):
    """`SegFormerHead` for inference: one matrix per branch, no norm. Made by `SegFormerHead.fold`.

    Args:
        weights: ``(E, C_i)`` per branch, finest first.
        bias: Bias of the sum over all branches, ``(E,)``.
        classifier: Last layer of the head; it is copied.
    """

    def __init__(self, weights: Sequence[Tensor], bias: Tensor, classifier: nn.Conv2d) -> None:
        super().__init__()
        # Stored as convolution kernels: delegates reject kernels that the graph computes from a weight.
        self.kernels = nn.ParameterList(kernel.detach().clone() for kernel in _kernels(weights))
        self.bias = nn.Parameter(bias.detach().clone())
        self.classifier = nn.Conv2d(classifier.in_channels, classifier.out_channels, kernel_size=1)
        self.classifier.to(bias).load_state_dict(classifier.state_dict())

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Turn maps ``(B, C_i, H_i, W_i)``, finest first, into logits ``(B, num_classes, H_1, W_1)``."""
        return self.classifier(F.relu(_add_up(maps, list(self.kernels), self.bias)))


def _kernels(weights: Sequence[Tensor]) -> list[Tensor]:
    """View matrices ``(E, C_i)`` as convolution kernels ``(E, C_i, 1, 1)``."""
    return [weight[:, :, None, None] for weight in weights]


def _add_up(maps: Sequence[Tensor], kernels: Sequence[Tensor], bias: Tensor) -> Tensor:
    """Compute ``sum_i up(W_i x_i) + bias`` at the finest map's size, ``(B, E, H_1, W_1)``."""
    size = maps[0].shape[2:]
    total = None
    for i, (x, kernel) in enumerate(zip(maps, kernels, strict=True)):
        # Upsampling keeps constants, so the bias is cheapest on the smallest map.
        here = bias if i == len(maps) - 1 else None
        share = F.conv2d(x, kernel, here)  # (B, E, H_i, W_i)
        if i > 0:
            share = F.interpolate(share, size=size, mode="bilinear", align_corners=False)
        total = share if total is None else total + share
    assert total is not None
    return total
