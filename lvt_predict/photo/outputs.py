"""Outputs of ``lvt predict``: a table or JSON on the terminal, pictures, videos, and masks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.files import require_writable_folder, write_text, write_whole
from lvt_predict.photo.predictors import Classifier, PanopticPredictor, Predictor
from lvt_predict.photo.results import FAST, Panoptic, Result, Segmentation
from lvt_predict.photo.sources import Film, Item, import_opencv

ANNOTATIONS = "panoptic.json"
VIDEO_SIDE = 1280  # longest side of a written video
CODEC = "mp4v"


class Outputs:
    """The outputs of a command.

    Args:
        arguments: Arguments of ``lvt predict``.

    Raises:
        UserError: A folder cannot be written.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.top, self.json = arguments.top, arguments.json
        self.pictures, self.masks = (
            None if folder is None else require_writable_folder(folder)
            for folder in (arguments.save, arguments.masks)
        )
        if self.masks is not None and self.masks == self.pictures:
            raise UserError(f"--masks {self.masks}: is the folder of --save, too; choose another")
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    @property
    def writes_files(self) -> bool:
        """Whether anything but the table is written."""
        return self.pictures is not None or self.masks is not None

    def require_supported(self, predictor: Predictor) -> None:
        """Reject masks of a classifier.

        Raises:
            UserError: The network has no masks.
        """
        if self.masks is not None and isinstance(predictor, Classifier):
            raise UserError("--masks: a classifier has no masks; --json prints its classes")

    def add(self, item: Item | Film, result: Result) -> None:
        """Write the outputs of a picture.

        Raises:
            UserError: A file cannot be written.
        """
        self._print(item.source, result)
        if self.pictures is not None:
            result.save(self.pictures / f"{item.name}.png")
        if self.masks is not None:
            suffix = Path(item.source).suffix or ".png"
            self._write_mask(f"{item.name}.png", f"{item.name.removesuffix(suffix)}{suffix}", result)

    def add_film(self, film: Film, results: Iterable[Result]) -> None:
        """Write the outputs of a video or a camera, frame by frame.

        Raises:
            UserError: The video cannot be read, or a file cannot be written.
        """
        writer = None
        try:
            for number, result in enumerate(results):
                self._print(film.source, result, frame=number)
                if self.masks is not None:
                    name = f"{film.name}/{number:06}.png"
                    self._write_mask(name, name, result)
                if self.pictures is not None:
                    frame = np.asarray(result.picture(VIDEO_SIDE))
                    writer = writer or self._video(film, frame)
                    writer.add(frame)
        finally:
            if writer is not None:
                writer.close()

    def finish(self, predictor: Predictor) -> None:
        """Write what belongs to all pictures: COCO's annotations.

        Raises:
            UserError: The file cannot be written.
        """
        if self.masks is None or not isinstance(predictor, PanopticPredictor):
            return
        classes, things = predictor.classes, predictor.pipeline.settings["num_things"]
        categories = [
            {"id": number, "name": name, "isthing": int(i < things), "color": list(color)}
            for i, (number, name, color) in enumerate(
                zip(classes.category_ids, classes.names, classes.palette, strict=True)
            )
        ]
        content = {"images": self.images, "annotations": self.annotations, "categories": categories}
        write_text(self.masks / ANNOTATIONS, json.dumps(content) + "\n")

    def _print(self, source: str, result: Result, **more: Any) -> None:
        if self.json:
            row = {"source": source, **more, **result.to_dict(self.top)}
            print(json.dumps(row, ensure_ascii=False), flush=True)
            return
        frame = f", frame {more['frame']}" if "frame" in more else ""
        print(f"{source}{frame}")
        for line in result.lines(self.top):
            print(f"  {line}")

    def _write_mask(self, name: str, photo: str, result: Result) -> None:
        from PIL import Image

        assert self.masks is not None
        assert isinstance(result, (Segmentation, Panoptic))
        image = Image.fromarray(result.mask())
        write_whole(self.masks / name, partial(image.save, format="PNG", compress_level=FAST))
        if isinstance(result, Panoptic):
            number = len(self.images) + 1
            height, width = result.photo.shape[:2]
            self.images.append({"id": number, "file_name": photo, "height": height, "width": width})
            segments = result.segments_info()
            self.annotations.append({"image_id": number, "file_name": name, "segments_info": segments})

    def _video(self, film: Film, frame: np.ndarray) -> _Video:
        assert self.pictures is not None
        return _Video(self.pictures / f"{film.name}.mp4", film.rate(), frame)


class _Video:
    """A video that is written frame by frame, and takes its name when it is complete.

    Args:
        path: File.
        rate: Frames a second.
        frame: First frame, RGB, whose size all have.
    """

    def __init__(self, path: Path, rate: float, frame: np.ndarray) -> None:
        self._cv2 = import_opencv(str(path))
        self.path, self.work = path, path.with_name(f".{path.name}.part{path.suffix}")
        self.size = (frame.shape[1] // 2 * 2, frame.shape[0] // 2 * 2)  # codecs need even sides
        path.parent.mkdir(parents=True, exist_ok=True)
        code = self._cv2.VideoWriter_fourcc(*CODEC)
        self._writer = self._cv2.VideoWriter(str(self.work), code, rate, self.size)
        if not self._writer.isOpened():
            raise UserError(f"cannot write {path}: OpenCV has no encoder for it")

    def add(self, frame: np.ndarray) -> None:
        """Write a frame; the legend below may change its height, so it is cut or filled with white."""
        width, height = self.size
        page = np.full((height, width, 3), 255, np.uint8)
        part = frame[:height, :width]
        page[: part.shape[0], : part.shape[1]] = part
        self._writer.write(page[:, :, ::-1])

    def close(self) -> None:
        """Complete the file."""
        self._writer.release()
        self.work.replace(self.path)
