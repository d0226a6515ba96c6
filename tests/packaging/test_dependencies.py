"""The distributions depend on what their packages import; the tests of wheels borrow what is installed."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

if sys.version_info < (3, 11):
    import tomli as tomllib
else:
    import tomllib

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "lvt_predict": ["lvt_predict"],
    ".": ["lvt_core", "classification/lvt_classify", "segmentation/lvt_seg", "detection/lvt_det"],
}
OWN = {"lvt_core", "lvt_predict", "lvt_classify", "lvt_seg", "lvt_det"}
# Packages that come with another one, which belongs to it: PyTorch's Triton, OpenMMLab's OpenCV, and so on.
INCLUDED = {
    "triton": "torch",
    "cv2": "opencv-python",
    "pycocotools": "onedl-mmdetection",
    "onnx_ir": "onnx",
    "wandb": "",  # an option that names it; installed by those who use it
}


def third_party(folder: Path) -> dict[str, Path]:
    """Return the packages that a folder's modules import, each with one of these modules."""
    imports = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            imports |= {name.partition(".")[0]: path for name in names}
    return {name: path for name, path in imports.items() if name not in {*sys.stdlib_module_names, *OWN}}


def declared(project: Path) -> set[str]:
    """Return the distributions that a project's metadata names, extras included."""
    content = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = content["optional-dependencies"].values()
    bounds = [*content["dependencies"], *(bound for extra in extras for bound in extra)]
    names = {re.split(r"[\[<>=\s]", bound)[0].lower() for bound in bounds}
    lower = ROOT / "lvt_predict"
    return names | (declared(lower) if "lvt-predict" in names and project != lower else set())


@pytest.mark.parametrize("project", PACKAGES)
def test_imports_are_dependencies(project: str) -> None:
    known, distributions = declared(ROOT / project), packages_distributions()
    for folder in PACKAGES[project]:
        for name, path in third_party(ROOT / folder).items():
            owners = {owner.lower().replace("_", "-") for owner in distributions.get(name, [])}
            if name in INCLUDED:
                owners = {INCLUDED[name]}
            assert owners & {*known, ""}, f"{path}: imports {name} ({owners}), which {project} does not name"
