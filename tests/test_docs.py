"""The pages' links lead somewhere, and the files and modules that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = {page.name: page for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))}
# Folders from which a page may name a file: the root, the packages, and the three tasks.
BASES = ("", "lvt_core", "classification", "segmentation", "detection", "lvt_core/layers/fast")
FOLDERS = r"tests|lvt_\w+|benchmarks|demo|docs|configs|examples|local_configs|tools"
FILE = re.compile(rf"`((?:{FOLDERS})/[\w/.-]+\.(?:py|md|json|sh|npz))`")
MODULE = re.compile(r"python -m ((?:benchmarks|demo|lvt_core|lvt_predict)(?:\.\w+)*)")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_links_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[name].read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = PAGES[name].parent / file if file else PAGES[name]
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"CHANGELOG.md"}))
def test_named_files_exist(name: str) -> None:
    for file in FILE.findall(PAGES[name].read_text(encoding="utf-8")):
        assert re.search("NAME|TASK", file) or any((ROOT / base / file).exists() for base in BASES), file


@pytest.mark.parametrize("name", sorted(PAGES))
def test_modules_that_commands_run_exist(name: str) -> None:
    for module in MODULE.findall(PAGES[name].read_text(encoding="utf-8")):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or path.is_dir(), module
