"""Panoptic annotations of any form: boxes follow from the maps, odd JSON ends in a sentence."""

from __future__ import annotations

import pytest

from lvt_core.errors import UserError
from lvt_core.panoptic.annotations import read_categories, read_images
from tests.det_commands import ODD, edit_json


def test_boxes_in_training_follow_from_the_map(splits) -> None:
    """A box of no size, or of corners, must not change what is learnt."""
    from lvt_det.datasets import PanopticDataset
    from lvt_det.transforms import LoadPanoptic

    def boxes() -> list:
        split = splits[0]
        prefix = {"img": split.images, "seg": split.maps}
        options = {"ann_file": split.annotations, "data_prefix": prefix}
        names = ["box", "square", "sky", "grass"]
        meta = {"classes": names, "thing_classes": names[:2], "stuff_classes": names[2:]}
        data = PanopticDataset(**options, metainfo=meta, pipeline=[], serialize_data=False)
        found = []
        for entry in data.data_list:
            sample = {**entry, "ori_shape": (entry["height"], entry["width"])}
            found.append(LoadPanoptic().transform(sample)["gt_bboxes"].tensor.tolist())
        return found

    before = boxes()
    assert any(before)

    def spoil(content) -> None:
        for annotation in content["annotations"]:
            for segment in annotation["segments_info"]:
                segment["bbox"] = [0, 0, 0, 0]

    edit_json(splits[0].annotations, spoil)
    assert boxes() == before


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    ("room", "field"),
    [
        *(("images", field) for field in ("id", "height", "width", "file_name")),
        *(("annotations", field) for field in ("image_id", "file_name", "segments_info")),
        *(("categories", field) for field in ("id", "name", "isthing")),
        *(("segments", field) for field in ("id", "category_id", "bbox", "iscrowd")),
    ],
)
def test_json_of_any_odd_type_ends_in_a_sentence(splits, room: str, field: str, odd: object) -> None:
    def change(content) -> None:
        entries = content["annotations"][0]["segments_info"] if room == "segments" else content[room]
        entries[0][field] = odd

    edit_json(splits[0].annotations, change)
    names = ["box", "square", "sky", "grass"]
    try:
        read_categories(splits[0].annotations)
        read_images(splits[0].annotations, names, names[:2])
    except UserError as error:
        assert str(error).startswith(splits[0].annotations)
    else:
        assert (field, odd) in [
            ("isthing", True),
            ("segments_info", []),
            ("file_name", "x"),
            ("iscrowd", True),
        ]


def test_images_whose_only_things_are_crowds_are_kept(splits) -> None:
    from lvt_det.datasets import PanopticDataset
    from lvt_det.transforms import LoadPanoptic

    def crowd(content) -> None:
        for segment in content["annotations"][0]["segments_info"]:
            segment["iscrowd"] = 1

    split, names = splits[0], ["box", "square", "sky", "grass"]
    edit_json(split.annotations, crowd)
    data = PanopticDataset(
        ann_file=split.annotations,
        data_prefix={"img": split.images, "seg": split.maps},
        metainfo={"classes": names, "thing_classes": names[:2], "stuff_classes": names[2:]},
        filter_cfg={"filter_empty_gt": True, "min_size": 32},
        pipeline=[],
        serialize_data=False,
    )
    first = data.data_list[0]
    assert first["instances"] == [] and len(data) == 4
    sample = LoadPanoptic().transform({**first, "ori_shape": (first["height"], first["width"])})
    assert len(sample["gt_bboxes"]) == len(sample["gt_masks"]) == 0
