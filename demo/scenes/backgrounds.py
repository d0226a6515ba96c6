"""Backgrounds: six kinds that differ in texture, so that a network can recognise them.

Colours are drawn anew for each picture and do not depend on the kind. Each painter returns a pattern: a
value in 0..1 per pixel, which blends one colour into a similar one. The pattern stays visible, yet weaker
than the contrast with a digit drawn over it.

H, W = height and width of the picture.
"""

import colorsys
from collections.abc import Callable

import numpy as np
from scipy import ndimage


def _axes(rng: np.random.Generator, height: int, width: int, turn: float) -> np.ndarray:
    """Return pixel coordinates (2, H, W) along two axes turned by at most `turn` radians."""
    angle = rng.uniform(-turn, turn)
    y, x = np.mgrid[:height, :width]
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    return np.stack((along, across)) + rng.uniform(0, 64, size=(2, 1, 1))


def _soft(wave: np.ndarray) -> np.ndarray:
    """Turn a wave around 0 into a pattern in 0..1 whose edges are about one pixel wide."""
    return np.clip(0.5 + 2.0 * wave, 0, 1)


def _sky(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Paint a smooth gradient from top to bottom."""
    bend = rng.uniform(0.7, 1.5)
    column = np.linspace(0, 1, height) ** bend  # (H,)
    return np.repeat(column[:, None], width, axis=1)  # (H, W)


def _stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Paint parallel bands in any direction."""
    along, _ = _axes(rng, height, width, turn=np.pi / 2)
    return _soft(np.sin(2 * np.pi * along / rng.uniform(6, 10)))


def _checker(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Paint a chessboard, turned a little."""
    along, across = _axes(rng, height, width, turn=0.5) * np.pi / rng.uniform(5, 8)
    return _soft(2 * np.sin(along) * np.sin(across))


def _gravel(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Paint grains without any order."""
    grains = ndimage.gaussian_filter(rng.standard_normal((height, width)), rng.uniform(0.7, 1.2))
    return np.clip(0.5 + 0.35 * grains / grains.std(), 0, 1)


def _dots(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Paint round dots on a grid."""
    pitch = rng.uniform(7, 10)
    cell = _axes(rng, height, width, turn=0.8) % pitch - pitch / 2  # (2, H, W)
    return np.clip(0.5 + 0.28 * pitch - np.hypot(*cell), 0, 1)


def _bricks(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Paint rows of bricks with thin joints; every second row is shifted by half a brick."""
    tall = rng.uniform(6, 9)
    along, across = _axes(rng, height, width, turn=0.12)
    row = np.floor(across / tall)
    from_bed = across % tall  # pixels from the joint below the row
    from_head = (along + row * tall) % (2 * tall)  # a brick is twice as long as tall
    return np.clip(np.minimum(from_bed, from_head) - 0.5, 0, 1)


_PAINTERS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "sky": _sky,
    "stripes": _stripes,
    "checker": _checker,
    "gravel": _gravel,
    "dots": _dots,
    "bricks": _bricks,
}
BACKGROUNDS = tuple(_PAINTERS)  # a background map holds positions in this tuple


def paint_background(
    rng: np.random.Generator, *, kinds: tuple[str, ...], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a picture with one kind of background, or with two, divided by a wavy line.

    Args:
        rng: Source of colours, patterns and the line.
        kinds: Names from `BACKGROUNDS`, one or two different ones.
        height: Height H, in pixels.
        width: Width W, in pixels.

    Returns:
        The picture, float32 in 0..1, shape (H, W, 3), and the map of kinds, uint8, shape (H, W),
        whose values are positions in `BACKGROUNDS`.

    Raises:
        ValueError: `kinds` holds an unknown name, or not one or two different ones.
    """
    unknown = [kind for kind in kinds if kind not in BACKGROUNDS]
    if unknown or len(kinds) not in (1, 2) or len(set(kinds)) != len(kinds):
        raise ValueError(f"kinds={kinds!r}: must be one or two different names from {BACKGROUNDS}")
    picture = _paint(rng, kinds[0], height, width)  # (H, W, 3)
    kind_map = np.full((height, width), BACKGROUNDS.index(kinds[0]), np.uint8)
    if len(kinds) == 2:
        second = _beyond_a_line(rng, height, width)  # (H, W), bool
        picture[second] = _paint(rng, kinds[1], height, width)[second]
        kind_map[second] = BACKGROUNDS.index(kinds[1])
    return picture, kind_map


def _paint(rng: np.random.Generator, kind: str, height: int, width: int) -> np.ndarray:
    """Paint one kind in two similar colours, float32, (H, W, 3)."""
    hue, saturation = rng.uniform(), rng.uniform(0.15, 0.65)
    # Dark, so that every digit is lighter. With digits of either kind, a small network would still guess
    # when the demo's training ends.
    value = rng.uniform(0.12, 0.38)
    step = rng.uniform(0.22, 0.3)
    low = np.array(colorsys.hsv_to_rgb(hue, saturation, value))
    high = np.array(colorsys.hsv_to_rgb(hue + rng.uniform(-0.06, 0.06), saturation, value + step))
    pattern = _PAINTERS[kind](rng, height, width)[..., None]  # (H, W, 1)
    return (low + (high - low) * pattern).astype(np.float32)  # (H, W, 3)


def _beyond_a_line(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Choose the pixels on one side of a wavy line near the middle, bool, (H, W)."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width]
    y = y / height - rng.uniform(0.4, 0.6)
    x = x / width - rng.uniform(0.4, 0.6)
    wave = 0.04 * np.sin(2 * np.pi * (x * np.sin(angle) - y * np.cos(angle)) * rng.uniform(1, 3))
    return x * np.cos(angle) + y * np.sin(angle) > wave
