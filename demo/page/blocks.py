"""Blocks of the page as HTML: headline numbers, pictures with captions, legends, tables, commands."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

OPTION_ON_A_NEW_LINE = " \\\n    --"  # a shell reads the same command


@dataclass(frozen=True)
class Panel:
    """Picture with its texts.

    Attributes:
        source: PNG file as a data URI.
        caption: Text below the picture.
        alt: Text in place of the picture.
    """

    source: str
    caption: str
    alt: str


def png_uri(picture: Path | np.ndarray) -> str:
    """Return a PNG file, or pixels (H, W, 3), as a data URI."""
    if isinstance(picture, Path):
        content = picture.read_bytes()
    else:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", optimize=True)
        content = buffer.getvalue()
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def panel_row(panels: Sequence[Panel], *, title: str = "") -> str:
    """Show panels side by side, each above its caption."""
    figures = "".join(
        f'<figure><img src="{panel.source}" alt="{escape(panel.alt)}">'
        f"<figcaption>{escape(panel.caption)}</figcaption></figure>"
        for panel in panels
    )
    heading = f"<p>{escape(title)}</p>" if title else ""
    return f'<div class="row" style="--panels:{len(panels)}">{heading}{figures}</div>'


def legend(colors: Mapping[str, Sequence[int]]) -> str:
    """List classes with their colours."""
    entries = "".join(
        f'<li><span style="background:rgb({red} {green} {blue})"></span>{escape(name)}</li>'
        for name, (red, green, blue) in colors.items()
    )
    return f'<ul class="legend">{entries}</ul>'


def tiles(entries: Sequence[tuple[str, str, str]]) -> str:
    """Show headline numbers side by side: name, value and note of each, as plain text."""
    # A percent sign must not start a line of a narrow tile.
    cells = "".join(
        f'<div><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd>'
        f'<dd class="note">{escape(note).replace(" %", "&nbsp;%")}</dd></div>'
        for name, value, note in entries
    )
    return f'<dl class="tiles">{cells}</dl>'


def class_table(classes: Mapping[str, Mapping[str, float] | None], columns: Sequence[str]) -> str:
    """List percentages of each class; a bar shows the first column.

    Args:
        classes: Percentages by column, of each class; ``None`` for a class that never occurs.
        columns: Names of the columns to show.
    """
    rows = ""
    for name, values in classes.items():
        cells = "".join(f"<td>{f'{values[key]:.1f}' if values else '–'}</td>" for key in columns)
        width = values[columns[0]] if values else 0
        bar = f'<td class="bar"><span style="width:{width:.1f}%"></span></td>'
        rows += f'<tr><th scope="row">{escape(name)}</th>{cells}{bar}</tr>'
    heads = "".join(f'<th scope="col">{escape(column)}, %</th>' for column in columns)
    return (
        f'<div class="scroll"><table class="classes"><tr><td></td>{heads}<td></td></tr>{rows}</table></div>'
    )


def folded(summary: str, body: str) -> str:
    """Hide a block behind a line that opens it."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def command_blocks(commands: Sequence[str]) -> str:
    """Show the commands of a part as you type them."""
    blocks = "".join(
        f"<pre>{escape(command.replace(' --', OPTION_ON_A_NEW_LINE))}</pre>" for command in commands
    )
    body = f"<p>The tour ran these commands in the repository's root:</p>{blocks}"
    return folded("Commands", f"{body}<p>The whole tour:</p><pre>python -m demo.run</pre>")


def compact(count: float) -> str:
    """Write a large number with three digits and a letter: 3352810 -> `3.35 M`."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return f"{count:.3g}"


def duration(seconds: float) -> str:
    """Write seconds as `48 s`, `3 min 20 s` or `1 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
