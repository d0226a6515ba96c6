"""The rooms of the repository: which way imports run, how many modules a room shows, how long a file is."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TASK_FOLDERS = ("classification", "segmentation", "detection")
MOST_LINES = 300
MOST_MODULES = 14
# A package and what it may import of ours. Lower packages know nothing of higher ones.
MAY_IMPORT = {
    "lvt_predict": set(),
    "lvt_core": {"lvt_predict"},
    "lvt_classify": {"lvt_core", "lvt_predict"},
    "lvt_seg": {"lvt_core", "lvt_predict"},
    "lvt_det": {"lvt_core", "lvt_predict"},
    "demo": {"lvt_core", "lvt_predict"},
    "benchmarks": {"demo", "lvt_core", "lvt_predict", "lvt_classify", "lvt_seg", "lvt_det"},
}
# Rooms of lvt_core, from the ground up; a module outside of them may import and be imported by any.
FLOORS = (
    *("layers", "backbone", "checkpoint", "classifiers", "openmmlab"),
    *("predict", "explain", "hub", "export"),
)


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", pattern], cwd=ROOT, capture_output=True, text=True)
    paths = [Path(name) for name in listed.stdout.split("\0") if name]
    return [path for path in paths if (ROOT / path).is_file() and not (ROOT / path).is_symlink()]


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    parts = parts[1:] if parts[0] in TASK_FOLDERS else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, Path]:
    """All product modules by their dotted names."""
    found = {module_name(path): path for path in tracked("*.py")}
    return {name: path for name, path in found.items() if name.split(".")[0] in MAY_IMPORT}


def imported(path: Path, known: dict[str, Path], *, lazy: bool = True) -> Iterator[str]:
    """Names of our modules that a module imports; without `lazy`, only those at its top level."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if lazy else iter(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module


def test_packages_import_only_what_lies_below_them() -> None:
    known = modules()
    for name, path in known.items():
        package = name.split(".")[0]
        for target in imported(path, known):
            other = target.split(".")[0]
            assert other == package or other in MAY_IMPORT[package], f"{path} imports {target}"


def test_rooms_of_the_core_import_downwards() -> None:
    known = {name: path for name, path in modules().items() if name.startswith("lvt_core.")}
    for name, path in known.items():
        room = name.split(".")[1]
        for target in imported(path, known):
            other = target.split(".")[1] if "." in target else ""
            if room in FLOORS and other in FLOORS:
                assert FLOORS.index(other) <= FLOORS.index(room), f"{path} imports {target}"


def test_no_imports_run_in_a_circle() -> None:
    known = modules()
    graph = {name: set(imported(path, known, lazy=False)) - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_files_are_short() -> None:
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in tracked("*.py")}
    assert not {path: length for path, length in lengths.items() if length > MOST_LINES}


def test_rooms_show_few_modules() -> None:
    rooms: dict[Path, int] = {}
    for path in tracked("*.py"):
        if path.parts[0] != "tests":
            rooms[path.parent] = rooms.get(path.parent, 0) + 1
    limits = {Path("lvt_core"): 12, Path("lvt_core/export"): 8, Path("classification"): 3}
    assert not {room: n for room, n in rooms.items() if n > limits.get(room, MOST_MODULES)}


def test_nothing_is_put_on_the_path() -> None:
    assert not [
        path
        for path in tracked("*.py")
        if "sys.path.insert" in (ROOT / path).read_text() and path.parts[0] != "tests"
    ]
