"""Both wheels, installed into new environments outside of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvt_core.cli import main
from lvt_predict import load
from lvt_predict.photo.classes import classes_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SITE_PACKAGES = Path(np.__file__).parents[1]
OWN_BYTES = 2**20  # the most that lvt-predict may add to its runtime's size


def run(*words: object, cwd: Path, **environment: str) -> str:
    """Run a command and return what it prints; none of this repository is on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP"))}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=kept | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the wheels of a copy of the tree, by distribution."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheels")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(os.readlink(source))
        elif source.is_file():
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out)
    run(sys.executable, "-m", "pip", "wheel", *options, tree, tree / "lvt_predict", cwd=tree)
    return {path.name.split("-")[0]: path for path in out.glob("*.whl")}


def make_environment(folder: Path, *wheels: Path) -> tuple[Path, Path]:
    """Make an environment with these wheels only; return its interpreter and its site-packages."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    options = ("--quiet", "--no-deps", "--no-index", "--target", site)
    run(sys.executable, "-m", "pip", "install", *options, *wheels, cwd=folder)
    return folder / "bin" / "python", site


@pytest.fixture(scope="module")
def training(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return an environment with both wheels and everything that they depend on."""
    python, site = make_environment(tmp_path_factory.mktemp("training"), *wheels.values())
    # A plain line adds the installed dependencies, and not the editable installs among them.
    (site / "dependencies.pth").write_text(f"{SITE_PACKAGES}\n")
    return python, site


def test_timm_creates_the_models(training: tuple[Path, Path], tmp_path: Path) -> None:
    python, site = training
    script = (
        "import lvt_core, timm, torch; model = timm.create_model('lvt_cls', num_classes=7).eval(); "
        "print(lvt_core.__file__, *model(torch.zeros(1, 3, 64, 64)).shape)"
    )
    assert run(python, "-c", script, cwd=tmp_path).split() == [str(site / "lvt_core/__init__.py"), "1", "7"]


CONFIG = """
custom_imports = dict(imports=["lvt_det"], allow_failed_imports=False)
default_scope = "mmdet"
backbone = dict(type="LVT", depths=(1, 1, 1, 1))
roi = dict(
    type="SingleRoIExtractor",
    roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
    out_channels=96,
    featmap_strides=[4],
)
"""
BUILD = """
import sys
from mmengine.config import Config
cfg = Config.fromfile("mine.py")
from mmdet.registry import MODELS
import lvt_det, torch
maps = MODELS.build(cfg.backbone)(torch.zeros(1, 3, 64, 64))
MODELS.build(cfg.roi)
print(lvt_det.__file__, *(value.shape[1] for value in maps))
"""


def test_mmdetection_builds_a_config_of_the_users_own(training: tuple[Path, Path], tmp_path: Path) -> None:
    python, site = training
    (tmp_path / "mine.py").write_text(CONFIG)
    printed = run(python, "-W", "ignore", "-c", BUILD, cwd=tmp_path).splitlines()[-1].split()
    assert printed == [str(site / "lvt_det/__init__.py"), "64", "64", "160", "256"]


@pytest.mark.parametrize(
    "name",
    [
        "lvt_classify/configs/lvt_imagenet.py",
        "lvt_seg/configs/lvt/segformer.lvt.512x512.ade.160k.py",
        "lvt_det/configs/lvt/panoptic_fpn_lvt_fpn_3x_coco.py",
    ],
)
def test_the_training_wheel_has_the_recipes(training: tuple[Path, Path], name: str) -> None:
    assert (training[1] / name).is_file()


def test_the_training_wheel_has_the_launch_scripts(training: tuple[Path, Path]) -> None:
    scripts = {path.name: path for path in training[1].rglob("*.sh")}
    assert {"distributed_train.sh", "dist_train.sh", "dist_test.sh", "slurm_train.sh"} <= scripts.keys()
    assert all(os.access(path, os.X_OK) for path in scripts.values())


def test_an_exported_network_runs_without_pytorch(wheels: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    main(["export", "lvt_cls", "--to", "onnx", "--size", "32", "--output", str(folder)])
    python, site = make_environment(tmp_path / "predict", wheels["lvt_predict"])
    for name in ("numpy", "onnxruntime"):
        link_distribution(name, site)
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    script = (
        "import sys, numpy as np; from lvt_predict import load; model = load('exported'); "
        "(logits,) = model(model.normalize(np.load('images.npy'))); np.save('logits.npy', logits); "
        "print(*{'torch', 'timm', 'lvt_core'} & set(sys.modules))"
    )
    assert run(python, "-c", script, cwd=tmp_path).split() == []
    model = load(folder)
    (expected,) = model(model.normalize(images))
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), expected)
    assert "gives the recorded outputs" in run(python, "-m", "lvt_predict.sample", folder, cwd=tmp_path)
    assert sum(path.stat().st_size for path in (site / "lvt_predict").rglob("*.py")) < OWN_BYTES
    link_distribution("pillow", site)
    Image.fromarray(images[0]).save(tmp_path / "photo.png")
    words = ("photo.png", "--with", folder, "--save", "out")
    table = run(site / "bin" / "lvt-predict", *words, cwd=tmp_path, PYTHONPATH=str(site))
    best = table.splitlines()[1].partition("%")[2].strip()
    assert best in classes_of("classification", 1000).names  # the wheel has the names
    assert (tmp_path / "out" / "photo.png").exists()
    for absent in ("torch", "lvt_core"):
        assert subprocess.run([python, "-c", f"import {absent}"], cwd=tmp_path, stderr=-3).returncode == 1


def link_distribution(name: str, site: Path) -> None:
    """Make an installed distribution and its dependencies importable in an environment."""
    installed = distribution(name)
    for top in {Path(str(file)).parts[0] for file in installed.files or ()} - {".."}:
        if not (site / top).exists():
            (site / top).symlink_to(SITE_PACKAGES / top)
    for requirement in installed.requires or ():
        if ";" not in requirement:
            link_distribution(requirement.split(">")[0].split("=")[0].strip(), site)
