"""One self-contained page: pictures and style are inside it, nothing is fetched.

A page is a list of sections; each task of the tour makes its own.
"""

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path

from lvt_core.files import write_text

TITLE = "LVT: a tour"
LEAD = (
    "This page was written by running the repository's real commands on a small data set, made "
    "from the scanned digits that come with scikit-learn. It shows that everything works from "
    "picture to prediction; it says nothing about accuracy on the large public data sets."
)
STYLE = Path(__file__).with_name("page.css")
OPTION_ON_ITS_OWN_LINE = " \\\n    --"  # easier to read, and the same command for a shell


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: Its heading, plain text.
        body: Its HTML; whoever makes it has escaped what came from outside.
    """

    title: str
    body: str


def write_page(path: Path, sections: list[Section]) -> None:
    """Writes the page.

    Args:
        path: The HTML file.
        sections: Its parts, in order.
    """
    links = "".join(f'<a href="#{_anchor(s.title)}">{escape(s.title)}</a>' for s in sections)
    parts = "".join(
        f'<section id="{_anchor(s.title)}"><h2>{escape(s.title)}</h2>\n{s.body}</section>\n' for s in sections
    )
    write_text(
        path,
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(TITLE)}</title>
<link rel="icon" href="data:,">
<style>
{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header><h1>{escape(TITLE)}</h1><p>{escape(LEAD)}</p></header>
<nav>{links}</nav>
<main>
{parts}</main>
</body>
</html>
""",
    )


def png_uri(path: Path) -> str:
    """A PNG file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def tiles(entries: list[tuple[str, str, str]]) -> str:
    """Headline numbers side by side: (name, value, note), plain text."""
    # A percent sign must not start a line of a narrow tile.
    cells = "".join(
        f'<div><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd>'
        f'<dd class="note">{escape(note).replace(" %", "&nbsp;%")}</dd></div>'
        for name, value, note in entries
    )
    return f'<dl class="tiles">{cells}</dl>'


def command_blocks(commands: list[str]) -> str:
    """The commands of a task, as they can be typed."""
    blocks = "".join(
        f"<pre>{escape(command.replace(' --', OPTION_ON_ITS_OWN_LINE))}</pre>" for command in commands
    )
    return (
        f"<p>Exactly what was run, each from the repository's root.</p>{blocks}"
        "<p>The whole tour, data and page included:</p><pre>python -m demo.run</pre>"
    )


def compact(count: float) -> str:
    """A large number with three digits and a letter: 3352810 -> `3.35 M`."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return f"{count:.3g}"


def duration(seconds: float) -> str:
    """Seconds as `48 s`, `3 min 20 s` or `1 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _anchor(title: str) -> str:
    """A title as a fragment name: lower-case letters and digits, joined by hyphens."""
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
