"""Labels without the logits of every class, against mmsegmentation's `EncoderDecoder`."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import lvt_seg  # noqa: F401  (registers)
from lvt_seg.segmentor import labels_only

MODEL = {
    "type": "EncoderDecoder",
    "backbone": {
        "type": "LVT",
        "embed_dims": (8, 8, 16, 16),
        "num_heads": (2, 2, 2, 2),
        "depths": (1, 1, 1, 1),
    },
    "decode_head": {
        "type": "LVTSegFormerHead",
        "in_channels": (8, 8, 16, 16),
        "channels": 16,
        "num_classes": 50,
    },
    "test_cfg": {"mode": "whole"},
}
SAME = {"ori_shape": (96, 128), "img_shape": (96, 128), "pad_shape": (96, 128)}
METAS = {
    "as it is": SAME,
    "resized": {**SAME, "ori_shape": (131, 173)},
    "resized, no padded size": {"ori_shape": (131, 173), "img_shape": (96, 128)},
    "padded": {**SAME, "ori_shape": (120, 150), "img_padding_size": [0, 9, 3, 5]},
    "mirrored": {**SAME, "ori_shape": (120, 150), "flip": True, "flip_direction": "horizontal"},
}


def segmentors(**options):
    init_default_scope("mmseg")  # another test may have left mmdetection's
    model = ConfigDict({**MODEL, **options})
    theirs, ours = (MODELS.build(each).eval() for each in (model, ConfigDict(labels_only(model))))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def predict(model, meta: dict, count: int = 2) -> list[SegDataSample]:
    torch.manual_seed(0)
    image = torch.nn.functional.interpolate(torch.randn(count, 3, 12, 16), size=(96, 128), mode="bicubic")
    with torch.inference_mode():
        return model.predict(image, [SegDataSample(metainfo=meta) for _ in range(count)])


@pytest.mark.parametrize("meta", METAS.values(), ids=METAS)
def test_labels_are_mmsegmentations(meta: dict) -> None:
    theirs, ours = segmentors()
    for expected, actual in zip(predict(theirs, meta), predict(ours, meta), strict=True):
        expected, actual = expected.pred_sem_seg.data, actual.pred_sem_seg.data
        assert expected.dtype == actual.dtype and torch.equal(expected, actual)
        assert len(expected.unique()) > 3


def test_no_logits_of_the_images_size_are_made() -> None:
    theirs, ours = segmentors()
    assert "seg_logits" in predict(theirs, SAME)[0] and "seg_logits" not in predict(ours, SAME)[0]


def test_sliding_windows_are_mmsegmentations() -> None:
    theirs, ours = segmentors(test_cfg={"mode": "slide", "crop_size": (64, 64), "stride": (48, 48)})
    for expected, actual in zip(predict(theirs, SAME, 1), predict(ours, SAME, 1), strict=True):
        assert torch.equal(expected.pred_sem_seg.data, actual.pred_sem_seg.data)


def test_other_models_stay() -> None:
    wrapper = {"type": "SegTTAModel", "module": MODEL}
    assert labels_only(wrapper) == wrapper and MODEL["type"] == "EncoderDecoder"
