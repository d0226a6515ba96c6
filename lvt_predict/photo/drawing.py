"""Pictures of predictions: a photo under its result, or image, prediction and truth side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

VEIL = 0.65  # how much of a class's colour lies over the image
WRONG = (230, 30, 40)
SHADES = (1.0, 0.7, 1.3, 0.85, 1.15, 0.55)  # brightness of the instances of one class
GAP, SMALLEST_TEXT, NARROWEST = 6, 12, 240  # pixels
BAR = (190, 215, 240)


def segments_over_photo(
    photo: np.ndarray, labels: np.ndarray, *, classes: Sequence[str], palette: Sequence[Sequence[int]]
) -> Image.Image:
    """Draw a photo under the colours of its classes, and the classes below, largest first.

    Args:
        photo: RGB, uint8 ``(H, W, 3)``.
        labels: Class numbers, ``(H, W)``.
        classes: Names of the classes.
        palette: A colour per class.
    """
    colors = np.asarray(palette, dtype=np.uint8)
    panel = _veil(photo, labels, colors, len(classes))
    return _lay_out([("", panel)], _legend(labels, classes, colors))


def panoptic_over_photo(
    photo: np.ndarray,
    ids: np.ndarray,
    labels: dict[int, int],
    *,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    num_things: int,
) -> Image.Image:
    """Draw a photo under its segments, and the classes below, largest first.

    Args:
        photo: RGB, uint8 ``(H, W, 3)``.
        ids: Segment ids, ``(H, W)``; an id that `labels` lacks is void.
        labels: Class number of each id.
        classes: Names, things first.
        palette: A colour per class.
        num_things: How many of the classes are things.
    """
    colors = np.asarray(palette, dtype=np.uint8)
    table = np.full(max([*labels, int(ids.max(initial=0))]) + 1, len(classes))
    table[list(labels)] = list(labels.values())
    panel = _paint_segments(photo, ids, labels, colors, num_things)
    return _lay_out([("", panel)], _legend(table[ids], classes, colors))


def captioned_photo(photo: np.ndarray, lines: Sequence[tuple[str, float]]) -> Image.Image:
    """Draw a photo with a bar of each class's score below.

    Args:
        photo: RGB, uint8 ``(H, W, 3)``.
        lines: Text and score, 0..1, of each class.
    """
    height, width = photo.shape[:2]
    width = max(width, NARROWEST)
    size = max(SMALLEST_TEXT, width // 32)
    line, font = size * 3 // 2, ImageFont.load_default(size)
    page = Image.new("RGB", (width, height + line * len(lines) + GAP), "white")
    page.paste(Image.fromarray(photo), (0, 0))
    draw = ImageDraw.Draw(page)
    for row, (text, score) in enumerate(lines):
        top = height + GAP + row * line
        draw.rectangle((2, top, 2 + round((width - 5) * score), top + line - 3), fill=BAR)
        draw.text((6, top), f"{100 * score:.1f} %  {text}", fill="black", font=font)
    return page


def segmentation_picture(
    image: np.ndarray,
    prediction: np.ndarray,
    truth: np.ndarray | None,
    *,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    ignore_index: int = 255,
) -> Image.Image:
    """Draw image, prediction, truth and errors (red) side by side, and the classes below, largest first.

    Args:
        image: RGB, uint8 ``(H, W, 3)``.
        prediction: Class numbers, ``(H, W)``.
        truth: Class numbers, ``(H, W)``; ``None`` leaves the last two panels out.
        classes: Names of the classes.
        palette: A colour per class.
        ignore_index: Value of the truth that does not count; drawn dark, and black among the errors.
    """
    colors = np.asarray(palette, dtype=np.uint8)
    panels = [("image", image), ("prediction", _veil(image, prediction, colors, ignore_index))]
    seen = prediction
    if truth is not None:
        counted = truth != ignore_index
        wrong = counted & (prediction != truth)
        share = f"{100 * wrong.sum() / max(counted.sum(), 1):.1f} %"
        grey = np.repeat(image.mean(axis=2, keepdims=True) * 0.6 + 60, 3, axis=2).astype(np.uint8)
        grey[wrong] = WRONG
        grey[~counted] = 0
        panels += [("truth", _veil(image, truth, colors, ignore_index)), (f"errors: {share}", grey)]
        seen = np.concatenate((truth[counted], prediction.ravel()))
    return _lay_out(panels, _legend(seen, classes, colors))


def panoptic_picture(
    image: np.ndarray,
    prediction: tuple[np.ndarray, dict[int, int]],
    truth: tuple[np.ndarray, dict[int, int]] | None,
    *,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    num_things: int,
) -> Image.Image:
    """Draw image, prediction and truth side by side, and the classes below, largest first.

    Segments have the colour of their class; instances have different shades of it. White lines separate
    segments, and pixels without a segment are dark.

    Args:
        image: RGB, uint8 ``(H, W, 3)``.
        prediction: Segment ids ``(H, W)``, and the class number of each id; other ids are void.
        truth: Segment ids and class numbers, like `prediction`, or ``None``.
        classes: Names, things first.
        palette: A colour per class.
        num_things: How many of the classes are things.
    """
    colors = np.asarray(palette, dtype=np.uint8)
    panels, pixels = [("image", image)], np.zeros(len(classes), int)
    for title, shown in (("prediction", prediction), ("truth", truth)):
        if shown is not None:
            ids, labels = shown
            panels.append((title, _paint_segments(image, ids, labels, colors, num_things)))
            for segment, label in labels.items():
                pixels[label] += np.count_nonzero(ids == segment)
    legend = [(classes[i], tuple(colors[i].tolist())) for i in np.argsort(-pixels) if pixels[i]]
    return _lay_out(panels, legend)


def _legend(
    labels: np.ndarray, classes: Sequence[str], colors: np.ndarray
) -> list[tuple[str, tuple[int, ...]]]:
    """List the names and colours of the classes in a map, largest first."""
    pixels = np.bincount(labels.ravel(), minlength=len(classes))[: len(classes)]
    order = np.argsort(-pixels, kind="stable")
    return [(classes[i], tuple(colors[i].tolist())) for i in order if pixels[i]]


def _paint_segments(
    image: np.ndarray, ids: np.ndarray, labels: dict[int, int], colors: np.ndarray, num_things: int
) -> np.ndarray:
    painted = np.zeros_like(image)
    instances: dict[int, int] = {}
    for segment, label in labels.items():
        number = instances[label] = instances.get(label, -1) + 1
        shade = SHADES[number % len(SHADES)] if label < num_things else 1.0
        painted[ids == segment] = (colors[label] * shade).clip(0, 255)
    panel = (image * (1 - VEIL) + painted * VEIL).astype(np.uint8)
    edge = np.zeros(ids.shape, bool)
    edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edge[1:] |= ids[1:] != ids[:-1]
    panel[edge] = 255
    return panel


def _veil(image: np.ndarray, labels: np.ndarray, colors: np.ndarray, ignore_index: int) -> np.ndarray:
    known = labels < len(colors)
    painted = colors[np.where(known, labels, 0)]  # (H, W, 3)
    painted[~known | (labels == ignore_index)] = 0
    return (image * (1 - VEIL) + painted * VEIL).astype(np.uint8)


def _lay_out(panels: list[tuple[str, np.ndarray]], legend: list[tuple[str, tuple[int, ...]]]) -> Image.Image:
    """Put panels in a row, each under its title if there are titles, with the legend below."""
    height, width = panels[0][1].shape[:2]
    columns = len(panels) * (width + GAP) - GAP
    size = max(SMALLEST_TEXT, width // 32)  # readable where a page shows the whole picture
    line, font = size * 3 // 2, ImageFont.load_default(size)
    title_height = line if any(title for title, _ in panels) else 0
    rows = _legend_rows(legend, columns, font, size)
    under = title_height + height
    page = Image.new("RGB", (columns, under + line * len(rows) + (GAP if rows else 0)), "white")
    draw = ImageDraw.Draw(page)
    for i, (title, panel) in enumerate(panels):
        left = i * (width + GAP)
        draw.text((left + 2, 2), title, fill="black", font=font)
        page.paste(Image.fromarray(panel), (left, title_height))
    for row, entries in enumerate(rows):
        top = under + GAP + row * line
        for left, name, color in entries:
            draw.rectangle((left, top + 2, left + size - 1, top + size + 1), fill=color, outline="black")
            draw.text((left + size + 3, top), name, fill="black", font=font)
    return page


def _legend_rows(
    legend: list[tuple[str, tuple[int, ...]]],
    width: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: int,
) -> list[list[tuple[int, str, tuple[int, ...]]]]:
    """Arrange legend entries, with their left edges, in as many rows as needed."""
    rows: list[list[tuple[int, str, tuple[int, ...]]]] = []
    left = width
    for name, color in legend:
        needed = size + 3 + int(font.getlength(name)) + size
        if left + needed > width:
            rows.append([])
            left = 2
        rows[-1].append((left, name, color))
        left += needed
    return rows
