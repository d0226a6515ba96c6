"""Checks of a config's data, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from lvt_core.errors import UserError
from lvt_core.files import walk_files
from lvt_core.openmmlab.commands import datasets_of
from lvt_seg.datasets import output_name


def check_data(cfg: Config, loaders: Sequence[str]) -> None:
    """Check folders, pairs and the number of classes.

    Args:
        cfg: The config.
        loaders: Names of the loaders that will be used, such as ``train_dataloader``.

    Raises:
        UserError: A folder or a mask is missing, or the head has another number of classes than the data.
    """
    model = cfg.model.get("module", cfg.model)  # test-time augmentation wraps it
    for loader in loaders:
        if cfg.get(loader) is None:
            continue
        for dataset in datasets_of(cfg[loader].dataset):
            _check_dataset(dataset, model.decode_head.num_classes, loader)


def check_names(cfg: Config, option: str) -> None:
    """Reject two test images whose outputs would have one name.

    Raises:
        UserError: Two images have one path in their data sets' folders, but for the suffix.
    """
    folders, seen = image_folders(cfg), dict[Path, str]()
    for dataset in datasets_of(cfg.test_dataloader.dataset):
        for entry in _build(dataset).load_data_list():
            other = seen.setdefault(output_name(entry["img_path"], folders), entry["img_path"])
            if other != entry["img_path"]:
                raise UserError(f"{option}: {other} and {entry['img_path']} would have one output")


def image_folders(cfg: Config) -> list[str]:
    """Return the folders of images of the test data, below which outputs keep the images' paths."""
    return [_build(dataset).data_prefix["img_path"] for dataset in datasets_of(cfg.test_dataloader.dataset)]


MASK_STEPS = ("LoadAnnotations", "LoadMask")


def load_mask_steps(pipeline: Sequence) -> list[dict]:
    """List the `LoadMask` steps of a pipeline, by both of their names, and of the pipelines inside."""
    steps = []
    for step in pipeline:
        if isinstance(step, (list, tuple)):
            steps += load_mask_steps(step)
        elif step["type"] in MASK_STEPS and "num_classes" in step:
            steps.append(step)
        else:
            steps += load_mask_steps(step.get("transforms", ()))
    return steps


def _check_dataset(settings: dict, num_classes: int, loader: str) -> None:
    root = Path(settings.get("data_root") or ".")
    for kind, prefix in settings.get("data_prefix", {}).items():
        if prefix is not None and not (root / prefix).is_dir():
            place = f"{loader}: {root / prefix} ({kind})"
            raise UserError(f"{place} is not a folder; --data-root names another place")
    dataset = _build(settings)
    classes = dataset.metainfo.get("classes")
    if classes is None:
        raise UserError(f"{loader}: the data set names no classes (metainfo=dict(classes=…))")
    if len(classes) != num_classes:
        raise UserError(f"model.decode_head.num_classes={num_classes}: {loader} has {len(classes)} classes")
    for step in load_mask_steps(settings.get("pipeline", ())):
        if step["num_classes"] != num_classes:
            raise UserError(
                f"{step['type']}.num_classes={step['num_classes']}: {loader} has {num_classes} classes"
            )
    entries = dataset.load_data_list()
    if not entries:
        raise UserError(f"{loader}: {dataset.data_prefix['img_path']} holds no {dataset.img_suffix} images")
    if dataset.data_prefix.get("seg_map_path"):
        there = {str(path) for path in walk_files(dataset.data_prefix["seg_map_path"])}
        for entry in entries:
            mask = entry["seg_map_path"]
            if str(Path(mask)) not in there:
                raise UserError(f"{entry['img_path']}: has no mask; {mask} is not there")


def _build(settings: dict) -> BaseSegDataset:
    """Build the data set without its pipeline, not read yet."""
    return DATASETS.build({**settings, "lazy_init": True, "pipeline": []})
