"""Label maps at the price of their borders: logits are resized bilinearly, and the largest class wins.

A resized value is a weighted mean of a window of few logits. So it lies between the smallest and the largest
of them, and a class can only win in a cell of pixels if its largest logit there is at least the largest over
all classes of the smallest logit. Most cells have one such class and are filled with it. Only the others are
interpolated, for the classes that can win. The result equals that of interpolating every class, bit by bit.

Legend: C classes, H W logits, h w pixels, n cells; along an axis: K logits of a window, S pixels of a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.images import sides

# Rounding moves a value by less than 20 * 2^-24 of the largest logit: in PyTorch by 5 roundings a step, in
# one or two steps, and here by 8. Two values keep their order if they are farther apart than 40 * 2^-24.
MARGIN = 2.0**-18
HUGE = np.float32(1e37)  # from here on, and for infinities and NaN, a class is interpolated in any case
SMALLEST = 1e-37  # margin of logits so small that their products lose all digits


@dataclass(frozen=True)
class Decision:
    """Classes of all pixels.

    Attributes:
        labels: Class of each pixel ``(h, w)`` int64.
        lead: Value of that class less the second largest value ``(h, w)`` float32, infinite where no other
            class comes near.
        scale: Largest absolute logit; rounding errors are parts of it. Infinite if not all are below `HUGE`.
    """

    labels: np.ndarray
    lead: np.ndarray
    scale: float


class Axis:
    """An axis of a resizing: each pixel is a weighted sum of K neighbouring logits.

    Args:
        matrix: Weights ``(pixels, logits)``; in each row the non-zero ones are neighbours, and they move to
            the right from row to row.

    Attributes:
        start: First logit of each pixel's window ``(pixels,)``.
        weights: Weights of the windows ``(K, pixels)`` float32.
        cells: Number of different windows that the axis has room for.
        counts: Pixels of each cell ``(cells,)``.
        pixels: Pixels of each cell ``(S, cells)``; a cell with fewer than S repeats its last one.
    """

    def __init__(self, matrix: np.ndarray) -> None:
        size = matrix.shape[1]
        used = matrix != 0
        first = used.argmax(axis=1)
        last = size - 1 - used[:, ::-1].argmax(axis=1)
        width = min(max(int((last - first).max()) + 1, 2), size)
        self.start = np.minimum(first, size - width)
        places = self.start + np.arange(width)[:, None]
        self.weights = matrix[np.arange(len(matrix)), places].astype(np.float32)
        self.cells = size - width + 1
        begin, end = (np.searchsorted(self.start, np.arange(self.cells), side) for side in ("left", "right"))
        self.counts = end - begin
        steps = np.arange(self.counts.max())[:, None]
        self.pixels = np.clip(np.minimum(begin + steps, end - 1), 0, None)

    @property
    def width(self) -> int:
        """Number of a window's logits, K."""
        return len(self.weights)


def label_map(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize logits bilinearly and return the largest class of each pixel ``(B, h, w)``, int64.

    Of equal values the first class wins. As in `numpy.argmax`, NaN is larger than all numbers. Infinity times
    a weight of zero is NaN, so that a pixel that lies on a logit can become NaN by an infinite neighbour.

    Args:
        logits: ``(B, C, H, W)``; all values are computed in float32.
        size: Height and width of the map.

    Raises:
        UserError: The logits have no such shape, or the size is not a pair of positive whole numbers.
    """
    if logits.ndim != 4 or 0 in logits.shape[1:]:
        raise UserError(f"logits {logits.shape}: expected are (images, classes, height, width)")
    height, width = sides("size", size)
    rows, columns = bilinear_matrix(logits.shape[2], height), bilinear_matrix(logits.shape[3], width)
    maps = [largest_resized(image, rows, columns) for image in logits]
    return np.stack(maps) if maps else np.zeros((0, height, width), np.int64)


def bilinear_matrix(size: int, target: int) -> np.ndarray:
    """Make the matrix ``(target, size)`` of linear interpolation, with PyTorch's float32 coordinates."""
    half = np.float32(0.5)
    ratio = np.float32(size) / np.float32(target)
    places = np.maximum(ratio * (np.arange(target, dtype=np.float32) + half) - half, np.float32(0))
    left = np.minimum(places.astype(np.int64), size - 1)
    share = np.where(left < size - 1, places - left, 0).astype(np.float32)
    matrix = np.zeros((target, size), np.float32)
    pixels = np.arange(target)
    matrix[pixels, np.minimum(left + 1, size - 1)] = share
    matrix[pixels, left] = 1 - share
    return matrix


def resize_matrix(size: int, padded: int, cut: int, target: int) -> np.ndarray:
    """Make the matrix ``(target, size)`` that resizes to `padded`, keeps `cut`, resizes to `target`."""
    return (_interpolation(cut, target) @ _interpolation(size, padded)[:cut]).astype(np.float32)


def _interpolation(size: int, target: int) -> np.ndarray:
    places = np.clip((np.arange(target) + 0.5) * (size / target) - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(size)))


