"""Opening a panoptic network from mmdetection's config and a checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lvt_core.checkpoint import load_content, weights_of
from lvt_core.checkpoint.fit import build_to_fit
from lvt_core.checkpoint.read import mmengine_globals, read_checkpoint
from lvt_core.errors import UserError
from lvt_core.frameworks import require_installed
from lvt_core.predict.settings import find, overlay_numbers


@dataclass(frozen=True)
class PanopticNetwork:
    """A panoptic network and the meaning of its outputs.

    Attributes:
        model: mmdetection's model, in evaluation mode.
        classes: Names, things before stuff.
        num_things: How many of them are things.
        palette: A colour for each class, if the config has them.
    """

    model: nn.Module
    classes: Sequence[str]
    num_things: int
    palette: Sequence[Sequence[int]] | None = None


def open_panoptic(
    config: str | Path, checkpoint: str | Path, *, settings: Mapping[str, Any] | None = None
) -> PanopticNetwork:
    """Build a config's network and load its weights, strictly.

    Args:
        config: The config file of the network.
        checkpoint: A file of ours, of a training run, or of the original release.
        settings: Settings of the checkpoint's run, whose numbers replace the config's.

    Raises:
        UserError: mmdetection is not installed, or a file is wrong or does not fit.
    """
    require_installed("mmengine", "mmcv", "mmdet", extra="dense")
    from mmengine.logging import HistoryBuffer
    from mmengine.registry import DefaultScope

    from lvt_core.openmmlab.commands import datasets_of, load_config, without_pretrained

    cfg = load_config(config)
    if settings:
        overlay_numbers(cfg.model, settings, file=checkpoint)
    from mmdet.registry import DATASETS, MODELS  # after the config's imports, which prepare mmdetection

    scope = cfg.get("default_scope", "mmengine")
    test_loader = _section(cfg, "test_dataloader", config)
    dataset = datasets_of(_section(test_loader, "dataset", f"{config}: test_dataloader"))[0]
    with DefaultScope.overwrite_default_scope(scope):  # the caller's own scope comes back
        kind = DATASETS.get(str(dataset.get("type")))
    own = find(settings, "metainfo")
    meta = own or dataset.get("metainfo") or getattr(kind, "METAINFO", {})
    allowed = mmengine_globals(HistoryBuffer)
    content = read_checkpoint(checkpoint, allowed=allowed) if settings else None
    try:
        without_pretrained(_section(cfg, "model", config))
        with warnings.catch_warnings(), DefaultScope.overwrite_default_scope(scope):
            warnings.simplefilter("ignore")  # losses, which only training uses, announce their defaults
            if content:
                model = build_to_fit(lambda: MODELS.build(cfg.model), weights_of(content, str(checkpoint)))
            else:
                model = MODELS.build(cfg.model)
    except UserError:
        raise
    except Exception as error:  # any class is called with anything
        reason = " ".join(str(error.args[0] if error.args else error).split())
        raise UserError(f"{config}: model: {type(error).__name__}: {reason}") from error
    content = content or read_checkpoint(checkpoint, allowed=allowed)
    load_content(model, content, name=str(checkpoint))
    classes, things = _names(meta, "classes", config), _names(meta, "thing_classes", config)
    if classes[: len(things)] != things:
        raise UserError(f"{config}: metainfo.classes must begin with metainfo.thing_classes; stuff follows")
    palette = meta.get("palette")
    return PanopticNetwork(
        model.eval(), classes, len(things), [list(c) for c in palette] if palette else None
    )


def _section(cfg: Any, key: str, place: str | Path) -> Any:
    """Return a section of a config.

    Raises:
        UserError: The section is missing, or is not a dict.
    """
    settings = cfg.get(key)
    if not isinstance(settings, Mapping):
        raise UserError(f"{place}: {key}={settings!r}: must be a dict")
    return settings


def _names(meta: Any, key: str, config: str | Path) -> tuple[str, ...]:
    if not meta.get(key):
        raise UserError(f"{config}: its test data set's metainfo has no {key}")
    return tuple(meta[key])
