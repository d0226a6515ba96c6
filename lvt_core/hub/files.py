"""The two files of a network in a hub folder: ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from timm.models import save_for_hf

from lvt_core.checkpoint import Weights, save_checkpoint
from lvt_core.checkpoint.facts import Facts
from lvt_core.checkpoint.hub_config import CONFIG, WEIGHTS
from lvt_core.config import LVTConfig
from lvt_core.predict.open_model import Opened
from lvt_core.predict.settings import find, test_steps

SEGMENTOR, PANOPTIC = "segformer_lvt", "panoptic_fpn_lvt"  # architectures in a config.json
ARCHITECTURES = ("lvt", "lvt_cls", SEGMENTOR, PANOPTIC)


def write_classifier(work: Path, opened: Opened) -> None:
    """Write timm's own files."""
    model: Any = opened.model
    pictures = dict(opened.facts.pictures)
    own = {"exif": pictures.pop("exif")} if "exif" in pictures else {}  # no word of timm's
    if opened.classes:
        own["label_names"] = list(opened.classes)
    save_for_hf(
        model,
        str(work),
        model_config={"num_classes": model.num_classes, **own},
        model_args=_changed(model.config),
        safe_serialization=True,
        data_config=pictures,
    )


def write_segmentor(work: Path, opened: Opened, settings: Mapping[str, Any]) -> None:
    """Write a segmentor, with the preparation of photos that its run's settings have."""
    model: Any = opened.model
    facts = Facts(
        classes=opened.classes,
        palette=opened.palette,
        first_class=opened.facts.first_class,
        mask_values=opened.facts.mask_values,
    )
    config = {
        "architecture": SEGMENTOR,
        "num_classes": model.config.num_classes,
        "model_args": {**_changed(model.config), "embed_dim": model.decode_head.embed_dim},
        **facts.entries(),
        **_preparation(settings),
    }
    if statistics := find(settings, "model", "data_preprocessor"):
        kept = {key: statistics[key] for key in ("mean", "std") if key in statistics}
        config["model"] = {"data_preprocessor": kept}
    save_checkpoint(model, work / WEIGHTS)
    _write_json(work / CONFIG, config)


def write_panoptic(work: Path, loaded: Weights, settings: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write a panoptic network, with the settings of its run as `lvt_core.load` reads them.

    Args:
        work: Folder to write into.
        loaded: Weights.
        settings: Settings of the run.
        meta: Names and colours of the classes.
    """
    config = {
        "architecture": PANOPTIC,
        "default_scope": settings.get("default_scope"),
        "model": settings.get("model"),
        "dataset_meta": {key: meta[key] for key in ("classes", "thing_classes", "palette") if key in meta},
        **_preparation(settings),
    }
    save_checkpoint(loaded.state_dict, work / WEIGHTS)
    _write_json(work / CONFIG, config)


def _preparation(settings: Mapping[str, Any]) -> dict[str, Any]:
    steps = test_steps(settings)
    return {"test_pipeline": steps} if steps else {}


def _changed(config: LVTConfig) -> dict[str, Any]:
    """Return the fields that differ from the published ones; no rates are written as an empty list."""
    changed = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if value != field.default and field.name != "num_classes":
            changed[field.name] = () if value is None else value
    return changed


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
