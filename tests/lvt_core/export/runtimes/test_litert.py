"""LiteRT: one small network is converted, then run, quantised, opened without the converter, and broken."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from lvt_core.export import Export, Job
from lvt_core.export.recipe.file import Recipe
from lvt_predict.sample import photograph
from tests.small import SIZE, check_export, check_rejected, largest_error

pytest.importorskip("litert_torch")
from lvt_core.export.runtimes import litert

RUNTIME = "litert"
ALL_INT8 = Recipe()


def _quantized(program: ExportedProgram, exported: Path, precision: str, recipe: Recipe = ALL_INT8) -> Path:
    images = [photograph(1, *SIZE, seed=seed) for seed in range(2)]
    job = Job(program, Export("lvt", SIZE, precision=precision), images, recipe)
    file = exported.parent / "quantized.tflite"
    file.write_bytes(litert.lower_precision(job, (exported / "model.tflite").read_bytes()))
    return file


def _types(file: Path) -> Counter[str]:
    """How many tensors a file has, by type."""
    from ai_edge_litert.interpreter import Interpreter

    tensors = Interpreter(model_path=str(file)).get_tensor_details()  # not allocated: as written
    return Counter(np.dtype(tensor["dtype"]).name for tensor in tensors)


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
    assert delegation.outside == {"CONCATENATION": 1}  # it has nine inputs, XNNPACK supports five
    assert delegation.partitions == 2


def test_operators_that_xnnpack_leaves_are_counted(tmp_path: Path) -> None:
    import litert_torch

    class Steps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x[:, :, ::2] * 2).cumsum(dim=1)

    file = tmp_path / "steps.tflite"
    litert_torch.convert(Steps().eval(), (torch.zeros(1, 3, 8, 8),)).export(str(file))
    assert litert.delegation(file).outside == {"STRIDED_SLICE": 1, "CUMSUM": 1}


def test_opens_without_the_converter(model: nn.Module, exported: Path) -> None:
    check_export(model, exported)


def test_float16_halves_the_weights(model: nn.Module, program: ExportedProgram, exported: Path) -> None:
    file = _quantized(program, exported, "fp16")
    assert _types(file)["float16"] >= 24  # layers, and what biases they have
    assert 0 < largest_error(model, RUNTIME, file) < 5e-3


@pytest.mark.parametrize(("activations", "bound"), [("dynamic", 0.15), ("static", 0.2), ("float", 0.1)])
def test_int8_is_near_and_keeps_floats(
    activations: str, bound: float, model: nn.Module, program: ExportedProgram, exported: Path
) -> None:
    file = _quantized(program, exported, "int8", Recipe(activations))
    count, error = _types(file)["int8"], largest_error(model, RUNTIME, file)
    assert 0 < error < bound
    # CSA's attention has 11 products. The other two are merged with what follows, and called by it.
    floats = ("stages.0.blocks.0.attn", "stages.1.blocks.0.attn.rasa.proj", "stages.1.blocks.0.attn.rasa.sr")
    kept = _types(_quantized(program, exported, "int8", Recipe(activations, floats)))["int8"]
    # static: with the input and the output of each, shared by those that have the same
    assert count - kept == 13 if activations != "static" else count - kept > 26


def test_all_may_stay_in_float(model: nn.Module, program: ExportedProgram, exported: Path) -> None:
    file = _quantized(program, exported, "int8", Recipe("static", ("stages",)))
    assert _types(file)["int8"] == 0 and largest_error(model, RUNTIME, file) < 1e-5


def test_a_broken_file_is_told_in_a_sentence(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "file")
    content = (folder / "model.tflite").read_bytes()
    broken = (content[:-1000], content[:1000], b"")
    check_rejected(folder, "model.tflite", broken, "model.tflite: litert rejects it: .+")
