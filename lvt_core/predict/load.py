"""One opener for all: checkpoints of any task, folders of the hub, and exported folders become predictors.

result = lvt_core.load("checkpoints/lvt_imagenet.pth.tar").predict("photo.jpg")
print(result)
result.save("out.png")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from lvt_core.checkpoint import Facts, Weights, facts_of, load_weights, read_checkpoint, weights_of
from lvt_core.checkpoint.architecture import BACKBONE_ONLY, SEGFORMER
from lvt_core.checkpoint.fit import build_to_fit
from lvt_core.checkpoint.hub_config import CONFIG, WEIGHTS, config_beside
from lvt_core.errors import UserError
from lvt_core.predict.network import AUTO, TorchNetwork, choose_device
from lvt_core.predict.open_model import Opened, is_panoptic, open_weights
from lvt_core.predict.open_panoptic import open_panoptic
from lvt_core.predict.panoptic_parts import settings_of, split
from lvt_core.predict.preparation import read_preparation
from lvt_core.predict.settings import find, run_settings
from lvt_predict.manifest import MANIFEST
from lvt_predict.model import load as load_exported
from lvt_predict.panoptic import PanopticPipeline
from lvt_predict.photo.classes import Classes, classes_of
from lvt_predict.photo.exported import predictor_of
from lvt_predict.photo.predictors import Classifier, PanopticPredictor, Predictor, Segmenter
from lvt_predict.photo.prepare import (
    Aligned,
    Crop,
    Inside,
    Proportional,
    Stretch,
    fill_of,
)

SIDE = 224
BYTES = 255  # mmengine's configs have statistics of bytes
PANOPTIC_CONFIG = "configs/lvt/panoptic_fpn_lvt_fpn_3x_coco.py"

Size = tuple[int, int]


def load(
    source: str | Path,
    *,
    size: Size | None = None,
    config: str | Path | None = None,
    use_ema: bool | None = None,
    device: str = AUTO,
    amp: bool = False,
    trust: bool = False,
) -> Predictor:
    """Open a network that takes photos.

    Architecture, classes, colours, size and statistics come from the file. For what it does not say, the
    published recipe is assumed; the predictor's ``notes`` list these assumptions.

    Args:
        source: Checkpoint of a classifier, a segmentor or a panoptic network (ours, the original release's,
            or a training run's), folder of the hub, or folder that `lvt export` wrote.
        size: Height and width of the network's input; by default the file's. A dense network resizes photos
            in proportion unless a size is given.
        config: mmdetection's config of a panoptic network; by default the published one, with the numbers of
            the checkpoint's run.
        use_ema: Take the moving average of the weights; ``None`` takes it where there is one.
        device: ``cpu``, ``cuda``, …; ``auto`` takes a GPU if there is one.
        amp: Compute in bfloat16 where that is safe.
        trust: Open an exported ``.pt2`` program, which can run any code.

    Raises:
        UserError: The file cannot be read, contains no network with a task, or an option does not apply.
    """
    path = Path(source)
    if path.is_dir() and (path / MANIFEST).is_file():
        _reject_options(path, size=size, config=config, use_ema=use_ema, amp=amp or None)
        return predictor_of(load_exported(path, trust=trust))
    _reject_options(path, trust=trust or None)
    if path.is_dir():
        if not (path / CONFIG).is_file() or not (path / WEIGHTS).is_file():
            raise UserError(
                f"{path}: is a folder without {MANIFEST}; name a checkpoint or an exported folder"
            )
        path = path / WEIGHTS
    content = read_checkpoint(path)
    loaded = weights_of(content, str(path), use_ema=use_ema)
    wrap = _Wrap(choose_device(device), amp)
    if is_panoptic(loaded):
        return _panoptic(path, content, size, config, wrap)
    _reject_options(path, config=config)
    facts = facts_of(content, path)
    if loaded.layout is None:
        return _classifier(_timm_model(loaded, facts), size, wrap)
    opened = open_weights(loaded, facts)
    if opened.name == BACKBONE_ONLY:
        raise UserError(f"{path}: contains a backbone, which has no task; name a checkpoint with a head")
    if opened.name == SEGFORMER:
        settings = run_settings(content) or config_beside(path)
        return _segmenter(path, opened, settings, size, wrap)
    return _classifier(opened, size, wrap)


@dataclasses.dataclass(frozen=True)
class _Wrap:
    device: torch.device
    amp: bool

    def __call__(self, module: torch.nn.Module) -> TorchNetwork:
        return TorchNetwork(module, device=self.device, amp=self.amp)


def _classifier(opened: Opened, size: Size | None, wrap: _Wrap) -> Classifier:
    pictures, model = opened.facts.pictures, opened.model
    published: Any = getattr(model, "pretrained_cfg", {})
    stored: dict[str, Any] = {**{key: published.get(key) for key in _PICTURES}, **pictures}
    notes = []
    if not pictures:
        notes.append("the checkpoint does not say how pictures were prepared: the published recipe is used")
    crop = {key: stored[key] for key in ("crop_pct", "interpolation", "crop_mode") if stored.get(key)}
    mean = stored.get("mean") or IMAGENET_DEFAULT_MEAN
    count: Any = model.num_classes
    classes = classes_of("classification", count, names=opened.classes)
    return Classifier(
        classes=classes,
        prepare=Crop(
            size or tuple((stored.get("input_size") or (3, SIDE, SIDE))[1:]), fill=fill_of(mean), **crop
        ),
        mean=mean,
        std=stored.get("std") or IMAGENET_DEFAULT_STD,
        notes=_notes(classes, *notes),
        exif=stored.get("exif", True),
        network=wrap(model),
    )


_PICTURES = ("input_size", "crop_pct", "interpolation", "crop_mode", "mean", "std")


def _timm_model(loaded: Weights, facts: Facts) -> Opened:
    """Open a classifier of timm that `classification/main.py` trained.

    Raises:
        UserError: The checkpoint does not name a model of timm, or does not fit it.
    """
    if facts.model is None or not timm.is_model(facts.model.split(".")[0]):
        raise UserError(f"{loaded.name}: contains no LVT, and does not name a model of timm")
    name, kwargs = facts.model, dict(facts.model_kwargs)
    if facts.classes:
        kwargs["num_classes"] = len(facts.classes)
    try:
        model = build_to_fit(lambda: timm.create_model(name, **kwargs), loaded)
    except UserError:
        raise
    except Exception as error:  # models assert, and look their keywords up
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(f"{loaded.name}: {name}: {reason}") from error
    load_weights(model, loaded)
    names = [str(i) if each is None else each for i, each in enumerate(facts.classes or ())]
    return Opened(name, model, names or None, facts=facts)


def _segmenter(
    path: Path, opened: Opened, settings: Mapping[str, Any], size: Size | None, wrap: _Wrap
) -> Segmenter:
    prepare, note = (Stretch(size), "") if size else read_preparation(settings, Aligned(), file=path)
    stored = find(settings, "model", "data_preprocessor") or {}
    model: Any = opened.model
    count = model.config.num_classes
    facts = opened.facts
    values = facts.mask_values if len(facts.mask_values or ()) == count else None
    classes = classes_of(
        "segmentation",
        count,
        names=opened.classes,
        palette=opened.palette,
        first=facts.first_class,
        values=values,
    )
    return Segmenter(
        classes=classes,
        prepare=prepare,
        mean=_statistic(stored.get("mean")) or IMAGENET_DEFAULT_MEAN,
        std=_statistic(stored.get("std")) or IMAGENET_DEFAULT_STD,
        notes=_notes(classes, note),
        network=wrap(opened.model),
    )


def _panoptic(
    path: Path, content: Mapping[str, Any], size: Size | None, config: str | Path | None, wrap: _Wrap
) -> PanopticPredictor:
    settings = run_settings(content) or config_beside(path)
    meta = find(content, "meta", "dataset_meta") or settings.get("dataset_meta")
    own = {**settings, "metainfo": meta if isinstance(meta, Mapping) else None}
    network = open_panoptic(config or published_panoptic_config(), path, settings=None if config else own)
    pipeline_settings = settings_of(network, size or (SIDE, SIDE))
    parts: dict[str, Any] = {name: wrap(part) for name, part in split(network.model).items()}
    prepare, note = (Inside(size), "") if size else read_preparation(settings, Proportional(), file=path)
    named = config is not None or own["metainfo"] is not None
    classes = classes_of(
        "panoptic",
        len(network.classes),
        names=network.classes if named else None,
        palette=network.palette,
    )
    return PanopticPredictor(
        classes=classes,
        prepare=prepare,
        mean=pipeline_settings["mean"],
        std=pipeline_settings["std"],
        notes=_notes(classes, note),
        pipeline=PanopticPipeline(pipeline_settings, parts),
        size=size,
    )


def published_panoptic_config() -> Path:
    """Return the file of the published panoptic config, which the package of the task contains.

    Raises:
        UserError: The package is not installed.
    """
    spec = find_spec("lvt_det")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("panoptic networks need lvt_det: pip install 'lvt-core[dense]'")
    return Path(spec.submodule_search_locations[0]) / PANOPTIC_CONFIG


def _statistic(values: Any) -> Sequence[float] | None:
    if not isinstance(values, (tuple, list)) or len(values) != 3:
        return None
    return [float(value) / BYTES for value in values if isinstance(value, (int, float))] or None


def _notes(classes: Classes, *others: str) -> tuple[str, ...]:
    return tuple(note for note in (classes.note, *others) if note)


def _reject_options(path: Path, **options: Any) -> None:
    """Reject options that do not apply to a file.

    Raises:
        UserError: An option is given.
    """
    for name, value in options.items():
        if value is not None:
            raise UserError(f"--{name.replace('_', '-')}: does not apply to {path}")
