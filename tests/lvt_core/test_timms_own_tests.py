"""timm's own tests of models, from its source distribution, pass on ``lvt`` and ``lvt_cls``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import timm

from tests.downloads import installed_into, pip

ROOT = Path(__file__).resolve().parents[2]


def source_of_timm(folder: Path) -> Path:
    """Fetch and unpack the source of the installed version; return its folder of tests."""
    pip("download", f"timm=={timm.__version__}", "--no-binary", "timm", "--no-deps", "--dest", folder)
    (archive,) = folder.glob("timm-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz") / "tests"


def run_python(*words: str | Path, cwd: Path, paths: tuple[Path, ...]) -> str:
    """Run Python without access to the hub, with folders to import from; return what it prints."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-W", "ignore", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout


@pytest.mark.slow
def test_timms_own_tests_of_models_pass(tmp_path: Path) -> None:
    tests = source_of_timm(tmp_path)
    source = (tests / "test_models.py").read_text()
    # timm lists models by name whose features are tokens, such as VOLO: `lvt_cls` is one.
    assert "'volo_*'," in source
    (tests / "test_selection.py").write_text(source.replace("'volo_*',", "'volo_*', 'lvt_cls*',"))
    (tests / "registers_models.py").write_text("import lvt_core\n")
    words = ["-m", "pytest", "-q", "-p", "registers_models", "-p", "no:cacheprovider", "--no-header"]
    printed = run_python(
        *words, "test_selection.py", "-k", "lvt or lvt_cls", cwd=tests, paths=(ROOT, tests)
    )  # fmt: skip
    passed = re.search(r"(\d+) passed", printed)
    assert passed and int(passed[1]) >= 14 and "skipped" not in printed, printed[-2000:]


DECODERS = """
import lvt_core, segmentation_models_pytorch as smp, torch

for name in ("Unet", "FPN", "UPerNet", "Segformer", "Linknet"):
    model = getattr(smp, name)("tu-lvt", encoder_weights=None, classes=4)
    logits = model(torch.randn(2, 3, 64, 96))
    assert logits.shape == (2, 4, 64, 96), name
    logits.mean().backward()
    used = [parameter.grad is not None for parameter in model.encoder.model.parameters()]
    assert all(used), name
    print(name)
"""


@pytest.mark.slow
def test_segmentation_models_pytorch_takes_the_backbone_as_encoder(tmp_path: Path) -> None:
    package = installed_into(tmp_path / "packages", "segmentation-models-pytorch>=0.5")
    printed = run_python("-c", DECODERS, cwd=tmp_path, paths=(ROOT, package))
    assert printed.split() == ["Unet", "FPN", "UPerNet", "Segformer", "Linknet"]
