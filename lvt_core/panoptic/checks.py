"""Checks of an annotated image: its map, its boxes and its picture agree with the JSON file."""

from __future__ import annotations

from pathlib import Path

from lvt_core.errors import UserError
from lvt_core.panoptic.annotations import AnnotatedImage
from lvt_core.panoptic.quality import check_boxes, check_map, read_map


def check_map_of(image: AnnotatedImage, maps: str | Path, source: str | Path) -> None:
    """Read the map of an image, and compare it with the JSON file.

    Args:
        image: Image.
        maps: Folder of the maps.
        source: JSON file, for messages.

    Raises:
        UserError: The map is missing, cannot be read, or disagrees with the JSON file.
    """
    if image.map_name is None:
        raise UserError(f"{source}: image {image.id} ({image.file_name}) has no annotation")
    path = Path(maps) / image.map_name
    ids = read_map(path)
    if ids.shape != (image.height, image.width):
        raise UserError(
            f"{path}: {ids.shape[1]} x {ids.shape[0]} pixels, but {source} says "
            f"{image.width} x {image.height}"
        )
    check_map(ids, [segment.id for segment in image.segments], path)
    boxes = {segment.id: segment.box for segment in image.segments}
    check_boxes(ids, boxes, f"{source}: image {image.id}, {path.name}")


def check_size_of(image: AnnotatedImage, path: Path, size: tuple[int, int], source: str | Path) -> None:
    """Compare the size of a picture with the JSON file.

    Args:
        image: Image.
        path: File of the picture, for messages.
        size: Width and height of the picture as a viewer shows it.
        source: JSON file, for messages.

    Raises:
        UserError: The sizes differ.
    """
    if size != (image.width, image.height):
        raise UserError(
            f"{path}: {size[0]} x {size[1]} pixels as a viewer shows it, but {source} says "
            f"{image.width} x {image.height}"
        )
