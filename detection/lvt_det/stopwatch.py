"""A stopwatch for the parts of a panoptic segmentor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from lvt_core.timing import seconds_of

NETWORK = ("backbone", "neck", "proposals", "boxes", "masks", "stuff")


class Stopwatch:
    """Times the parts of a panoptic segmentor of mmdetection while it predicts, one image at a time.

    Parts of the network: ``backbone``, ``neck``, ``proposals`` (RPN with its NMS), ``boxes`` (box head with
    its NMS), ``masks`` (mask head), ``stuff`` (semantic head). Post-processing: ``mask pasting``,
    ``stuff resizing``, ``fusion``.

    Args:
        model: Model whose methods are replaced by timed ones.

    Attributes:
        running: Whether to take times; otherwise the model runs as without a stopwatch.
        seconds: Times of every image, by part.
    """

    def __init__(self, model: Any) -> None:
        self.running = False
        self.seconds: dict[str, list[float]] = {}
        self._current: dict[str, float] = {}
        self._instances = 0
        roi, semantic = model.roi_head, model.semantic_head
        for owner, method, name in (
            (model.backbone, "forward", "backbone"),
            (model.neck, "forward", "neck"),
            (model.rpn_head, "predict", "proposals"),
            (roi, "predict_bbox", "boxes"),
            (roi, "_mask_forward", "masks"),
            (roi.mask_head, "predict_by_feat", "mask pasting"),
            (semantic, "forward", "stuff"),
            (semantic, "predict", "stuff resizing"),
            (model.panoptic_fusion_head, "predict", "fusion"),
        ):
            self._time(owner, method, name)

    def next_image(self) -> int:
        """Record the predicted image; return its number of instances."""
        current = self._current
        # The prediction of stuff runs the network's part inside.
        current["stuff resizing"] = current.get("stuff resizing", 0.0) - current.get("stuff", 0.0)
        for name in (*NETWORK, "mask pasting", "stuff resizing", "fusion"):
            self.seconds.setdefault(name, []).append(current.get(name, 0.0))
        self._current = {}
        return self._instances

    def _time(self, owner: nn.Module, method: str, name: str) -> None:
        plain: Callable = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if not self.running:
                return plain(*args, **kwargs)
            result: list[Any] = []
            seconds = seconds_of(lambda: result.append(plain(*args, **kwargs)))
            self._current[name] = self._current.get(name, 0.0) + seconds
            if name == "boxes":
                self._instances = sum(len(instances) for instances in result[0])
            return result[0]

        setattr(owner, method, timed)
