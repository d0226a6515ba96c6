"""LiteRT: one small network is converted, then run, quantised, opened by a stranger, and broken."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from lvt_core import LVT, LVTConfig
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, Job, export_model
from lvt_core.export.common import make_program
from lvt_core.export.gate import photograph, run_model
from lvt_core.export.graph import Outputs
from lvt_core.export.recipe import RECIPES, Recipe, read_recipe
from lvt_core.predict import SESSIONS, ExportedModel, load
from tests.lvt_core.test_export import check_as_a_stranger

pytest.importorskip("litert_torch")
from lvt_core.export import litert

SIZE = (40, 71)  # maps of 10 x 18, whose windows fit, and 5 x 9
SMALL = LVTConfig(
    embed_dims=(16, 16, 32, 32),
    num_heads=(2, 2, 2, 2),
    depths=(1, 1, 1, 1),
    mlp_ratios=(2, 2, 2, 2),
    atrous_rates=(3,),
    num_recursions=1,
)
ALL_INT8 = Recipe()


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    model = LVT(SMALL).eval()
    model.stages = model.stages[:2]  # one with CSA, one with RASA; all four take twice as long
    for name, parameter in model.named_parameters():
        if "attn" in name and parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module")
def program(model: nn.Module) -> ExportedProgram:
    return make_program(model, Export("lvt", SIZE))


@pytest.fixture(scope="module")
def exported(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 export: the gate has compared its maps with the model's."""
    folder = tmp_path_factory.mktemp("litert") / "file"
    parity = export_model(model, Export("lvt", SIZE), "litert", RUNTIMES["litert"], folder)
    assert parity.worst < 1e-5
    return folder


def _quantized(program: ExportedProgram, exported: Path, precision: str, recipe: Recipe = ALL_INT8) -> Path:
    images = [photograph(1, *SIZE, seed=seed) for seed in range(2)]
    job = Job(program, Export("lvt", SIZE, precision=precision), images, recipe)
    file = exported.parent / "quantized.tflite"
    file.write_bytes(litert.quantized(job, (exported / "model.tflite").read_bytes()))
    return file


def _types(file: Path) -> Counter[str]:
    """How many tensors a file has, by type."""
    from ai_edge_litert.interpreter import Interpreter

    tensors = Interpreter(model_path=str(file)).get_tensor_details()  # not allocated: as written
    return Counter(np.dtype(tensor["dtype"]).name for tensor in tensors)


def _error(model: nn.Module, file: Path) -> float:
    """Largest difference of a file's maps from the model's, as a part of the largest value."""
    images = photograph(1, *SIZE, seed=9)
    pairs = zip(run_model(Outputs(model), images), SESSIONS["litert"](file)(images), strict=True)
    return max(float(np.abs(ours - theirs).max() / np.abs(ours).max()) for ours, theirs in pairs)


@pytest.mark.parametrize(("length", "start"), [(8, 0), (8, 1), (9, 0), (9, 1), (9, 2), (7, 6)])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_plain_slices_take_every_other(dim: int, length: int, start: int) -> None:
    shape = [4, 4, 4]
    shape[dim] = length
    x, end = torch.randn(shape), max(start + 1, length - 1)
    places: list[slice] = [slice(None)] * dim
    for step in (2, 3):
        found = litert.plain_slice(x, dim, start, end, step)
        torch.testing.assert_close(found, x[(*places, slice(start, end, step))], rtol=0, atol=0)
    assert litert.plain_slice(x, dim, start, end) is NotImplemented


def test_xnnpack_takes_all_but_one_operator(exported: Path) -> None:
    delegation = litert.delegation(exported / "model.tflite")
    assert delegation.outside == {"CONCATENATION": 1}  # of nine: it takes five
    assert delegation.partitions == 2


def test_operators_that_xnnpack_leaves_are_counted(tmp_path: Path) -> None:
    import litert_torch

    class Steps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x[:, :, ::2] * 2).cumsum(dim=1)

    file = tmp_path / "steps.tflite"
    litert_torch.convert(Steps().eval(), (torch.zeros(1, 3, 8, 8),)).export(str(file))
    assert litert.delegation(file).outside == {"STRIDED_SLICE": 1, "CUMSUM": 1}


def test_a_stranger_opens_it(model: nn.Module, exported: Path) -> None:
    images = photograph(1, *SIZE, seed=3)
    expected, found = run_model(Outputs(model), images), load(exported)(images)
    assert [value.shape[-1] for value in found] == [18, 9]
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-4)
    check_as_a_stranger(exported, images, found[0])


def test_float16_halves_the_weights(model: nn.Module, program: ExportedProgram, exported: Path) -> None:
    file = _quantized(program, exported, "fp16")
    assert _types(file)["float16"] >= 24  # layers, and what biases they have
    assert 0 < _error(model, file) < 5e-3


@pytest.mark.parametrize(("activations", "bound"), [("dynamic", 0.15), ("static", 0.2), ("float", 0.1)])
def test_int8_is_near_and_keeps_floats(
    activations: str, bound: float, model: nn.Module, program: ExportedProgram, exported: Path
) -> None:
    file = _quantized(program, exported, "int8", Recipe(activations))
    count, error = _types(file)["int8"], _error(model, file)
    assert 0 < error < bound
    # CSA's attention has 11 products. The other two are merged with what follows, and called by it.
    floats = ("stages.0.blocks.0.attn", "stages.1.blocks.0.attn.rasa.proj", "stages.1.blocks.0.attn.rasa.sr")
    kept = _types(_quantized(program, exported, "int8", Recipe(activations, floats)))["int8"]
    # static: with the input and the output of each, shared by those that have the same
    assert count - kept == 13 if activations != "static" else count - kept > 26


def test_all_may_stay_in_float(model: nn.Module, program: ExportedProgram, exported: Path) -> None:
    file = _quantized(program, exported, "int8", Recipe("static", ("stages",)))
    assert _types(file)["int8"] == 0 and _error(model, file) < 1e-5


@pytest.mark.parametrize("model_name", ["lvt_cls", "segformer"])
def test_recipes_are_there(model_name: str) -> None:
    assert read_recipe(model_name, "litert") == Recipe("dynamic")
    assert (RECIPES / f"{model_name}-litert.json").exists()


def test_a_broken_file_is_told_in_a_sentence(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "file"
    shutil.copytree(exported, folder)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["sha256"] = {}
    (folder / "model.json").write_text(json.dumps(manifest))
    file = folder / "model.tflite"
    content = file.read_bytes()
    for broken in (content[:-1000], content[:1000], b""):
        file.write_bytes(broken)
        with pytest.raises(UserError, match="model.tflite: litert refuses it: .+"):
            ExportedModel(folder)
