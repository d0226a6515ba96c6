"""The page: one HTML file with its pictures and its style inside, so that nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from lvt_core.files import write_text

TITLE = "LVT: a tour"
LEAD = (
    "The repository's own commands train three tasks on a small data set, made from the scanned digits in "
    "scikit-learn. The page shows that everything works, from picture to prediction. It does not measure "
    "accuracy on the large public data sets."
)
STYLE = Path(__file__).with_name("page.css")
REFRESH = '<meta http-equiv="refresh" content="10">\n'


@dataclass(frozen=True)
class Section:
    """Part of the page.

    Attributes:
        title: Heading, plain text.
        body: HTML; text from outside is escaped in it.
        state: State of the part, such as "running", plain text; empty when it is finished.
    """

    title: str
    body: str
    state: str = ""


def write_page(path: Path, sections: Sequence[Section], *, opening: str = "", state: str = "") -> None:
    """Write the page.

    Args:
        path: HTML file.
        sections: Parts of the page, in order.
        opening: HTML for the first screen.
        state: State of the tour, plain text. The browser reloads the page until it is empty.
    """
    links = "".join(f'<a href="#{_anchor(s.title)}">{escape(s.title)}</a>' for s in sections)
    status = f'<p class="state" role="status">{escape(state)}</p>' if state else ""
    write_text(
        path,
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{REFRESH if state else ""}<title>{escape(TITLE)}</title>
<link rel="icon" href="data:,">
<style>
{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header><h1>{escape(TITLE)}</h1>{status}
{opening}
<p>{escape(LEAD)}</p></header>
<nav>{links}</nav>
<main>
{"".join(map(_section, sections))}</main>
</body>
</html>
""",
    )


def _section(section: Section) -> str:
    state = f'<p class="state">{escape(section.state)}</p>' if section.state else ""
    heading = f"<h2>{escape(section.title)}</h2>"
    return f'<section id="{_anchor(section.title)}">{heading}{state}\n{section.body}</section>\n'


def _anchor(title: str) -> str:
    """Turn a title into a fragment name: lower-case letters and digits, joined by hyphens."""
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
