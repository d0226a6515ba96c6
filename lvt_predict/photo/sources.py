"""Photos from files, folders, patterns, videos, cameras and the standard input."""

from __future__ import annotations

import glob
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.folders import visible_files
from lvt_predict.model import missing
from lvt_predict.pictures import SUFFIXES, read_picture

if TYPE_CHECKING:
    from PIL import Image

VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
CAMERA = "camera:"
STANDARD_INPUT = "-"
RATE = 25.0  # frames a second, where a video or a camera does not say


@dataclass(frozen=True)
class Item:
    """A photo to predict, read when it is needed.

    Attributes:
        source: Path or other name, for messages and tables.
        name: Name of the outputs, without a suffix.
        file: File, or the standard input's bytes.
    """

    source: str
    name: str
    file: Path | BytesIO

    def read(self, *, exif: bool) -> Image.Image:
        """Read the photo.

        Raises:
            UserError: The photo cannot be read.
        """
        if isinstance(self.file, BytesIO):
            try:
                return read_picture(self.file, exif=exif)
            except UserError as error:
                raise UserError(f"{self.source}: {str(error).partition(': ')[2] or error}") from error
        return read_picture(self.file, exif=exif)


@dataclass(frozen=True)
class Film:
    """A video or a camera.

    Attributes:
        source: Path, or ``camera:N``.
        name: Name of the outputs, without a suffix.
    """

    source: str
    name: str

    def frames(self) -> Iterator[np.ndarray]:
        """Yield frames, RGB, uint8 ``(H, W, 3)``, one at a time.

        Raises:
            UserError: OpenCV is not installed, or cannot open the video.
        """
        cv2, film = self._open()
        try:
            while True:
                ok, frame = film.read()
                if not ok:
                    return
                yield np.ascontiguousarray(frame[:, :, ::-1])
        finally:
            film.release()

    def rate(self) -> float:
        """Return the frames a second."""
        cv2, film = self._open()
        rate = float(film.get(cv2.CAP_PROP_FPS))
        film.release()
        return rate if 0 < rate < 1000 else RATE

    def _open(self) -> tuple[Any, Any]:
        cv2 = import_opencv(self.source)
        number = self.source.removeprefix(CAMERA)
        place: str | int = int(number) if self.source.startswith(CAMERA) else self.source
        film = cv2.VideoCapture(place)
        if not film.isOpened():
            what = "no such camera" if isinstance(place, int) else "cannot be read as a video"
            raise UserError(f"{self.source}: {what}")
        return cv2, film


def import_opencv(source: str) -> Any:
    """Import OpenCV, which reads and writes videos.

    Raises:
        UserError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise UserError(f"{source}: {missing(error, 'opencv-python')}") from error
    cv2.setLogLevel(0)
    return cv2


def find_items(sources: Sequence[str]) -> tuple[list[Item | Film], Counter[str]]:
    """List the photos and videos that sources name.

    Args:
        sources: Files, folders, patterns, ``camera:N``, or ``-`` for the standard input.

    Returns:
        Items in order, folders sorted by name; and the files in folders that are neither photos nor videos,
        counted by suffix.

    Raises:
        UserError: A source does not exist, or has no photo.
    """
    places: list[tuple[str, Path | None]] = []  # the user's name of a file, and its path below the source
    skipped: Counter[str] = Counter()
    for source in sources:
        if source == STANDARD_INPUT or _is_camera(source):
            places.append((source, None))
        elif Path(source).is_dir():
            places += [(str(Path(source, path)), path) for path in _in_folder(Path(source), skipped)]
        elif Path(source).exists():
            places.append((source, Path(Path(source).name)))
        elif matches := sorted(glob.glob(source, recursive=True)):
            fixed = _fixed_part(source)
            places += [(match, Path(match).relative_to(fixed)) for match in matches if Path(match).is_file()]
        else:
            raise UserError(f"{source}: no such picture, folder or pattern")
    if not places:
        left_out = ", ".join(sorted(skipped))
        rest = f", only files with {left_out}" if left_out else ""
        raise UserError(f"{' '.join(sources)}: has no pictures ({', '.join(SUFFIXES)}){rest}")
    stems = Counter(str(path.with_suffix("")) for _, path in places if path)
    return [_item(source, path, stems) for source, path in places], skipped


def require_own_names(items: Sequence[Item | Film]) -> None:
    """Reject sources whose outputs would have one name.

    Raises:
        UserError: Two sources would be written to one file.
    """
    first: dict[str, str] = {}
    for item in items:
        if first.setdefault(item.name, item.source) != item.source:
            raise UserError(
                f"{first[item.name]} and {item.source} would both be written to {item.name}; "
                "name their common folder, or predict them one after the other"
            )


def _item(source: str, path: Path | None, stems: Counter[str]) -> Item | Film:
    if source == STANDARD_INPUT:
        return Item("standard input", "standard-input", BytesIO(sys.stdin.buffer.read()))
    if path is None:
        return Film(source, source.replace(":", "-"))
    stem = str(path.with_suffix(""))
    name = stem if stems[stem] == 1 else str(path)
    return Film(source, name) if path.suffix.lower() in VIDEOS else Item(source, name, Path(source))


def _is_camera(source: str) -> bool:
    return source.startswith(CAMERA) and source.removeprefix(CAMERA).isdecimal()


def _in_folder(folder: Path, skipped: Counter[str]) -> Iterator[Path]:
    """Yield the pictures and videos of a folder and those inside, each folder once."""
    for path in visible_files(folder, once=True):
        suffix = path.suffix.lower()
        if suffix in (*SUFFIXES, *VIDEOS):
            yield path.relative_to(folder)
        else:
            skipped[suffix or "no suffix"] += 1


def _fixed_part(pattern: str) -> Path:
    """Return the folder before the first part of a pattern that has a wildcard."""
    parts = Path(pattern).parts
    wild = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:wild])
