"""Teachers of tokens: classifiers that give logits at every place of their last feature map."""

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
    """Create a timm model with weights, in evaluation mode.

    Args:
        name: timm model name.
        num_classes: Number of classes; ``None`` for the model's default.
        checkpoint: Path of the weights; ``''`` for timm's pretrained ones.
        img_size: Side of the images that the model will see.
        device: Device that it runs on.

    Raises:
        UserError: The model or its weights do not exist, or it has no feature map.
    """
    classes: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    model = new_model(name, pretrained=not checkpoint, **classes)
    if checkpoint:
        load_weights(model, checkpoint)
    elif num_classes not in (None, model.default_cfg["num_classes"]):
        raise UserError(
            f"teacher {name}: its pretrained head has {model.default_cfg['num_classes']} classes, not "
            f"{num_classes}; give the checkpoint of a teacher with your classes"
        )
    model = model.to(device).eval()
    try:
        with torch.no_grad():
            dense_teacher_logits(model, torch.zeros(1, 3, img_size, img_size, device=device))
    except UserError:
        raise
    except (AssertionError, ValueError, RuntimeError) as error:
        raise UserError(f"teacher {name}: does not support images of {img_size} px ({error})") from error
    return model


def dense_teacher_logits(model: Any, images: Tensor) -> Tensor:
    """Return the logits of every place: images ``(B, 3, H, W)`` to ``(B, K, h, w)``.

    LVT's classifier has a head for tokens. The head of another model is applied to each place as if the place
    were a feature map of 1 x 1, which pooling does not change.

    Raises:
        UserError: The model has no feature map.
    """
    if hasattr(model, "forward_dense"):
        return model.forward_dense(images)
    features = model.forward_features(images)
    if features.ndim == 3 and getattr(model, "global_pool", "") == "avg":
        return _from_tokens(model, features, images)
    if features.ndim != 4:
        raise UserError(f"teacher {type(model).__name__}: has no feature map, so it cannot label tokens")
    if getattr(model, "output_fmt", "NCHW") == "NHWC":
        batch, h, w, channels = features.shape
        places = features.reshape(-1, 1, 1, channels)
    else:
        batch, channels, h, w = features.shape
        places = features.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
    logits = model.forward_head(places)  # (B * h * w, K)
    return logits.view(batch, h, w, -1).permute(0, 3, 1, 2)


def _from_tokens(model: Any, features: Tensor, images: Tensor) -> Tensor:
    """Return the logits of patch tokens ``(B, prefix + L, C)``; the transformer pools by averaging."""
    prefix = getattr(model, "num_prefix_tokens", 0)
    batch, count, channels = features.shape
    h, w = model.patch_embed.dynamic_feat_size(images.shape[-2:])
    if h * w != count - prefix:
        raise UserError(
            f"teacher {type(model).__name__}: its {count - prefix} tokens do not form a map of {h} x {w}"
        )
    head = features[:, :prefix, None].expand(-1, -1, h * w, -1)  # (B, prefix, L, C)
    places = torch.cat((head, features[:, None, prefix:]), dim=1)  # (B, prefix + 1, L, C)
    places = places.transpose(1, 2).reshape(batch * h * w, prefix + 1, channels)
    return model.forward_head(places).view(batch, h, w, -1).permute(0, 3, 1, 2)
