"""Core ML: one network is converted, run from its package, quantised, opened by a user, and broken."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import ExportedProgram

from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, export_model
from lvt_core.export.folder import require_replaceable
from lvt_core.export.recipe.file import Recipe
from lvt_predict.coreml_interpreter.program import read_content, read_program
from lvt_predict.model import ExportedModel, load
from tests.small import check_export, check_rejected, largest_error

pytest.importorskip("coremltools")
from lvt_core.export.runtimes import coreml

RUNTIME = "coreml"
PROGRAM = "model.mlpackage/Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin"


@pytest.fixture(scope="module")
def half(program: ExportedProgram) -> object:
    """Return the network as coremltools' model in float16."""
    return coreml.convert_program(program, half=True)


def _int8(half: object, program: ExportedProgram, folder: Path, *floats: str) -> Path:
    """Write a package with weights in int8, except some modules."""
    file = folder / f"int8-{len(floats)}.mlpackage"
    coreml.save(coreml.weights_to_int8(half, program, Recipe("float", floats)), file)
    return file


def _operators(file: Path) -> Counter[str]:
    """How many operators a package has, by type."""
    function = read_content(file)[1].functions["main"]
    return Counter(each.type for each in function.block_specializations[function.opset].operations)


def _layers(program: ExportedProgram) -> int:
    """How many weights a program's layers have."""
    uses = {node.name for node in program.graph.nodes if node.users}
    names = program.graph_signature.inputs_to_parameters.items()
    return sum(program.state_dict[name].ndim > 1 for placeholder, name in names if placeholder in uses)


def _bytes(file: Path) -> int:
    return sum(path.stat().st_size for path in file.rglob("weight.bin"))


def test_a_user_opens_it(model: nn.Module, exported: Path) -> None:
    check_export(model, exported)


def test_the_manifest_has_every_file_and_says_what_checked_it(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "file")
    manifest = load(folder, trust=True).manifest
    assert set(manifest["sha256"]) == {PROGRAM, WEIGHTS, "model.mlpackage/Manifest.json"}
    assert manifest["checked_by"] == coreml.CHECKED_BY
    assert sys.platform == "darwin" or "not a device" in coreml.CHECKED_BY
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (exported / "model.mlpackage").rglob("*"))
    require_replaceable(folder)
    (folder / "model.mlpackage" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="already exists, and not only as an export"):
        require_replaceable(folder)


def test_no_value_has_more_than_four_dimensions(exported: Path) -> None:
    run = read_program(exported / "model.mlpackage")
    assert max(len(value.shape) for each in run.operations for value in each.outputs) == 4


def test_float16_halves_the_weights(model: nn.Module, half: object, exported: Path, tmp_path: Path) -> None:
    file = tmp_path / "half.mlpackage"
    coreml.save(half, file)
    assert _bytes(file) < 0.6 * _bytes(exported / "model.mlpackage")
    assert 1e-5 < largest_error(model, RUNTIME, file) < 5e-3
    operations = read_program(file).operations
    full = [each for each in operations for value in each.outputs if value.dtype is not np.float16]
    assert [each.type for each in full] == ["cast"] * 2  # the two maps, which stay float32


def test_int8_is_near_and_keeps_floats(
    model: nn.Module, program: ExportedProgram, half: object, tmp_path: Path
) -> None:
    file = _int8(half, program, tmp_path)
    assert 1e-3 < largest_error(model, RUNTIME, file) < 0.1
    count = _operators(file)["constexpr_affine_dequantize"]
    assert count == _layers(program)
    # CSA's attention has 11 products; RASA's `sr` becomes one of patches.
    floats = ("stages.0.blocks.0.attn", "stages.1.blocks.0.attn.rasa.proj", "stages.1.blocks.0.attn.rasa.sr")
    kept = _operators(_int8(half, program, tmp_path, *floats))["constexpr_affine_dequantize"]
    assert count - kept == 13


class Heads(nn.Module):
    """The operators of networks with heads that the classifier does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(2, 4)
        self.up = nn.ConvTranspose2d(4, 5, 2, stride=2)
        self.tokens = nn.Parameter(torch.randn(1, 4, 1, 1))
        self.mix = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.norm(self.mix(x)).relu()
        small = F.max_pool2d(x, 2, stride=2)
        grown = F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)
        near = F.interpolate(small, scale_factor=2.0, mode="nearest")
        best = torch.cat((small + self.tokens, small), dim=1).flatten(2).amax(dim=2)
        return self.up(x), grown, near, best


def test_heads_are_the_same_in_core_ml(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = tmp_path / "file"
    parity = export_model(Heads(), Export("heads", (45, 71)), RUNTIMES["coreml"], folder)
    assert parity.worst < 1e-5
    types = _operators(folder / "model.mlpackage")
    for name in ("conv_transpose", "max_pool", "upsample_bilinear", "upsample_nearest_neighbor"):
        assert types[name] == 1


def test_a_broken_file_is_told_in_a_sentence(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "file")
    weights, content = (folder / WEIGHTS).read_bytes(), (folder / PROGRAM).read_bytes()
    check_rejected(folder, WEIGHTS, [weights[:-1]], "weight.bin: not the file that was exported", renew=False)
    broken = (weights[:1000], bytes(len(weights)), b"")
    check_rejected(folder, WEIGHTS, broken, "weight.bin: has no weight of .* bytes at .*; the file is broken")
    (folder / WEIGHTS).unlink()
    with pytest.raises(UserError, match="cannot read .*weight.bin: No such file"):
        ExportedModel(folder, trust=True)
    (folder / WEIGHTS).write_bytes(weights)
    for program, message in (
        (content[:1000], "model.mlpackage: coreml rejects it: .*Error parsing message"),
        (b"", "model.mlmodel: has no program"),
        (content.replace(b"softmax", b"softmin"), "operator 'softmin': the interpreter does not support it"),
    ):
        check_rejected(folder, PROGRAM, [program], message)
    (folder / PROGRAM).write_bytes(content)
    broken = (
        b"",
        b"[]",
        b"{}",
        b'{"itemInfoEntries": 1, "rootModelIdentifier": "a"}',
        b"\xff",
        b"[" * 100000,
    )
    check_rejected(folder, "model.mlpackage/Manifest.json", broken, "Manifest.json: names no program")
    added = folder / "model.mlpackage" / "Data" / "new.bin"
    added.write_bytes(b"")
    with pytest.raises(UserError, match="Data/new.bin: is not a part of the export; remove it"):
        ExportedModel(folder, trust=True)
    added.unlink()
    (folder / "model.mlpackage" / "Manifest.json").unlink()
    with pytest.raises(UserError, match="cannot read .*Manifest.json"):
        ExportedModel(folder, trust=True)
