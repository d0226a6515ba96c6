"""The published classifier: LVT, class attention, and a head on every token (as in VOLO).

Legend: B batch, H W the image, h = ceil(H/32), w = ceil(W/32), L = h * w tokens, C = embed_dims[-1],
K classes.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lvt_core.backbone import Stage, check_input_size
from lvt_core.classifiers.mix_token import sample_box, swap_box
from lvt_core.classifiers.timm_classifier import TimmClassifier
from lvt_core.config import LVTConfig
from lvt_core.layers import ClassBlock
from lvt_core.layers.init import init_linear_

MIX_SCALE = 8  # cells of the first stage's map (stride 4) per token of the last (stride 32)
NUM_CLASS_BLOCKS = 2


class TokenLogits(NamedTuple):
    """The logits and the box that the token-labelling loss needs.

    Attributes:
        cls: Class logits ``(B, K)``.
        tokens: Token logits ``(B, L, K)``, row-major, already swapped back.
        box: MixToken box ``(y0, x0, y1, x1)`` on the ``h x w`` grid.
    """

    cls: Tensor
    tokens: Tensor
    box: Tensor


class LVTClassifier(TimmClassifier):
    """`lvt_cls`: 5,521,844 parameters at 1000 classes.

    ``forward`` returns logits in training and in evaluation, so that any training loop can use it;
    `forward_tokens` returns what the token-labelling loss needs.

    Args:
        config: Architecture; ``num_classes=0`` leaves out the heads.
        global_pool: ``'token'`` (the class token), or ``''`` for all tokens from `forward_head`.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: ``global_pool`` is another value.
    """

    pools = ("token", "")

    def __init__(
        self,
        config: LVTConfig | None = None,
        *,
        global_pool: str = "token",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        config = config or LVTConfig()
        factory: Any = {"device": device, "dtype": dtype}
        super().__init__(config, global_pool=global_pool, **factory)
        dim = self.num_features
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim, **factory))
        self.class_blocks = nn.ModuleList(
            ClassBlock(
                dim,
                num_heads=config.num_heads[-1],
                drop=config.drop_rate,
                attn_drop=config.attn_drop_rate,
                **factory,
            )
            for _ in range(NUM_CLASS_BLOCKS)
        )
        self.norm = nn.LayerNorm(dim, **factory)
        self._make_heads()
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def _make_heads(self) -> None:
        self.head_drop = nn.Dropout(self.config.drop_rate)
        self.head, self.aux_head = self._make_head(), self._make_head()
        if self.num_classes:
            init_linear_(self.head, self.aux_head)

    def _make_head(self) -> nn.Module:
        if not self.num_classes:
            return nn.Identity()
        return nn.Linear(self.num_features, self.num_classes, **self._factory())

    def no_weight_decay(self) -> set[str]:
        """Name the parameters with two or more dimensions that have no weight decay."""
        return {"cls_token"}

    def _drop_token_mixing(self) -> None:
        self.class_blocks = nn.ModuleList()
        self.register_parameter("cls_token", None)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Turn tokens ``(B, 1 + L, C)`` into logits ``(B, K)``.

        The logits are ``head(class token) + 0.5 * max over tokens of aux_head(token)``. With
        ``pre_logits``, or without classes, the result is the class token ``(B, C)``; with
        ``global_pool=''`` it is all tokens, unchanged.
        """
        if self.global_pool == "":
            return x
        x = self.head_drop(x)
        if pre_logits or self.num_classes == 0:
            return x[:, 0]
        return self.head(x[:, 0]) + 0.5 * self.aux_head(x[:, 1:]).amax(dim=1)

    def forward_tokens(self, x: Tensor, box: Tensor) -> TokenLogits:
        """Compute class and token logits of a batch that MixToken mixes.

        The box is mixed in the first stage's map, directly after its patch embedding; one unit of the box
        is 8 cells there. Inside of it, each sample takes the values of its partner in the reversed batch.
        The token logits are swapped back in the same box.

        Args:
            x: Images ``(B, in_chans, H, W)``.
            box: Box from `sample_box` on the grid of `token_grid`; an empty box mixes nothing.
        """
        check_input_size(x)
        first, *others = self.backbone.stages.children()
        assert isinstance(first, Stage)
        x = swap_box(first.patch_embed(x), box, scale=MIX_SCALE)  # (B, H/4, W/4, C_0)
        x = first.run_blocks(x)
        for stage in others:
            x = stage(x)
        h, w = x.shape[-2:]
        x = self.head_drop(self.finish_features(x))  # (B, 1 + L, C)
        tokens = self.aux_head(x[:, 1:]).unflatten(1, (h, w))  # (B, h, w, K)
        return TokenLogits(self.head(x[:, 0]), swap_box(tokens, box).flatten(1, 2), box)

    def forward_dense(self, x: Tensor) -> Tensor:
        """Compute the token logits of unmixed images: ``(B, in_chans, H, W)`` to ``(B, K, h, w)``."""
        x = self.backbone(x)[-1]
        h, w = x.shape[-2:]
        tokens = self.aux_head(self.finish_features(x)[:, 1:])  # (B, L, K)
        return tokens.transpose(1, 2).unflatten(2, (h, w))

    @staticmethod
    def token_grid(height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of tokens of an image."""
        return -(-height // 32), -(-width // 32)

    def sample_box(self, height: int, width: int) -> Tensor:
        """Draw a MixToken box for images of this size from PyTorch's generator."""
        return sample_box(*self.token_grid(height, width))

    def finish_features(self, x: Tensor) -> Tensor:
        """Turn the last map ``(B, C, h, w)`` into normalised tokens ``(B, 1 + L, C)``, class token first."""
        x = x.flatten(2).transpose(1, 2)  # (B, L, C)
        if self.cls_token is not None:  # it is pruned together with the class blocks
            x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)  # (B, 1 + L, C)
        for block in self.class_blocks:
            x = block(x)
        return self.norm(x)
