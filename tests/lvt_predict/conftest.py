"""A small export, and copies of it that a test may break."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from torch import nn

from lvt_core.export import RUNTIMES, Export, export_model
from tests.lvt_predict.exports import SIZE


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "file"
    export_model(nn.Conv2d(3, 4, 3), Export("conv", SIZE), RUNTIMES["openvino"], folder)
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "file")
