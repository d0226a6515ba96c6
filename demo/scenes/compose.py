"""Scenes: scanned digits on painted backgrounds, with the class and the instance of every pixel.

H, W = height and width of the scene; h, w = height and width of one drawn digit; K = number of digits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from demo.scenes.backgrounds import paint_background
from demo.scenes.scans import load_scans, split_number

MAX_TURN = 0.12  # radians, 7 degrees: the scans lean by themselves
# A scan fills a square of side `digit_height`. Turning enlarges it by at most cos 7° + sin 7° = 1.12, and
# stretching by 1.1: 0.81 x 1.12 x 1.1 = 0.998 of the scene's shorter side.
LARGEST_DIGIT = 0.81
SMALLEST_DIGIT = 8  # pixels: below this the upscaled scan would lose pixels again
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
CONTRAST = 0.4  # how much lighter, in luma, a digit is than what lies under it
PLACES_TRIED = 40


@dataclass(frozen=True)
class SceneObject:
    """One digit in a scene.

    Attributes:
        digit: Class, 0..9.
        box: Left, top, right and bottom of the visible pixels; right and bottom are exclusive.
        scan: Scan that was drawn, an index into `load_scans()`.
    """

    digit: int
    box: tuple[int, int, int, int]
    scan: int


@dataclass(frozen=True)
class Scene:
    """Picture of a scene, and the truth about its pixels.

    Attributes:
        image: RGB picture, uint8, shape (H, W, 3).
        instances: Instance of each pixel, int32, shape (H, W): 0 = background, k = `objects[k - 1]`.
        backgrounds: Kind of background at each pixel, under the digits too: uint8, shape (H, W), positions
            in `BACKGROUNDS`.
        objects: The K digits; later ones cover earlier ones.
    """

    image: np.ndarray
    instances: np.ndarray
    backgrounds: np.ndarray
    objects: tuple[SceneObject, ...]


def scene_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """Return the random generator of one scene, which does not depend on the scenes before it."""
    return np.random.default_rng((seed, split_number(split), index))


def compose_scene(
    rng: np.random.Generator,
    *,
    scans: Sequence[int],
    kinds: tuple[str, ...],
    height: int,
    width: int,
    digit_height: tuple[int, int],
) -> Scene:
    """Draw one digit per scan onto a painted background.

    Each digit has its own size, turn, stroke width, place, and a colour lighter than the pixels under it.
    Digits lie apart while there is room; then a digit takes the place where it covers the least.

    Args:
        rng: Source of every choice, see `scene_rng`.
        scans: Indices into `load_scans()`, one per digit; may be empty.
        kinds: Names from `BACKGROUNDS`, one or two.
        height: Height H, in pixels.
        width: Width W, in pixels.
        digit_height: Smallest and largest height of a digit, in pixels.

    Raises:
        ValueError: A digit of that height does not fit, or one digit is hidden by others.
    """
    largest = int(LARGEST_DIGIT * min(height, width))
    if not SMALLEST_DIGIT <= digit_height[0] <= digit_height[1] <= largest:
        raise ValueError(
            f"digit_height={digit_height}: must be (low, high) within "
            f"{SMALLEST_DIGIT}..{largest} for a {height} x {width} scene"
        )
    picture, backgrounds = paint_background(rng, kinds=kinds, height=height, width=width)
    instances = np.zeros((height, width), np.int32)
    for number, scan in enumerate(scans, start=1):
        alpha = draw_digit(rng, load_scans().ink[scan], digit_height=digit_height)  # (h, w)
        window = _place(rng, alpha > 0.5, instances)
        under = picture[window]  # (h, w, 3), a view
        colour = _lighter_colour(rng, under[alpha > 0.5])
        under += alpha[..., None] * (colour - under)
        instances[window][alpha > 0.5] = number
    return Scene(
        image=(picture * 255).round().astype(np.uint8),
        instances=instances,
        backgrounds=backgrounds,
        objects=_describe(instances, scans),
    )


def draw_digit(rng: np.random.Generator, ink: np.ndarray, *, digit_height: tuple[int, int]) -> np.ndarray:
    """Enlarge a scan smoothly, turned and stretched a little, and cut it to its visible part.

    Args:
        rng: Source of size, turn, stretch and stroke width.
        ink: Scan, float in 0..1, shape (8, 8).
        digit_height: Smallest and largest height before turning, in pixels.

    Returns:
        Share of each pixel that the digit covers, float32 in 0..1, shape (h, w).
    """
    tall = rng.integers(digit_height[0], digit_height[1], endpoint=True)
    turn = rng.uniform(-MAX_TURN, MAX_TURN)
    stretch = rng.uniform(0.85, 1.1)  # factor of the width
    threshold = rng.uniform(0.38, 0.5)  # a lower one makes a thicker stroke

    # At 8 x 8 thin strokes are grey: without sharpening, the threshold would tear them.
    padded = np.pad(ink, 2)  # (12, 12), room for the outer half of the strokes
    padded = 2 * padded - ndimage.gaussian_filter(padded, 1.0)
    side = int(np.ceil(1.6 * tall))  # the turned and stretched square is 1.12 x 1.1 = 1.23 wide
    step = len(ink) / tall  # scan pixels per picture pixel
    cos, sin = np.cos(turn), np.sin(turn)
    to_scan = step * np.array([[cos, sin], [-sin / stretch, cos / stretch]])  # picture -> scan
    middle = (np.array(padded.shape) - 1) / 2
    offset = middle - to_scan @ np.full(2, (side - 1) / 2)
    smooth = ndimage.affine_transform(padded, to_scan, offset, (side, side), order=3)

    alpha = np.clip((smooth - threshold) / 0.25, 0, 1)  # (side, side)
    alpha = alpha * alpha * (3 - 2 * alpha)  # smooth at both ends of the edge
    left, top, right, bottom = _box(alpha > 0.05)
    return alpha[top:bottom, left:right].astype(np.float32)  # (h, w)


def _place(rng: np.random.Generator, mask: np.ndarray, instances: np.ndarray) -> tuple[slice, slice]:
    """Choose the place for a mask (h, w) that covers the least of earlier digits."""
    h, w = mask.shape
    best, least = None, np.inf
    for _ in range(PLACES_TRIED):
        top = rng.integers(instances.shape[0] - h, endpoint=True)
        left = rng.integers(instances.shape[1] - w, endpoint=True)
        window = slice(top, top + h), slice(left, left + w)
        covered = int(np.count_nonzero(instances[window][mask]))
        if covered < least:
            best, least = window, covered
        if least == 0:
            break
    assert best is not None
    return best


def _lighter_colour(rng: np.random.Generator, under: np.ndarray) -> np.ndarray:
    """Draw a colour (3,) that is lighter than nearly all of the pixels (n, 3) under it."""
    colours = rng.uniform(size=(48, 3)).astype(np.float32)
    contrast = colours @ LUMA - np.quantile(under @ LUMA, 0.9)  # (48,)
    enough = np.flatnonzero(contrast >= CONTRAST)
    return colours[enough[0] if len(enough) else contrast.argmax()]


def _describe(instances: np.ndarray, scans: Sequence[int]) -> tuple[SceneObject, ...]:
    """Describe the visible part of each digit in the finished map.

    Raises:
        ValueError: A digit is hidden.
    """
    objects = []
    for number, scan in enumerate(scans, start=1):
        visible = instances == number
        if not visible.any():
            raise ValueError(
                f"scans: digit {number} of {len(scans)} is hidden in a scene of "
                f"{instances.shape[0]} x {instances.shape[1]}; allow fewer or smaller digits"
            )
        objects.append(SceneObject(digit=int(load_scans().digit[scan]), box=_box(visible), scan=int(scan)))
    return tuple(objects)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the true pixels of a mask, the last two exclusive."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
