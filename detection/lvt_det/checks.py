"""Checks of a config's data, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdet.registry import DATASETS
from mmengine.config import Config

from lvt_core.errors import UserError
from lvt_core.openmmlab.commands import datasets_of
from lvt_det.transforms import IGNORED


def check_data(cfg: Config, loaders: Sequence[str]) -> None:
    """Read the annotation files and check them, the images' names and the numbers of classes.

    Args:
        cfg: The config.
        loaders: Names of the loaders that will be used, such as ``train_dataloader``.

    Raises:
        UserError: A file is wrong or missing, nothing is left to train on, or a head has another number of
            classes than the data.
    """
    for loader in loaders:
        if cfg.get(loader) is not None:
            for dataset in datasets_of(cfg[loader].dataset):
                _check_dataset(dataset, cfg.model, loader)


def _check_dataset(settings: dict, model: dict, loader: str) -> None:
    root = Path(settings.get("data_root") or ".")
    for kind, prefix in settings.get("data_prefix", {}).items():
        if prefix and not (root / prefix).is_dir():
            place = f"{loader}: {root / prefix} ({kind})"
            raise UserError(f"{place} is not a folder; --data-root names another place")
    if settings["type"] != "PanopticDataset":
        raise UserError(f"{loader}.dataset.type={settings['type']}: must be PanopticDataset")
    dataset = DATASETS.build({**settings, "lazy_init": True, "pipeline": []})
    things, classes = dataset.metainfo["thing_classes"], dataset.metainfo["classes"]
    _check_heads(model, len(things), len(classes) - len(things), loader)
    dataset.data_list = dataset.load_data_list()
    if not dataset.filter_data():
        smallest = (dataset.filter_cfg or {}).get("min_size", 0)
        raise UserError(
            f"{loader}: {dataset.ann_file} has nothing to train on: no image of at least {smallest} pixels a "
            "side with an instance of a thing that is not a crowd"
        )
    if loader != "train_dataloader":
        if settings["pipeline"][-1]["type"] != "PackPanoptic":
            raise UserError(f"{loader}.dataset.pipeline: must end with PackPanoptic")
        for entry in dataset.data_list:
            if dataset.data_prefix.get("seg") and entry["seg_map_path"] is None:
                raise UserError(f"{loader}: {dataset.ann_file} has no annotation of image {entry['img_id']}")


def check_names(cfg: Config, option: str) -> None:
    """Reject two test images of one name: outputs are named like their images.

    Raises:
        UserError: Two images only differ in their endings.
    """
    for settings in datasets_of(cfg.test_dataloader.dataset):
        seen: dict[Path, str] = {}
        for entry in DATASETS.build({**settings, "lazy_init": True, "pipeline": []}).load_data_list():
            other = seen.setdefault(Path(entry["file_name"]).with_suffix(""), entry["file_name"])
            if other != entry["file_name"]:
                raise UserError(f"{option}: {other} and {entry['file_name']} would have one output")


def _check_heads(model: dict, things: int, stuff: int, loader: str) -> None:
    if things + stuff > IGNORED - 1:
        raise UserError(f"{loader}: {things + stuff} classes; at most {IGNORED - 1} fit into 8 bits")
    for name, wanted in (
        ("roi_head.bbox_head.num_classes", things),
        ("roi_head.mask_head.num_classes", things),
        ("semantic_head.num_things_classes", things),
        ("semantic_head.num_stuff_classes", stuff),
        ("panoptic_fusion_head.num_things_classes", things),
        ("panoptic_fusion_head.num_stuff_classes", stuff),
    ):
        node = model
        for part in name.split("."):
            node = node[part]
        if node != wanted:
            kind = "things" if wanted == things and "stuff" not in name else "kinds of stuff"
            raise UserError(f"model.{name}={node}: {loader} has {wanted} {kind}")
