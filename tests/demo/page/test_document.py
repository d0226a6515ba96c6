"""Tests of the page's frame."""

from pathlib import Path

from demo.page.document import Section, write_page


def test_links_to_its_sections(tmp_path: Path) -> None:
    write_page(tmp_path / "p.html", [Section("A & b", "<p>x</p>"), Section("Next", "")])
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert '<a href="#a-b">A &amp; b</a><a href="#next">' in text
    assert '<section id="a-b"><h2>A &amp; b</h2>' in text


def test_reloads_itself_only_while_the_tour_runs(tmp_path: Path) -> None:
    path = tmp_path / "p.html"
    write_page(path, [Section("A", "", state="running…")], state="Running: about 5 s left.")
    assert 'http-equiv="refresh"' in path.read_text() and "Running: about 5 s left." in path.read_text()
    assert '<p class="state">running…</p>' in path.read_text()
    write_page(path, [Section("A", "")])
    assert 'http-equiv="refresh"' not in path.read_text() and "unning" not in path.read_text()
