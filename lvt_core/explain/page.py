"""The page: one HTML text with its pictures and its style inside, so that nothing is fetched."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from lvt_core.explain.drawing import SCALE

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #fff; --soft: #5c5c66; --line: #d5d5dc }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf1; --paper: #161618; --soft: #a9a9b4; --line: #3c3c44 }
}
body { margin: 0 auto; padding: 1rem; max-width: 68rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25 }
h2 { margin-top: 2.5rem; font-size: 1.25rem }
h3 { margin-bottom: .25rem; font-size: 1rem }
p { max-width: 44rem }
.row { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)) }
figure { margin: 0 }
img { display: block; width: 100%; height: auto; border-radius: 4px }
figcaption, .scale, .legend { font-size: .875rem; line-height: 1.4; color: var(--soft) }
figcaption { padding-top: .35rem }
.scale { display: flex; align-items: center; gap: .5rem; max-width: 24rem }
.scale i { flex: 1; min-width: 5rem; height: .75rem; border-radius: 4px }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; list-style: none }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em }
table { border-collapse: collapse }
th, td { padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left;
  font-weight: normal; vertical-align: top }
thead th { color: var(--soft) }
"""


@dataclass(frozen=True)
class Figure:
    """Picture with its texts.

    Attributes:
        picture: Picture, without text in it.
        caption: Text below the picture, plain.
        alt: Text in place of the picture, plain.
    """

    picture: Image.Image
    caption: str
    alt: str


def page(title: str, lead: Sequence[str], sections: Sequence[tuple[str, str]]) -> str:
    """Write the page as HTML.

    Args:
        title: Heading, plain text.
        lead: Paragraphs below the heading, plain text.
        sections: Heading, plain text, and HTML of each section.
    """
    body = "".join(f"<section><h2>{escape(heading)}</h2>\n{html}</section>\n" for heading, html in sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<header><h1>{escape(title)}</h1>
{paragraphs(lead)}</header>
<main>
{body}</main>
</body>
</html>
"""


def paragraphs(texts: Sequence[str]) -> str:
    """Show plain texts as paragraphs."""
    return "".join(f"<p>{escape(text)}</p>\n" for text in texts)


def figures(entries: Sequence[Figure], *, title: str = "") -> str:
    """Show pictures side by side, as many as fit, below a title."""
    heading = f"<h3>{escape(title)}</h3>\n" if title else ""
    shown = "".join(
        f'<figure><img src="{png_uri(entry.picture)}" alt="{escape(entry.alt)}">'
        f"<figcaption>{escape(entry.caption)}</figcaption></figure>\n"
        for entry in entries
    )
    return f'{heading}<div class="row">\n{shown}</div>\n'


def png_uri(picture: Image.Image) -> str:
    """Return a picture of at most 256 colours as a data URI."""
    buffer = io.BytesIO()
    picture.quantize(256).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def color_scale(low: str, high: str) -> str:
    """Show the colours of values between the meanings of both ends, plain texts."""
    colors = ",".join(f"rgb{color}" for color in SCALE)
    bar = f'<i style="background:linear-gradient(90deg,{colors})"></i>'
    return f'<p class="scale">{escape(low)}{bar}{escape(high)}</p>\n'


def legend(colors: Mapping[str, Sequence[int]]) -> str:
    """List classes with their colours."""
    entries = "".join(
        f'<li><i style="background:rgb({red},{green},{blue})"></i>{escape(name)}</li>'
        for name, (red, green, blue) in colors.items()
    )
    return f'<ul class="legend">{entries}</ul>\n'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Show a table of plain texts; the first column names the row."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = ""
    for name, *cells in rows:
        values = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        body += f'<tr><th scope="row">{escape(name)}</th>{values}</tr>\n'
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>\n"
