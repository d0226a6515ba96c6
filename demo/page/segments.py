"""Pictures of segments in the colours of the legend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from demo.page.blocks import Panel, png_uri
from demo.scenes.classes import COLORS

SHADES = (1.0, 0.7, 0.85, 0.55)  # brightness of the first, second, … segment of one class
WRONG = (230, 30, 40)


@dataclass(frozen=True)
class Segments:
    """Segments of a scene.

    Attributes:
        ids: Segment of each pixel, (H, W).
        names: Class name of each segment; other ids belong to no segment.
    """

    ids: np.ndarray
    names: Mapping[int, str]

    def picture(self) -> np.ndarray:
        """Paint each segment in the colour of its class, uint8 (H, W, 3); other pixels are black."""
        picture = np.zeros((*self.ids.shape, 3), np.uint8)
        painted: list[str] = []
        for segment, name in self.names.items():
            shade = SHADES[painted.count(name) % len(SHADES)]
            picture[self.ids == segment] = np.multiply(COLORS[name], shade)
            painted.append(name)
        return picture

    def panel(self, caption: str) -> Panel:
        """Show the segments on the page."""
        return Panel(png_uri(self.picture()), caption, alt=f"{caption}: {', '.join(self.names.values())}")


def read_picture(path: Path) -> np.ndarray:
    """Read an image or a map of class numbers."""
    return np.asarray(Image.open(path))


def error_panel(image: np.ndarray, prediction: np.ndarray, truth: np.ndarray) -> Panel:
    """Show wrong pixels in red on the grey image."""
    wrong = prediction != truth
    share = f"{100 * wrong.mean():.1f} %"
    picture = np.repeat(image.mean(axis=2, keepdims=True) * 0.6 + 60, 3, axis=2).astype(np.uint8)
    picture[wrong] = WRONG
    return Panel(png_uri(picture), f"wrong: {share}", alt=f"{share} of the pixels are wrong")
