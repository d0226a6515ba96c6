"""Results of predictions: arrays and names, as a table, a picture (needs Pillow), JSON, or a mask."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.files import write_whole
from lvt_predict.panoptic import PanopticMap
from lvt_predict.photo.classes import Classes

if TYPE_CHECKING:
    from PIL import Image

TOP = 5
SHOWN_SIDE = 2048  # longest side of a drawn picture: drawing and writing a larger one would take seconds
SMALLEST_SIDE = 320  # pixels that a smaller photo is enlarged to, by a whole number
FAST = 1  # level of PNG's compression


@dataclass(frozen=True)
class Result(ABC):
    """The result of one photo.

    Attributes:
        photo: Photo, RGB, uint8 ``(H, W, 3)``.
        classes: Meaning of the class numbers.
    """

    photo: np.ndarray
    classes: Classes

    @abstractmethod
    def rows(self, top: int = TOP) -> list[dict[str, Any]]:
        """Describe the result by plain values, the largest first.

        Args:
            top: Most classes of a classification.
        """

    @abstractmethod
    def lines(self, top: int = TOP) -> Iterator[str]:
        """Yield the lines of the table that a terminal shows."""

    @abstractmethod
    def draw(self, photo: np.ndarray) -> Image.Image:
        """Draw the result on a photo that may be smaller than the result's."""

    def picture(self, side: int = SHOWN_SIDE) -> Image.Image:
        """Draw the result on the photo.

        Args:
            side: Longest side of the photo in the picture, in pixels; a larger one is made smaller. A photo
                smaller than `SMALLEST_SIDE` is enlarged.
        """
        from PIL import Image

        height, width = self.photo.shape[:2]
        ratio = min(side / max(height, width), max(1, SMALLEST_SIDE // max(height, width)))
        if ratio == 1:
            return self.draw(self.photo)
        size = max(1, round(width * ratio)), max(1, round(height * ratio))
        resampling = Image.Resampling.NEAREST if ratio > 1 else Image.Resampling.BOX
        return self.draw(np.asarray(Image.fromarray(self.photo).resize(size, resampling)))

    def save(self, path: str | Path) -> None:
        """Write the picture whole or not at all; the suffix chooses the format.

        Raises:
            UserError: The file cannot be written, or its suffix names no format of pictures.
        """
        from PIL import Image

        suffix = Path(path).suffix.lower()
        kind = Image.registered_extensions().get(suffix)
        if kind not in Image.SAVE:
            raise UserError(f"{path}: the suffix {suffix!r} names no format of pictures; choose .png or .jpg")
        write_whole(path, partial(self.picture().save, format=kind, compress_level=FAST, quality=92))

    def to_dict(self, top: int = TOP) -> dict[str, Any]:
        """Return the result as plain values."""
        height, width = self.photo.shape[:2]
        return {"height": height, "width": width, self.kind: self.rows(top)}

    def to_json(self, top: int = TOP) -> str:
        """Return the result as one line of JSON."""
        import json

        return json.dumps(self.to_dict(top), ensure_ascii=False)

    @property
    @abstractmethod
    def kind(self) -> str:
        """Name of the list in the JSON."""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_png_(self) -> bytes:
        """Show the picture in a notebook."""
        file = io.BytesIO()
        self.picture(800).save(file, format="PNG", compress_level=FAST)
        return file.getvalue()


@dataclass(frozen=True)
class Classification(Result):
    """The classes of a photo.

    Attributes:
        scores: Probability of each class, ``(C,)`` float32.
    """

    scores: np.ndarray
    kind = "classes"

    def rows(self, top: int = TOP) -> list[dict[str, Any]]:
        order = np.argsort(-self.scores, kind="stable")[:top]
        names = self.classes.names
        return [{"class": names[i], "index": int(i), "score": round(float(self.scores[i]), 6)} for i in order]

    def lines(self, top: int = TOP) -> Iterator[str]:
        for row in self.rows(top):
            yield f"{100 * row['score']:6.2f} %  {row['class']}"

    def draw(self, photo: np.ndarray) -> Image.Image:
        from lvt_predict.photo.drawing import captioned_photo

        return captioned_photo(photo, [(row["class"], row["score"]) for row in self.rows()])


@dataclass(frozen=True)
class Segmentation(Result):
    """The class of each pixel.

    Attributes:
        labels: Class numbers, ``(H, W)``.
    """

    labels: np.ndarray
    kind = "classes"

    def rows(self, top: int = TOP) -> list[dict[str, Any]]:
        pixels = np.bincount(self.labels.ravel(), minlength=len(self.classes.names))
        order = np.argsort(-pixels, kind="stable")
        return [_area(self.classes, int(i), int(pixels[i]), self.labels.size) for i in order if pixels[i]]

    def lines(self, top: int = TOP) -> Iterator[str]:
        for row in self.rows():
            yield f"{100 * row['share']:6.2f} %  {row['pixels']:>11,} pixels  {row['class']}"

    def draw(self, photo: np.ndarray) -> Image.Image:
        from lvt_predict.photo.drawing import segments_over_photo

        labels = _nearest(self.labels, photo.shape)
        return segments_over_photo(photo, labels, classes=self.classes.names, palette=self.classes.palette)

    def mask(self) -> np.ndarray:
        """Return the map as masks on disk have it, ``classes.values``: 8 bits, or 16 for values above 255."""
        values = np.asarray(self.classes.values)
        return values.astype(np.uint16 if values.max() > 255 else np.uint8)[self.labels]


@dataclass(frozen=True)
class Panoptic(Result):
    """The segments of a photo.

    Attributes:
        map: Segment of each pixel, and the meaning of each segment.
        num_things: How many of the classes are things.
    """

    map: PanopticMap
    num_things: int
    kind = "segments"

    def rows(self, top: int = TOP) -> list[dict[str, Any]]:
        pixels = np.bincount(self.map.ids.ravel(), minlength=len(self.map.segments) + 1)
        boxes = _boxes(self.map.ids, len(self.map.segments))
        rows = []
        for segment in self.map.segments:
            row = _area(self.classes, segment.label, int(pixels[segment.id]), self.map.ids.size)
            row |= {"id": segment.id, "is_thing": segment.is_thing, "box": boxes[segment.id - 1]}
            row["score"] = None if segment.score is None else round(segment.score, 6)
            rows.append(row)
        return rows

    def lines(self, top: int = TOP) -> Iterator[str]:
        for row in self.rows():
            score = f"score {row['score']:.2f}" if row["score"] is not None else "stuff"
            yield f"{100 * row['share']:6.2f} %  {row['pixels']:>11,} pixels  {score:<10}  {row['class']}"

    def draw(self, photo: np.ndarray) -> Image.Image:
        from lvt_predict.photo.drawing import panoptic_over_photo

        return panoptic_over_photo(
            photo,
            _nearest(self.map.ids, photo.shape),
            {segment.id: segment.label for segment in self.map.segments},
            classes=self.classes.names,
            palette=self.classes.palette,
            num_things=self.num_things,
        )

    def mask(self) -> np.ndarray:
        """Return the map ``(H, W, 3)`` as COCO stores it: ``id = R + 256 G + 65536 B``, uint8."""
        return np.stack([(self.map.ids >> shift & 255).astype(np.uint8) for shift in (0, 8, 16)], axis=2)

    def segments_info(self) -> list[dict[str, Any]]:
        """Return the segments as COCO's annotations have them."""
        return [
            {
                "id": row["id"],
                "category_id": self.classes.category_ids[row["index"]],
                "area": row["pixels"],
                "bbox": row["box"],
                "iscrowd": 0,
            }
            for row in self.rows()
        ]


def _area(classes: Classes, label: int, pixels: int, total: int) -> dict[str, Any]:
    return {
        "class": classes.names[label],
        "index": label,
        "pixels": pixels,
        "share": round(pixels / total, 6),
    }


def _boxes(ids: np.ndarray, count: int) -> list[list[int]]:
    """Return left, top, width and height of the segments 1 to `count`."""
    boxes = []
    for number in range(1, count + 1):
        inside = ids == number
        (rows,), (columns,) = np.nonzero(inside.any(axis=1)), np.nonzero(inside.any(axis=0))
        left, top = int(columns[0]), int(rows[0])
        boxes.append([left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1])
    return boxes


def _nearest(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Take the nearest value of a map for each pixel of a smaller or an equal picture."""
    rows, columns = ((np.arange(shape[axis]) + 0.5) * values.shape[axis] // shape[axis] for axis in (0, 1))
    return values[rows.astype(np.int64)[:, None], columns.astype(np.int64)]
