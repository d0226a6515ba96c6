"""The steps of a panoptic network between its three parts, in numpy.

The trunk turns the image into maps; the box head and the mask head work on the features of boxes. This module
does the steps between them and fuses their outputs into one map, with the same decisions as mmdetection with
our `PanopticFusionHead`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.images import require_input, sides
from lvt_predict.label_map import largest_resized, resize_matrix
from lvt_predict.panoptic import boxes as ops
from lvt_predict.panoptic.manifest import PARTS
from lvt_predict.panoptic.segments import VOID, Instances, PanopticMap, PanopticSegment

Part = Callable[[np.ndarray], Sequence[np.ndarray]]


class PanopticPipeline:
    """The three networks and the steps between them.

    Args:
        settings: Content of ``model.json``: the fields of `panoptic.manifest.RULES`.
        parts: Functions from input to outputs, by the names of `PARTS`.
    """

    def __init__(self, settings: Mapping[str, Any], parts: Mapping[str, Part]) -> None:
        self.settings = settings
        self.trunk, self.box_head, self.mask_head = (parts[name] for name in PARTS)
        self._anchors: dict[tuple[int, ...], np.ndarray] = {}

    def __call__(
        self,
        images: np.ndarray,
        *,
        extent: tuple[int, int] | None = None,
        size: tuple[int, int] | None = None,
    ) -> PanopticMap:
        """Find the segments of an image.

        Args:
            images: Normalised image ``(1, 3, H, W)``, float32, at the top left; the rest is ``pad_value``.
            extent: Height and width of the image inside of `images`; by default those of `images`.
            size: Height and width of the map; by default those of `extent`. For a resized image, pass the
                size before resizing.

        Raises:
            UserError: The file does not support the type or size of the image, `extent` exceeds the image, or
                a size is not a pair of positive whole numbers.
        """
        require_input(images)
        if len(images) != 1:
            raise UserError(f"images {images.shape}: pass one image at a time")
        height, width = images.shape[2:]
        extent = sides("extent", (height, width) if extent is None else extent)
        if extent[0] > height or extent[1] > width:
            raise UserError(f"extent {extent}: must not exceed the images' {(height, width)}")
        size = extent if size is None else sides("size", size)
        scores, deltas, maps, stuff = self._split(self.trunk(images))
        proposals = self.propose(scores, deltas, extent)
        instances = self.classify(maps, proposals, extent)
        masks = self.segment(maps, instances)
        ratio = np.array([extent[1] / size[1], extent[0] / size[0]] * 2, np.float32)
        labels = self.stuff_labels(stuff, images, extent, size)
        return self.fuse(instances, masks, instances.boxes / ratio, labels)

    def _split(
        self, outputs: Sequence[np.ndarray]
    ) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray], Sequence[np.ndarray], np.ndarray]:
        levels, maps = len(self.settings["proposals"]["strides"]), len(self.settings["roi"]["strides"])
        *rest, stuff = (value[0] for value in outputs)
        if len(rest) != 2 * levels + maps:
            raise UserError(f"the trunk has {len(rest) + 1} outputs, expected are {2 * levels + maps + 1}")
        return rest[:levels], rest[levels : 2 * levels], rest[2 * levels :], stuff

    def propose(
        self, scores: Sequence[np.ndarray], deltas: Sequence[np.ndarray], extent: tuple[int, int]
    ) -> np.ndarray:
        """Propose boxes ``(K, 4)`` that may contain a thing, best first.

        Args:
            scores: Logits ``(A, H_i, W_i)`` of each level.
            deltas: Changes of the anchors, ``(4 A, H_i, W_i)``, of each level.
            extent: Height and width of the image.
        """
        options = self.settings["proposals"]
        boxes, probabilities, levels = [], [], []
        for level, (score, delta) in enumerate(zip(scores, deltas, strict=True)):
            flat = ops.sigmoid(score.transpose(1, 2, 0).reshape(-1))  # in the order of the anchors
            chosen = ops.best(flat, options["nms_pre"])
            delta = delta.transpose(1, 2, 0).reshape(-1, 4)[chosen]
            anchors = self._level_anchors(level, *score.shape[1:])[chosen]
            boxes.append(ops.decode(anchors, delta, **_coder(options), size=extent))
            probabilities.append(flat[chosen])
            levels.append(np.full(len(chosen), level))
        box, probability, level_of = (np.concatenate(each) for each in (boxes, probabilities, levels))
        if options["min_size"] >= 0:
            large = ((box[:, 2:] - box[:, :2]) > options["min_size"]).all(axis=1)
            box, probability, level_of = box[large], probability[large], level_of[large]
        kept = ops.suppress_groups(box, probability, level_of, options["nms"], options["count"])
        return box[kept]

    def classify(
        self, maps: Sequence[np.ndarray], proposals: np.ndarray, extent: tuple[int, int]
    ) -> Instances:
        """Classify the proposals and move their boxes onto the things."""
        options, things = self.settings["boxes"], self.settings["num_things"]
        logits, deltas = self._run(self.box_head, maps, proposals, "boxes")
        scores = ops.softmax(logits)[:, :things]
        row, label = np.nonzero(scores > options["score"])
        delta = deltas.reshape(-1, things, 4)[row, label]
        boxes = ops.decode(proposals[row], delta, **_coder(options), size=extent)
        score = scores[row, label]
        groups = np.zeros_like(label) if options["class_agnostic"] else label
        kept = ops.suppress_groups(boxes, score, groups, options["nms"], options["count"])
        return Instances(boxes[kept], score[kept], label[kept])

    def segment(self, maps: Sequence[np.ndarray], instances: Instances) -> np.ndarray:
        """Compute the mask of each instance inside of its box: ``(N, M, M)``, 0..1."""
        if not len(instances.boxes):
            return np.zeros((0, 1, 1), np.float32)
        (logits,) = self._run(self.mask_head, maps, instances.boxes, "masks")
        return ops.sigmoid(logits[np.arange(len(logits)), instances.labels])

    def stuff_labels(
        self, logits: np.ndarray, images: np.ndarray, extent: tuple[int, int], size: tuple[int, int]
    ) -> np.ndarray:
        """Find the best class of each pixel ``(H, W)``; the last of the logits stands for all things."""
        rows, columns = (
            resize_matrix(logits.shape[1 + i], images.shape[2 + i], extent[i], size[i]) for i in (0, 1)
        )
        return largest_resized(logits, rows, columns)

    def fuse(
        self, instances: Instances, masks: np.ndarray, boxes: np.ndarray, stuff: np.ndarray
    ) -> PanopticMap:
        """Lay instances over each other by falling score, and fill the rest with stuff.

        Args:
            instances: Instances with scores and labels.
            masks: Masks ``(N, M, M)``.
            boxes: Boxes ``(N, 4)`` in the map's pixels.
            stuff: Class of each pixel ``(H, W)``.
        """
        options, num_things = self.settings["fusion"], self.settings["num_things"]
        height, width = stuff.shape
        ids = np.zeros((height, width), np.int32)
        segments: list[PanopticSegment] = []
        for index in np.argsort(-instances.scores, kind="stable"):
            rows, columns, soft = ops.paste(masks[index], boxes[index], (height, width))
            mask, under = soft >= self.settings["masks"]["threshold"], ids[rows, columns]
            free = mask & (under == VOID)
            area = int(mask.sum())
            if not area or (area - free.sum()) / (area + 1e-5) > options["mask_overlap"]:
                continue
            label, score = int(instances.labels[index]), float(instances.scores[index])
            segments.append(PanopticSegment(len(segments) + 1, label, score, True))
            under[free] = len(segments)
        bare = ids == VOID
        pixels = np.bincount(stuff[bare], minlength=self.settings["num_stuff"] + 1)
        for label in range(self.settings["num_stuff"]):
            if pixels[label] and pixels[label] >= options["stuff_area_limit"]:
                segments.append(PanopticSegment(len(segments) + 1, num_things + label, None, False))
                ids[bare & (stuff == label)] = len(segments)
        return PanopticMap(ids, segments)

    def _run(self, head: Part, maps: Sequence[np.ndarray], boxes: np.ndarray, kind: str) -> list[np.ndarray]:
        """Run a head on boxes, in batches of its fixed size; zeros fill the last batch."""
        options, roi = self.settings[kind], self.settings["roi"]
        count, size = options["batch"], options["roi_size"]
        features = np.zeros((len(boxes), maps[0].shape[0], size, size), np.float32)
        levels = ops.roi_levels(boxes, len(maps), roi["finest_scale"])
        for level, (values, stride) in enumerate(zip(maps, roi["strides"], strict=True)):
            chosen = np.flatnonzero(levels == level)
            features[chosen] = ops.roi_align(values, boxes[chosen], size, 1 / stride, roi["sampling_ratio"])
        outputs = []
        for start in range(0, max(len(boxes), 1), count):
            part = features[start : start + count]
            filled = np.zeros((count, *features.shape[1:]), np.float32)
            filled[: len(part)] = part
            outputs.append([value[: len(part)] for value in head(filled)])
        return [np.concatenate(values) for values in zip(*outputs, strict=True)]

    def _level_anchors(self, level: int, height: int, width: int) -> np.ndarray:
        """Return the anchors of a level, computed at the first call."""
        key, options = (level, height, width), self.settings["proposals"]
        if key not in self._anchors:
            base = np.asarray(options["anchors"][level], np.float32)
            self._anchors[key] = ops.grid_anchors(base, options["strides"][level], height, width)
        return self._anchors[key]


def _coder(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"means": options["means"], "stds": options["stds"]}
