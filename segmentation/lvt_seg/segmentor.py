"""mmsegmentation's `EncoderDecoder`, which predicts labels without resizing the logits of every class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from lvt_core.semantic.resized import Resizing, label_map


@MODELS.register_module()
class LabelEncoderDecoder(EncoderDecoder):
    """`EncoderDecoder` with the same labels, and without ``seg_logits`` in its samples.

    Commands that need labels only put it in the place of an `EncoderDecoder` (`labels_only`). A GPU, sliding
    windows, flipped images, heads with their own prediction and two-class heads with one output take
    mmsegmentation's way.
    """

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Predict the labels of images; return the samples with ``pred_sem_seg``.

        Args:
            inputs: Normalised images ``(B, 3, H, W)``.
            data_samples: Samples whose ``metainfo`` has the images' sizes.
        """
        if data_samples is None or not self._plain(inputs, data_samples):
            return super().predict(inputs, data_samples)
        logits = self._forward(inputs)
        padded = _padded(data_samples[0].metainfo)
        for image, sample in zip(logits.split(1), data_samples, strict=True):
            resizing = Resizing(sample.ori_shape[:2], padded, _cut(sample.metainfo, padded))
            sample.set_data({"pred_sem_seg": PixelData(data=label_map(image, resizing))})
        return data_samples

    def _plain(self, inputs: Tensor, data_samples: list[SegDataSample]) -> bool:
        return (
            inputs.device.type == "cpu"
            and self.test_cfg.get("mode", "whole") == "whole"
            and self.out_channels > 1
            and not self.align_corners
            and type(self.decode_head).predict is BaseDecodeHead.predict
            and type(self.decode_head).predict_by_feat is BaseDecodeHead.predict_by_feat
            and not any(sample.metainfo.get("flip") for sample in data_samples)
        )


def labels_only(model: Mapping[str, Any]) -> dict[str, Any]:
    """Let a config's `EncoderDecoder` predict labels only; other models stay as they are."""
    names = ("EncoderDecoder", "mmseg.EncoderDecoder")
    return {**model, "type": LabelEncoderDecoder.__name__} if model["type"] in names else dict(model)


def _padded(meta: Mapping[str, Any]) -> tuple[int, int]:
    """Return the size that `BaseDecodeHead.predict_by_feat` resizes to."""
    return tuple(meta.get("pad_shape", meta["img_shape"])[:2])


def _cut(meta: Mapping[str, Any], padded: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns inside of the padding, as `BaseSegmentor.postprocess_result` does."""
    left, right, top, bottom = meta.get("img_padding_size", meta.get("padding_size", [0] * 4))
    return slice(top, padded[0] - bottom), slice(left, padded[1] - right)
