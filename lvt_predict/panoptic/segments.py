"""Segments of an image, and the instances that they are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VOID = 0


@dataclass(frozen=True)
class PanopticSegment:
    """A segment of a map.

    Attributes:
        id: Value of the segment's pixels in the map; not `VOID`.
        label: Class, a position in the classes: things, then stuff.
        score: Confidence of a thing, 0..1; ``None`` for stuff.
        is_thing: Whether the segment is one instance of its class.
    """

    id: int
    label: int
    score: float | None
    is_thing: bool


@dataclass(frozen=True)
class PanopticMap:
    """The segments of an image.

    Attributes:
        ids: Segment of each pixel, ``(H, W)`` int32; `VOID` where there is none.
        segments: Things by falling score, then stuff by label; ids count from 1.
    """

    ids: np.ndarray
    segments: list[PanopticSegment]


@dataclass(frozen=True)
class Instances:
    """Boxes ``(N, 4)`` in pixels of the network's input, with scores and labels ``(N,)``, best first."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