def largest_resized(maps: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Find which map is the largest at each pixel after resizing: ``(h, w)``, int64.

    Args:
        maps: ``(C, H, W)``.
        rows: Matrix of `bilinear_matrix` or `resize_matrix`, ``(h, H)``.
        columns: Matrix ``(w, W)``.
    """
    maps, down, across = np.ascontiguousarray(maps, np.float32), Axis(rows), Axis(columns)
    decision = decide_by_cells(maps, down, across)
    return _decide_by_pixels(maps, down, across) if decision is None else decision.labels


def decide_by_cells(maps: np.ndarray, down: Axis, across: Axis) -> Decision | None:
    """Find the largest map of each pixel cell by cell; ``None`` if that would not be faster.

    Args:
        maps: ``(C, H, W)`` float32, contiguous.
        down: Resizing of the columns.
        across: Resizing of the rows.
    """
    height, width = len(down.start), len(across.start)
    if height * width < 2 * down.cells * across.cells:
        return None
    scale, tame = _scale(maps)
    classes, cells = _candidates(maps, down, across, scale, tame)
    counts = np.bincount(cells, minlength=down.cells * across.cells)
    counts *= (down.counts[:, None] * across.counts).ravel() > 0
    work = int(counts[counts > 1].sum()) * len(down.pixels) * len(across.pixels)
    if 2 * work > len(maps) * height * width:
        return None
    owner = np.zeros(len(counts), np.int64)
    owner[cells] = classes  # right where there is one candidate; the others are written over
    labels = owner.reshape(down.cells, -1)[down.start][:, across.start]
    lead = np.full(labels.shape, np.inf, np.float32)
    contested = counts[cells] > 1
    _settle(maps, down, across, classes[contested], cells[contested], labels, lead)
    return Decision(labels, lead, scale if tame else np.inf)


def _scale(maps: np.ndarray) -> tuple[float, bool]:
    """Return the largest absolute value below `HUGE`, and whether all values are below."""
    largest = max(float(maps.max()), -float(maps.min()))
    if largest < HUGE:
        return largest, True
    with np.errstate(invalid="ignore"):
        return float(np.abs(maps, where=np.abs(maps) < HUGE, out=np.zeros_like(maps)).max()), False


def _candidates(
    maps: np.ndarray, down: Axis, across: Axis, scale: float, tame: bool
) -> tuple[np.ndarray, np.ndarray]:
    """List the maps that can be the largest somewhere in a cell: maps in their order, and cells."""
    slide = partial(_slide, down=down.width, across=across.width)
    floor = np.full((down.cells, across.cells), -np.inf, np.float32)
    for values in maps:
        np.maximum(floor, slide(np.minimum, _replaced(values, tame, -np.inf)), out=floor)
    floor -= np.float32(MARGIN * scale + SMALLEST)
    winners = [np.flatnonzero(slide(np.maximum, _replaced(values, tame, np.inf)) >= floor) for values in maps]
    return np.repeat(np.arange(len(maps)), [len(cells) for cells in winners]), np.concatenate(winners)


def _slide(better: np.ufunc, values: np.ndarray, *, down: int, across: int) -> np.ndarray:
    """Return the smallest or the largest value of each window of `down` x `across` logits."""
    height, width = values.shape[0] - down + 1, values.shape[1] - across + 1
    values = reduce(better, [values[i : i + height] for i in range(down)])
    return reduce(better, [values[:, i : i + width] for i in range(across)])


def _replaced(values: np.ndarray, tame: bool, bound: float) -> np.ndarray:
    """Replace values that arithmetic may turn into anything by their bound."""
    return values if tame else np.where(np.abs(values) < HUGE, values, np.float32(bound))


def _settle(
    maps: np.ndarray,
    down: Axis,
    across: Axis,
    classes: np.ndarray,
    cells: np.ndarray,
    labels: np.ndarray,
    lead: np.ndarray,
) -> None:
    """Interpolate the candidates of contested cells, and write the winners.

    In round k the k-th candidates of all cells compete with the best so far. Cells with many candidates come
    first, so that the cells of a round are a slice.

    Args:
        maps: ``(C, H, W)``.
        down: Resizing of the columns.
        across: Resizing of the rows.
        classes: Candidates, in their order.
        cells: Cell of each candidate.
        labels: Map to write into.
        lead: Leads to write into.
    """
    order = np.argsort(cells, kind="stable")
    place, first, counts = np.unique(cells[order], return_index=True, return_counts=True)
    filled = (down.counts[place // across.cells] > 0) & (across.counts[place % across.cells] > 0)
    place, first, counts = place[filled], first[filled], counts[filled]
    if not len(place):
        return
    many_first = np.argsort(-counts, kind="stable")
    place, first, counts = place[many_first], first[many_first], counts[many_first]
    row, column = np.divmod(place, across.cells)
    ys, xs = down.pixels[:, row], across.pixels[:, column]  # (S, n)
    vertical, horizontal = down.weights[:, ys], across.weights[:, xs]  # (K, S, n)
    best = np.empty((len(ys), len(xs), len(place)), np.float32)
    second, winner = np.full_like(best, -np.inf), np.empty(best.shape, np.int64)
    for k in range(counts[0]):
        n = int(np.searchsorted(-counts, -k))  # cells with more than k candidates
        candidate = classes[order[first[:n] + k]]
        corner = (candidate * maps.shape[1] + row[:n]) * maps.shape[2] + column[:n]
        values = _interpolated(maps, corner, vertical[..., :n], horizontal[..., :n])
        if k == 0:
            best[:], winner[:] = values, candidate
        else:
            _compete(values, candidate, best[..., :n], second[..., :n], winner[..., :n])
    pixels = ys[:, None], xs[None]
    labels[pixels] = winner
    with np.errstate(invalid="ignore"):
        lead[pixels] = best - second


def _interpolated(
    maps: np.ndarray, corner: np.ndarray, vertical: np.ndarray, horizontal: np.ndarray
) -> np.ndarray:
    """Interpolate windows at their pixels: along the rows first, ``(S, S, n)``."""
    flat, width = maps.reshape(-1), maps.shape[2]
    lines = [
        _weighted([flat[corner + i * width + j] for j in range(len(horizontal))], horizontal)  # (S, n)
        for i in range(len(vertical))
    ]
    return _weighted(lines, vertical[:, :, None])


def _weighted(values: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Add up weighted values, in their order."""
    with np.errstate(invalid="ignore", over="ignore"):
        total = values[0] * weights[0]
        for value, weight in zip(values[1:], weights[1:], strict=True):
            total += value * weight
    return total


def _compete(
    values: np.ndarray, index: np.ndarray | int, best: np.ndarray, second: np.ndarray, winner: np.ndarray
) -> None:
    """Let values of a later map compete with the best so far; equal ones lose, and NaN wins over numbers."""
    better = ~(values <= best)
    better &= best == best  # NaN stays
    np.maximum(second, np.minimum(best, values), out=second)
    np.copyto(winner, index, where=better)
    np.maximum(best, values, out=best)


def _decide_by_pixels(maps: np.ndarray, down: Axis, across: Axis) -> np.ndarray:
    """Interpolate every map, one at a time: all maps at full size would not fit the cache."""
    size = len(down.start), len(across.start)
    best, second = np.full((2, *size), -np.inf, np.float32)
    winner = np.zeros(size, np.int64)
    for index, values in enumerate(maps):
        lines = _weighted(
            [values[:, across.start + j] for j in range(across.width)], across.weights
        )  # (H, w)
        values = _weighted([lines[down.start + i] for i in range(down.width)], down.weights[..., None])
        _compete(values, index, best, second, winner)
    return winner
