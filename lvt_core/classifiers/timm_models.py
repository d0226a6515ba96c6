"""timm entry points: after ``import lvt_core``, ``timm.create_model('lvt')`` and ``'lvt_cls'`` work."""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from lvt_core.checkpoint import timm_filter
from lvt_core.checkpoint.names import layout_of, rename_to_lvt
from lvt_core.classifiers.pooled_head import LVTPooled
from lvt_core.classifiers.timm_classifier import TimmClassifier
from lvt_core.classifiers.token_head import LVTClassifier
from lvt_core.config import LVTConfig

__all__ = ["lvt", "lvt_cls"]

PLAIN = ("global_pool", "device", "dtype")  # keywords beside the fields of `LVTConfig`


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "min_input_size": (3, 32, 32),
        "pool_size": (7, 7),
        "crop_pct": 0.96,
        "interpolation": "bicubic",
        "fixed_input_size": False,
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "backbone.stages.0.patch_embed.proj",
        "paper_ids": "arXiv:2112.10809",
        "paper_name": "Lite Vision Transformer with Enhanced Self-Attention",
        **kwargs,
    }


# No `url`: the published weights are under their owner's licence and are not ours to distribute.
default_cfgs = generate_default_cfgs(
    {
        "lvt.untrained": _cfg(classifier="head"),
        "lvt_cls.in1k": _cfg(classifier=("head", "aux_head"), pool_size=None),  # its features are tokens
    }
)


@register_model
def lvt(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Make LVT with a pooled head; keywords: fields of `LVTConfig`, ``global_pool``, and timm's own."""
    return _create("lvt", LVTPooled, pretrained, **kwargs)


@register_model
def lvt_cls(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Make the published classifier; keywords: fields of `LVTConfig`, ``global_pool``, timm's own."""
    return _create("lvt_cls", LVTClassifier, pretrained, **kwargs)


def _create(variant: str, model_cls: type[TimmClassifier], pretrained: bool, **kwargs: Any) -> nn.Module:
    out_indices = kwargs.pop("out_indices", (0, 1, 2, 3))
    return build_model_with_cfg(
        partial(_build, variant, model_cls),
        variant,
        pretrained,
        pretrained_filter_fn=timm_filter,
        feature_cfg={"out_indices": out_indices, "feature_cls": "getter", **kwargs.pop("feature_cfg", {})},
        **kwargs,
    )


def _build(variant: str, model_cls: type[TimmClassifier], **kwargs: Any) -> TimmClassifier:
    """Split timm's flat keywords into the architecture and the head's pooling."""
    names = LVTConfig.field_names()
    unknown = sorted(set(kwargs) - set(names) - set(PLAIN))
    if unknown:
        raise TypeError(
            f"{variant} does not support {', '.join(unknown)}; its keywords are {', '.join(names)}"
        )
    config = LVTConfig(**{name: kwargs[name] for name in names if name in kwargs})
    model = model_cls(config, **{name: kwargs[name] for name in PLAIN if name in kwargs})
    model.register_load_state_dict_pre_hook(rename_original)
    return model


def rename_original(model: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename the original release's weights in place before PyTorch copies them.

    So ``timm.create_model("lvt_cls", checkpoint_path=FILE)`` and `load_state_dict` take its files.
    """
    if not prefix and layout_of(state_dict) == "original":
        renamed = rename_to_lvt(state_dict, "original")
        state_dict.clear()
        state_dict.update(renamed)
