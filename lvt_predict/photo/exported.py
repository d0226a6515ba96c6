"""The predictor of an exported folder: ``model.json`` says how photos are prepared and what outputs mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lvt_predict.errors import UserError
from lvt_predict.manifest import MANIFEST, Rule, is_list, is_number, is_whole, require_rules
from lvt_predict.model import ExportedModel
from lvt_predict.panoptic import PanopticModel
from lvt_predict.photo.classes import classes_of
from lvt_predict.photo.predictors import Classifier, PanopticPredictor, Predictor, Segmenter
from lvt_predict.photo.prepare import (
    CROP_MODES,
    CROP_PCT,
    INTERPOLATIONS,
    Aligned,
    Crop,
    Inside,
    Preparation,
    Stretch,
    fill_of,
)

CLASSIFIERS, SEGMENTORS = ("lvt_cls", "lvt_pooled"), ("segformer",)
SIDE = 224
OPTIONAL = {
    "classes": Rule(
        lambda value: is_list(value, lambda name: isinstance(name, str)), "the name of each class"
    ),
    "palette": Rule(
        lambda value: is_list(value, lambda color: is_list(color, _is_byte, 3)), "three bytes for each class"
    ),
    "first_class": Rule(lambda value: value in (0, 1), "0 or 1"),
    "mask_values": Rule(
        lambda value: is_list(value, lambda each: is_whole(each, 0) and each < 2**16),
        "the value of each class in masks",
    ),
    "num_classes": Rule(is_whole, "a positive whole number"),
}
PREPROCESSING = {
    "interpolation": Rule(lambda value: value in INTERPOLATIONS, f"one of {', '.join(INTERPOLATIONS)}"),
    "crop_pct": Rule(lambda value: is_number(value) and 0 < value <= 1, "a number in 0..1"),
    "crop_mode": Rule(lambda value: value in CROP_MODES, f"one of {', '.join(CROP_MODES)}"),
    "size": Rule(lambda value: is_list(value, is_whole, 2), "a height and a width"),
    "sides": Rule(lambda value: is_list(value, is_whole, 2), "the longest side and the longest short side"),
    "exif": Rule(lambda value: isinstance(value, bool), "true or false"),
}


def predictor_of(model: ExportedModel | PanopticModel) -> Predictor:
    """Make the predictor of an opened export.

    Raises:
        UserError: The network has no task, or ``model.json`` has a wrong field.
    """
    manifest, file = model.manifest, model.folder / MANIFEST
    known = _checked(file, manifest, OPTIONAL)
    preparation = _checked_preparation(file, manifest)
    fields: dict[str, Any] = {key: manifest[key] for key in ("mean", "std")}
    fields["exif"] = preparation.get("exif", True)
    if isinstance(model, PanopticModel):
        size = (manifest["input"][2], manifest["input"][3])
        count = manifest["num_things"] + manifest["num_stuff"]
        classes = _classes(file, "panoptic", count, known)
        return PanopticPredictor(
            classes=classes, prepare=Inside(size), notes=_notes(classes), pipeline=model, size=size, **fields
        )
    name, outputs = manifest.get("model"), manifest.get("outputs")
    if name not in (*CLASSIFIERS, *SEGMENTORS) or manifest["input"][1] != 3:
        raise UserError(f"{file}: model {name!r} has no task; lvt predict needs a classifier or a segmentor")
    task = "classification" if name in CLASSIFIERS else "segmentation"
    count = known.get("num_classes") or len(known.get("classes") or ()) or _count(model, outputs)
    classes = _classes(file, task, count, known)
    fields |= {"classes": classes, "notes": _notes(classes), "network": model}
    prepare = _preparation(task, manifest, preparation)
    return (Classifier if task == "classification" else Segmenter)(prepare=prepare, **fields)


def _checked_preparation(file: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    stored = manifest.get("preprocessing")
    return _checked(file, stored if isinstance(stored, dict) else {}, PREPROCESSING)


def _preparation(task: str, manifest: Mapping[str, Any], known: Mapping[str, Any]) -> Preparation:
    height, width = manifest["input"][2:]
    size = None if isinstance(height, list) else (height, width)
    if task == "classification":
        return Crop(
            size or tuple(known.get("size", (SIDE, SIDE))),
            known.get("crop_pct", CROP_PCT),
            known.get("interpolation", "bicubic"),
            known.get("crop_mode", "center"),
            fill_of(manifest["mean"]),
        )
    return Stretch(size) if size else Aligned(*known.get("sides", ()))


def _checked(file: Path, content: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Return the fields of `rules` that the content has, checked."""
    known = {key: content[key] for key in rules if content.get(key) is not None}
    require_rules(file, {key: rules[key] for key in known}, known)
    return known


def _classes(file: Path, task: str, count: int, known: Mapping[str, Any]) -> Any:
    for key in ("classes", "palette", "mask_values"):
        if key in known and len(known[key]) != count:
            raise UserError(
                f"{file}: {key} has {len(known[key])} entries, but the network has {count} classes"
            )
    keys = {"names": "classes", "palette": "palette", "first": "first_class", "values": "mask_values"}
    return classes_of(task, count, **{name: known.get(key) for name, key in keys.items()})


def _count(model: ExportedModel, outputs: Any) -> int:
    """Return the number of classes, by the recorded sample; exports of labels must say it."""
    try:
        shape = model.manifest["sample"]["outputs"][0]["shape"]
    except (KeyError, IndexError, TypeError):
        shape = ()
    if outputs != "labels" and len(shape) > 1 and is_whole(shape[1]):
        return shape[1]
    raise UserError(f"{model.folder / MANIFEST}: does not say how many classes there are; export it again")


def _notes(classes: Any) -> tuple[str, ...]:
    return (classes.note,) if classes.note else ()


def _is_byte(value: Any) -> bool:
    return is_whole(value, 0) and value <= 255
