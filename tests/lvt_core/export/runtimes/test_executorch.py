"""ExecuTorch: small networks are converted, then run, quantised, opened without the converter, and broken."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, Job, export_model
from lvt_core.export.forms.graph import Outputs
from lvt_core.export.gate.parity import run_model
from lvt_core.export.panoptic.gate import PartGate
from lvt_core.export.recipe.file import Recipe
from lvt_core.export.runtimes.delegates import Delegation
from lvt_core.export.write import make_program
from lvt_core.layers import DepthwiseMlp, PatchEmbed
from lvt_predict.model import load
from lvt_predict.sample import photograph
from tests.small import SIZE, check_export, check_rejected, largest_error, two_stages

pytest.importorskip("executorch")
from lvt_core.export.runtimes import executorch

RUNTIME = "executorch"
PER_CHANNEL = "quantized_decomposed.dequantize_per_channel"
# ExecuTorch's Python runtime imports PyTorch; the converter's packages are blocked.
CONVERTERS = ("lvt_core.export", "executorch.backends.xnnpack")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return two_stages(atrous_rates=(1, 5))


def test_xnnpack_takes_all_but_the_norms(exported: Path) -> None:
    found = executorch.delegation(exported / "model.pte")
    assert found == Delegation(6, {"aten::native_layer_norm": 7})


def test_operators_that_xnnpack_leaves_are_counted(tmp_path: Path) -> None:
    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :, ::2].relu().cumsum(dim=1) + x[:, :, 1::2]

    export, file = Export("sums", (32, 32)), tmp_path / "model.pte"
    executorch.convert(Job(make_program(Sums(), export), export), file)
    assert executorch.delegation(file) == Delegation(2, {"aten::cumsum": 1})


def test_opens_without_the_converter(model: nn.Module, exported: Path) -> None:
    check_export(model, exported, without=CONVERTERS)


@pytest.mark.slow
def test_sizes_are_free_within_bounds(tmp_path: Path) -> None:
    model, folder = two_stages(atrous_rates=(1, 5)), tmp_path / "file"
    model.stages = model.stages[:1]
    runtime = RUNTIMES["executorch"]
    parity = export_model(model, Export("lvt", (40, 500), dynamic=True), runtime, folder)
    assert parity.worst < 1e-5 and parity.sizes == [
        (1, 32, 32),
        (1, 40, 500),
        (3, 67, 487),
        (2, 32, 501),
        (1, 32, 32),
    ]
    dynamic = load(folder, trust=True)
    for size in ((4, 33, 47), (1, 512, 32)):
        images = photograph(*size, seed=1)
        np.testing.assert_allclose(
            dynamic(images)[0], run_model(Outputs(model), images)[0], rtol=1e-3, atol=1e-4
        )
    for size, message in (
        ((5, 40, 40), "images have batch 5: this file supports 1 to 4"),
        ((1, 513, 40), "images have height 513: this file supports 32 to 512"),
    ):
        with pytest.raises(UserError, match=message):
            dynamic(photograph(*size, seed=0))


class Embedding(nn.Module):
    """A stage's convolutions and an MLP around one: what is quantised in a few layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = PatchEmbed(3, embed_dim=16, kernel_size=7, stride=4)
        self.mlp = DepthwiseMlp(16, hidden_dim=32)

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(self.embed(x))


@pytest.fixture(scope="module")
def embedding() -> ExportedProgram:
    return make_program(Embedding().eval(), Export("embedding", SIZE))


def _job(program: ExportedProgram, recipe: Recipe) -> Job:
    images = [photograph(1, *SIZE, seed=seed) for seed in range(2)]
    return Job(program, Export("embedding", SIZE, precision="int8"), images, recipe)


def test_convolutions_cost_no_transpositions(
    embedding: ExportedProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    from executorch.backends.xnnpack import xnnpack_preprocess as writer

    found: Counter[str] = Counter()
    serialize = writer.serialize_xnnpack_binary

    def count(graph: Any, constants: bytearray) -> bytes:
        found.update(type(node.xnode_union).__name__ for node in graph.xnodes)
        return serialize(graph, constants)

    monkeypatch.setattr(writer, "serialize_xnnpack_binary", count)
    executorch.lowered(Job(embedding, Export("embedding", SIZE)))
    assert found["XNNConv2d"] == found["XNNDepthwiseConv2d"] == 1
    assert found["XNNStaticTranspose"] == 1  # only that of the image: norms see tokens


def test_a_panoptic_networks_head_takes_its_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(8, 8, 2, 2), nn.ReLU())
    head = nn.Sequential(*layers, nn.Conv2d(8, 5, 1))
    inputs = [torch.randn(6, 8, 14, 14).numpy()]
    export = Export("head", (14, 14), batch=6, channels=8, min_size=14)
    gate = PartGate(inputs, 1e-5)
    export_model(head, export, RUNTIMES["executorch"], tmp_path / "head", gate=gate)
    assert executorch.delegation(tmp_path / "head" / "model.pte") == Delegation(1, {})


@pytest.mark.parametrize(("activations", "weights"), [("dynamic", 2), ("static", 4)])
def test_int8_keeps_floats(activations: str, weights: int, embedding: ExportedProgram) -> None:
    def count(*floats: str) -> int:
        graph = executorch.to_int8(embedding, _job(embedding, Recipe(activations, floats))).graph
        return Counter(str(node.target) for node in graph.nodes)[f"{PER_CHANNEL}.default"]

    assert count() == weights  # dynamic: only the linear layers
    assert count("mlp.fc1") == weights - 1
    assert count("embed") == weights - (activations == "static")
    assert count("mlp", "embed") == 0


@pytest.mark.parametrize("activations", ["dynamic", "static"])
def test_int8_is_near(activations: str, embedding: ExportedProgram, tmp_path: Path) -> None:
    file = tmp_path / "model.pte"
    executorch.convert(_job(embedding, Recipe(activations)), file)
    assert executorch.delegation(file).outside == {"aten::native_layer_norm": 1}
    assert 0 < largest_error(Embedding(), RUNTIME, file) < 0.15


def test_a_broken_file_is_told_in_a_sentence(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "file")
    content = (folder / "model.pte").read_bytes()
    assert content[4:8] == b"ET12"
    of_another_version = content[:4] + b"ET99" + content[8:]
    of_another_runtime = content.replace(b"native_layer_norm", b"native_layer_form")
    broken = (content[:-1000], content[:1000], b"", of_another_version, of_another_runtime)
    check_rejected(folder, "model.pte", broken, "model.pte: executorch rejects it: .+")
