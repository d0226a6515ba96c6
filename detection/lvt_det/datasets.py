"""COCO's panoptic data, in mmdetection's terms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoPanopticDataset
from mmdet.registry import DATASETS

from lvt_core.errors import UserError
from lvt_core.panoptic.annotations import AnnotatedImage, missing_file, read_images


@DATASETS.register_module()
class PanopticDataset(CocoPanopticDataset):
    """Images, panoptic maps and a JSON file, as COCO has them.

    mmdetection's `CocoPanopticDataset` numbers the classes in the order of the JSON file, whatever the
    config says, and guesses the maps' names from the images'. Here a class's number is its position in
    ``metainfo``, things before stuff, as the model's heads have them; without ``metainfo`` they are COCO's.

    Args:
        image_info: JSON file whose images are taken instead of those of ``ann_file``, without truth; COCO's
            ``image_info_*.json`` are such files.
        options: Options of `CocoPanopticDataset`.
    """

    def __init__(self, *, image_info: str | None = None, **options: Any) -> None:
        self.image_info = image_info
        super().__init__(**options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One entry per image of the annotation file.

        Raises:
            UserError: The file is wrong, or an image or map is missing.
        """
        meta = self.metainfo
        if tuple(meta["classes"][: len(meta["thing_classes"])]) != tuple(meta["thing_classes"]):
            raise UserError("metainfo.classes: must begin with metainfo.thing_classes; stuff follows")
        images = read_images(
            self.ann_file, meta["classes"], meta["thing_classes"], image_info=self.image_info
        )
        names = [image.file_name for image in images]
        _require_files(self.data_prefix["img"], names, self.image_info or self.ann_file)
        if maps := self.data_prefix.get("seg"):
            listed = [image.map_name for image in images if image.map_name is not None]
            _require_files(maps, listed, self.ann_file)
        return [self._entry(image) for image in images]

    def filter_data(self) -> list[dict[str, Any]]:
        """Keep training images of ``min_size`` or more that have a thing, which may be a crowd."""
        options = {} if self.test_mode else self.filter_cfg or {}
        smallest, need_things = options.get("min_size", 0), options.get("filter_empty_gt", False)
        num_things = len(self.metainfo["thing_classes"])
        return [
            entry
            for entry in self.data_list
            if min(entry["width"], entry["height"]) >= smallest
            and (not need_things or any(s["category"] < num_things for s in entry["segments_info"]))
        ]

    def _entry(self, image: AnnotatedImage) -> dict[str, Any]:
        maps = self.data_prefix.get("seg")
        num_things = len(self.metainfo["thing_classes"])
        segments, instances = [], []
        for segment in image.segments:
            left, top, width, height = segment.box
            # A crowd is not one instance: nothing to learn a box or a mask from.
            is_instance = segment.label < num_things and not segment.is_crowd
            segments.append(
                {
                    "id": segment.id,
                    "category": segment.label,
                    "is_thing": is_instance,
                    "is_crowd": segment.is_crowd,
                }
            )
            if is_instance:
                box = [left, top, left + width, top + height]
                instances.append({"bbox": box, "bbox_label": segment.label, "ignore_flag": 0})
        return {
            "img_path": str(Path(self.data_prefix["img"]) / image.file_name),
            "img_id": image.id,
            "file_name": image.file_name,
            "seg_map_path": str(Path(maps) / image.map_name) if maps and image.map_name else None,
            "height": image.height,
            "width": image.width,
            "instances": instances,
            "segments_info": segments,
        }


def _require_files(folder: str, names: Sequence[str], listed_in: str) -> None:
    missing = missing_file(folder, names)
    if missing is not None:
        raise UserError(f"{Path(folder) / missing}: is not there, but {listed_in} names it")
