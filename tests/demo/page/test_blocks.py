"""Tests of the page's blocks."""

import base64
import io

import numpy as np
from PIL import Image

from demo.page.blocks import Panel, class_table, compact, duration, panel_row, png_uri


def test_writes_numbers_for_people() -> None:
    assert [compact(n) for n in (3352810, 73.1e6, 2.5e9, 12)] == ["3.35 M", "73.1 M", "2.5 G", "12"]
    assert [duration(s) for s in (48, 200.4, 3900)] == ["48 s", "3 min 20 s", "1 h 5 min"]


def test_pixels_survive_the_uri() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    kind, _, content = png_uri(pixels).partition(",")
    assert kind == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))), pixels)


def test_panels_have_text_below_and_instead() -> None:
    row = panel_row([Panel("data:,", "a < b", 'the "picture"')])
    assert '<img src="data:,' in row and "<figcaption>a &lt; b</figcaption>" in row
    assert 'alt="the &quot;picture&quot;"' in row


def test_table_shows_the_chosen_columns() -> None:
    table = class_table({"a": {"IoU": 50.0, "Acc": 1.0}, "b": None}, ("IoU",))
    assert '<th scope="row">a</th><td>50.0</td><td class="bar"><span style="width:50.0%">' in table
    assert '<th scope="row">b</th><td>–</td>' in table and "Acc" not in table
