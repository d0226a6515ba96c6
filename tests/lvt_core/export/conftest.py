"""The small network that each runtime's tests convert: once a module, since that is what takes long."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn
from torch.export import ExportedProgram

from lvt_core.export import RUNTIMES, Export, export_model
from lvt_core.export.write import make_program
from tests.small import SIZE, two_stages


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return two_stages()


@pytest.fixture(scope="module")
def program(model: nn.Module) -> ExportedProgram:
    return make_program(model, Export("lvt", SIZE))


@pytest.fixture(scope="module")
def exported(
    request: pytest.FixtureRequest, model: nn.Module, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a float32 export for the module's `RUNTIME`, which has passed the gate."""
    runtime = request.module.RUNTIME
    folder = tmp_path_factory.mktemp(runtime) / "file"
    parity = export_model(model, Export("lvt", SIZE), RUNTIMES[runtime], folder)
    assert parity.worst < 1e-5
    return folder
