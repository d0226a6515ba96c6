"""Teachers of tokens: classifiers that give logits at every place of their last feature map."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from timm.data import resolve_data_config
from torch import Tensor

from lvt_classify.data.classes import ClassIndex
from lvt_classify.facts import read_facts
from lvt_classify.models import count_outputs, load_weights, new_model
from lvt_core.checkpoint import Facts, facts_of, read_checkpoint
from lvt_core.errors import UserError


class Teacher(NamedTuple):
    """A classifier that labels tokens.

    Attributes:
        model: Model, in evaluation mode.
        facts: Facts of its checkpoint.
        pictures: How it reads a picture, in timm's words.
    """

    model: Any
    facts: Facts
    pictures: dict[str, Any]


def create_teacher(
    name: str,
    *,
    num_classes: int | None,
    checkpoint: str = "",
    img_size: int,
    device: torch.device,
) -> Teacher:
    """Create a timm model with weights, in evaluation mode.

    Args:
        name: timm model name.
        num_classes: Number of classes; ``None`` for the teacher's.
        checkpoint: Path of the weights; ``''`` for timm's pretrained ones.
        img_size: Side of the images that the model will see.
        device: Device that it runs on.

    Raises:
        UserError: The model or its weights do not exist, it has other classes, or it has no feature map.
    """
    content = read_checkpoint(checkpoint) if checkpoint else {}
    facts = read_facts(content, checkpoint) if checkpoint else Facts()
    kwargs = facts.model_kwargs if name == facts.model else {}
    if checkpoint:
        outputs = count_outputs(new_model(name, kwargs), content, checkpoint)
        require_classes(f"teacher {checkpoint}", outputs, num_classes)
        classes: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
        model = new_model(name, kwargs, **classes)
        load_weights(model, checkpoint, content=content)
    else:
        model = new_model(name, pretrained=True)
        require_classes(f"teacher {name}", model.num_classes, num_classes)
    model = model.to(device).eval()
    pictures = resolve_data_config(dict(facts.pictures), model=model)
    try:
        with torch.no_grad():
            dense_teacher_logits(model, torch.zeros(1, 3, img_size, img_size, device=device))
    except UserError:
        raise
    except Exception as error:  # models assert, and fail in any of their layers
        reason = str(error) or type(error).__name__
        raise UserError(
            f"teacher {name}: cannot label tokens of images of {img_size} px ({reason})"
        ) from error
    return Teacher(model, facts, pictures)


def require_classes(teacher: str, outputs: int | None, num_classes: int | None) -> None:
    """Reject a teacher of another number of classes.

    Raises:
        UserError: The numbers differ.
    """
    if None not in (outputs, num_classes) and outputs != num_classes:
        raise UserError(
            f"{teacher}: the teacher has {outputs} classes, not {num_classes}; take a teacher of your "
            "classes, or give each folder its index in the teacher with --class-map FILE and "
            f"--num-classes {outputs}"
        )


def check_teacher_classes(checkpoint: str, classes: ClassIndex) -> None:
    """Reject a teacher's checkpoint that gives the classes of a run other indices.

    Raises:
        UserError: A class has another index, or none.
    """
    known = facts_of(read_checkpoint(checkpoint), checkpoint).class_to_idx if checkpoint else None
    for name, index in (classes.class_to_idx or {}).items():
        if known and known.get(name) != index:
            theirs = f"the index {known[name]}" if name in known else "no index"
            raise UserError(
                f"--teacher-checkpoint {checkpoint}: the teacher gives {name!r} {theirs}, this run {index}; "
                "give the folders the teacher's indices with --class-map FILE"
            )


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
    if features.ndim == 3 and getattr(model, "global_pool", "") == "avg" and _has_grid(model):
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


def _has_grid(model: Any) -> bool:
    return hasattr(getattr(model, "patch_embed", None), "dynamic_feat_size")


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
