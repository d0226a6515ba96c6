"""Facts of a run that travel with its checkpoint: the architecture, how pictures were read, the classes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from lvt_core.checkpoint.hub_config import config_beside
from lvt_predict.manifest import is_number, is_whole

# Names in our options, in timm's arguments, and in the `hyper_parameters` of Lightning.
MODEL_NAMES = ("model", "model_name", "arch", "architecture")
MOST = 2**24  # bound of sides and of indices: a file must not make a list of any length
# Keywords of timm that name files or downloads, which a file must not choose.
LOADING = {"checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"}
CLASS_NAMES = ("classes", "class_names", "label_names", "CLASSES")


@dataclass(frozen=True)
class Facts:
    """Facts of a run; what a file does not tell is ``None`` or empty.

    Attributes:
        model: timm model name.
        model_kwargs: Keywords of the model.
        pictures: Reading of a picture in validation, in timm's words: ``input_size``, ``crop_pct``,
            ``crop_mode``, ``interpolation``, ``mean``, ``std``; and ``exif``, whether it turns them.
        classes: Names of the classes by their index; ``None`` for an index without a name.
        class_to_idx: Index of every name; several names may share an index.
        palette: Colour of each class.
        first_class: Value of the first class in label maps.
        mask_values: Value of each class in label maps, instead of those counted from `first_class`.
    """

    model: str | None = None
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[str | None] | None = None
    class_to_idx: Mapping[str, int] | None = None
    palette: Sequence[Sequence[int]] | None = None
    first_class: int | None = None
    mask_values: Sequence[int] | None = None

    def entries(self) -> dict[str, Any]:
        """Return the entries of a checkpoint from which `facts_of` reads these facts."""
        entries = {
            "arch": self.model,
            "model_kwargs": dict(self.model_kwargs),
            "data_config": dict(self.pictures),
            "classes": None if self.classes is None else list(self.classes),
            "class_to_idx": None if self.class_to_idx is None else dict(self.class_to_idx),
            "palette": None if self.palette is None else [list(colour) for colour in self.palette],
            "first_class": self.first_class,
            "mask_values": None if self.mask_values is None else list(self.mask_values),
        }
        return {key: value for key, value in entries.items() if value not in (None, {})}


def facts_of(content: Mapping[str, Any], file: str | Path | None = None) -> Facts:
    """Collect the facts in a checkpoint's content: ours, timm's, Lightning's, mmengine's.

    A value of an odd type counts as missing. Beside a file of timm's hub, ``config.json`` has its facts.

    Args:
        content: Content, as `read_checkpoint` returns it.
        file: File of the content.
    """
    sources = [content, *_options(content), *_hub(file)]
    meaning = [*_dataset_meta(content), *sources]
    classes = _first(meaning, CLASS_NAMES, _is_names)
    class_to_idx = _first(meaning, ("class_to_idx",), _is_index)
    if class_to_idx is not None:
        classes = names_by_index(class_to_idx, len(classes or ()))
    elif classes is not None and len(set(classes)) == len(classes):
        class_to_idx = {name: index for index, name in enumerate(classes) if name is not None}
    return Facts(
        model=_first(sources, MODEL_NAMES, _is_text),
        model_kwargs=_architecture(_first(sources, ("model_kwargs", "model_args"), _is_keywords) or {}),
        pictures=_pictures(content, sources),
        classes=classes,
        class_to_idx=class_to_idx,
        palette=_first(meaning, ("palette", "PALETTE"), lambda value: isinstance(value, (list, tuple))),
        first_class=_first_class(meaning),
        mask_values=_first(meaning, ("mask_values",), _is_values),
    )


def names_by_index(class_to_idx: Mapping[str, int], length: int = 0) -> list[str | None]:
    """Return the first name of every index, at least `length` entries; ``None`` where there is none."""
    names: list[str | None] = [None] * max(length, 1 + max(class_to_idx.values(), default=-1))
    for name, index in class_to_idx.items():
        if names[index] is None:
            names[index] = name
    return names


def _architecture(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of a model without those by which timm would open other files."""
    return {key: value for key, value in with_tuples(keywords).items() if key not in LOADING}


def _options(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the options of a run: ours, those of timm's and VOLO's scripts, Lightning's."""
    stored = (content.get(key) for key in ("options", "args", "hyper_parameters"))
    plain = (vars(value) if isinstance(value, argparse.Namespace) else value for value in stored)
    return [value for value in plain if isinstance(value, Mapping)]


def _hub(file: str | Path | None) -> list[Mapping[str, Any]]:
    """Return the facts beside a file of a hub folder."""
    config = {} if file is None else config_beside(file)
    nested = config.get("pretrained_cfg")
    return [config, *([nested] if isinstance(nested, Mapping) else [])]


def _dataset_meta(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what mmengine and mmcv store about a data set."""
    meta = content.get("meta")
    if not isinstance(meta, Mapping):
        return []
    return [value for value in (meta.get("dataset_meta"), meta) if isinstance(value, Mapping)]


def with_tuples(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Turn lists into tuples, which YAML and JSON do not distinguish."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in keywords.items()}


def _first_class(sources: Sequence[Mapping[str, Any]]) -> int | None:
    stored = _first(sources, ("first_class",), lambda value: value in (0, 1))
    zero = _first(sources, ("reduce_zero_label",), lambda value: isinstance(value, bool))
    return int(zero) if stored is None and zero is not None else stored


def _pictures(content: Mapping[str, Any], sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    own = content.get("data_config")
    sources = [*([own] if isinstance(own, Mapping) else []), *sources]
    size = _first(sources, ("input_size",), _is_size)
    side = _first(sources, ("img_size", "image_size"), _is_count)
    pictures = {
        "input_size": tuple(size) if size is not None else (3, side, side) if side is not None else None,
        "crop_pct": _first(sources, ("crop_pct",), _is_share),
        "crop_mode": _first(sources, ("crop_mode",), _is_text),
        "interpolation": _first(sources, ("interpolation",), _is_text),
        "mean": _first(sources, ("mean",), _is_numbers),
        "std": _first(sources, ("std",), lambda value: _is_numbers(value) and min(value) > 0),
        "exif": _first(sources, ("exif",), lambda value: isinstance(value, bool)),
    }
    return {key: tuple(v) if isinstance(v, list) else v for key, v in pictures.items() if v is not None}


def _first(sources: Sequence[Mapping[str, Any]], keys: Sequence[str], holds: Callable[[Any], bool]) -> Any:
    """Return the first value of a key for which `holds` is true, or ``None``."""
    for source in sources:
        for key in keys:
            if key in source and not isinstance(source[key], Tensor) and holds(source[key]):
                return source[key]
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_keywords(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_names(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and any(name is not None for name in value)
        and all(name is None or isinstance(name, str) for name in value)
    )


def _is_index(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) for name in value)
        and all(_is_count(index, 0) for index in value.values())
    )


def _is_values(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(is_whole(each, 0) and each < MOST for each in value)
    )


def _is_count(value: Any, low: int = 1) -> bool:
    return is_whole(value, low) and value < MOST


def _is_size(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 3 and all(map(_is_count, value))


def _is_share(value: Any) -> bool:
    return is_number(value) and 0 < value <= 1


def _is_numbers(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) in (1, 3) and all(map(is_number, value))
