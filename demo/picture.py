"""README's opening picture, from a finished tour: python -m demo.picture docs/images/tour.png [--out DIR]"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from demo.opening import read_opening
from demo.run import DEFAULT_OUT
from demo.scenes.classes import COLORS
from lvt_core.files import write_whole

SCALE = 3  # screen pixels per pixel of a scene
GAP, MARGIN, LINE, TEXT = 16, 12, 30, 20  # pixels
COMPLETE = 4  # pictures of a finished tour


def draw(pictures: Mapping[str, np.ndarray], names: Sequence[str]) -> Image.Image:
    """Draw pictures side by side, with captions, and a legend below.

    Args:
        pictures: Pictures of one size, uint8 (H, W, 3), by caption.
        names: Classes for the legend.
    """
    height, width = (SCALE * side for side in next(iter(pictures.values())).shape[:2])
    total = 2 * MARGIN + len(pictures) * (width + GAP) - GAP
    page = Image.new("RGB", (total, 2 * MARGIN + height + 2 * LINE + GAP), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(TEXT)
    for number, (caption, pixels) in enumerate(pictures.items()):
        left = MARGIN + number * (width + GAP)
        enlarged = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
        page.paste(enlarged, (left, MARGIN))
        pen.text((left + width / 2, MARGIN + height + LINE / 2), caption, "black", font, anchor="mm")
    left, middle = MARGIN, MARGIN + height + LINE + GAP + LINE / 2
    for name in names:
        pen.rectangle((left, middle - TEXT / 2, left + TEXT, middle + TEXT / 2), COLORS[name], "black")
        pen.text((left + TEXT + 8, middle), name, "black", font, anchor="lm")
        left += TEXT + 8 + int(font.getlength(name)) + 2 * GAP
    return page


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Draw README's opening picture from a finished tour.")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the tour; default: demo/out")
    args = parser.parse_args(argv)
    opening = read_opening(args.out)
    if len(opening.pictures) < COMPLETE:
        parser.error(f"--out {args.out}: must hold a finished tour; run python -m demo.run")
    image = draw(opening.pictures, opening.names).quantize(256, dither=Image.Dither.NONE)
    write_whole(args.picture, partial(image.save, format="PNG", optimize=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
