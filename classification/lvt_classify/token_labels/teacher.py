"""A classifier as a teacher of tokens: its logits at every place of its last map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lvt_classify.models import load_weights, new_model
from lvt_core.errors import UserError


def create_teacher(
    name: str,
    *,
    num_classes: int | None,
    checkpoint: str = "",
    img_size: int,
    device: torch.device,
) -> Any:
    """A timm model with weights, in evaluation mode.

    Args:
        name: timm model name.
        num_classes: Its classes; ``None`` for the model's own.
        checkpoint: Its weights; ``''`` for timm's pretrained ones.
        img_size: Side of the images that it will see.
        device: Where it runs.

    Raises:
        UserError: There is no such model, no such weights, or it has no map of features.
    """
    classes: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    model = new_model(name, pretrained=not checkpoint, **classes)
    if checkpoint:
        load_weights(model, checkpoint)
    elif num_classes not in (None, model.default_cfg["num_classes"]):
        raise UserError(
            f"teacher {name}: its pretrained head has {model.default_cfg['num_classes']} classes, not "
            f"{num_classes}; give weights of a teacher of your classes"
        )
    model = model.to(device).eval()
    try:
        with torch.no_grad():
            dense_teacher_logits(model, torch.zeros(1, 3, img_size, img_size, device=device))
    except UserError:
        raise
    except (AssertionError, ValueError, RuntimeError) as error:
        raise UserError(f"teacher {name}: does not take images of {img_size} px ({error})") from error
    return model


def dense_teacher_logits(model: Any, images: Tensor) -> Tensor:
    """Logits of every place: images ``(B, 3, H, W)`` to ``(B, K, h, w)``.

    LVT's classifier has a head for tokens. Of other models, the classification head is applied to each
    place as if it were a map of 1 x 1, where pooling changes nothing.

    Raises:
        UserError: The model has no map of features.
    """
    if hasattr(model, "forward_dense"):
        return model.forward_dense(images)
    features = model.forward_features(images)
    if features.ndim == 3 and getattr(model, "global_pool", "") == "avg":
        return _from_tokens(model, features, images)
    if features.ndim != 4:
        raise UserError(f"{type(model).__name__} has no map of features, so it cannot label tokens")
    if getattr(model, "output_fmt", "NCHW") == "NHWC":
        batch, h, w, channels = features.shape
        places = features.reshape(-1, 1, 1, channels)
    else:
        batch, channels, h, w = features.shape
        places = features.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
    logits = model.forward_head(places)  # (B * h * w, K)
    return logits.view(batch, h, w, -1).permute(0, 3, 1, 2)


def _from_tokens(model: Any, features: Tensor, images: Tensor) -> Tensor:
    """Patch tokens ``(B, prefix + L, C)`` of a plain transformer that pools by averaging."""
    prefix = getattr(model, "num_prefix_tokens", 0)
    batch, count, channels = features.shape
    h, w = model.patch_embed.dynamic_feat_size(images.shape[-2:])
    if h * w != count - prefix:
        raise UserError(f"{type(model).__name__}: {count - prefix} tokens are no {h} x {w} map")
    head = features[:, :prefix, None].expand(-1, -1, h * w, -1)  # (B, prefix, L, C)
    places = torch.cat((head, features[:, None, prefix:]), dim=1)  # (B, prefix + 1, L, C)
    places = places.transpose(1, 2).reshape(batch * h * w, prefix + 1, channels)
    return model.forward_head(places).view(batch, h, w, -1).permute(0, 3, 1, 2)
