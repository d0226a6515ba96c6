"""ExecuTorch: small networks are converted, then run, quantised, opened by a stranger, and broken."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from lvt_core import LVT, LVTConfig
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, Job, export_model, panoptic
from lvt_core.export.common import make_program
from lvt_core.export.delegates import Delegation
from lvt_core.export.gate import photograph, run_model
from lvt_core.export.graph import Outputs
from lvt_core.export.job import require_activations
from lvt_core.export.recipe import RECIPES, Recipe, read_recipe
from lvt_core.layers import DepthwiseMlp, PatchEmbed
from lvt_core.predict import SESSIONS, ExportedModel, load

pytest.importorskip("executorch")
from lvt_core.export import executorch

SIZE = (40, 71)
SMALL = LVTConfig(
    embed_dims=(16, 16, 32, 32),
    num_heads=(2, 2, 2, 2),
    depths=(1, 1, 1, 1),
    mlp_ratios=(2, 2, 2, 2),
    atrous_rates=(1, 5),
    num_recursions=1,
)
PER_CHANNEL = "quantized_decomposed.dequantize_per_channel"
STRANGER = """
import json, sys
import numpy as np
from lvt_core.predict import load

print(json.dumps(load(sys.argv[1])(np.load(sys.argv[2]))[0].tolist()))
assert not {"lvt_core.export", "executorch.backends.xnnpack"} & set(sys.modules)
"""  # with PyTorch, which ExecuTorch's Python runtime imports, but without what converts


def _network(stages: int) -> nn.Module:
    """The first stages alone: the first has CSA, the second RASA."""
    torch.manual_seed(0)
    model = LVT(SMALL).eval()
    model.stages = model.stages[:stages]
    for name, parameter in model.named_parameters():
        if "attn" in name and parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return _network(2)


@pytest.fixture(scope="module")
def exported(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 export: the gate has compared its maps with the model's."""
    folder = tmp_path_factory.mktemp("executorch") / "file"
    parity = export_model(model, Export("lvt", SIZE), "executorch", RUNTIMES["executorch"], folder)
    assert parity.worst < 1e-5
    return folder


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


def test_a_stranger_opens_it(model: nn.Module, exported: Path) -> None:
    images = photograph(1, *SIZE, seed=3)
    expected, found = run_model(Outputs(model), images), load(exported)(images)
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-4)
    np.save(exported.parent / "images.npy", images)
    words = [sys.executable, "-c", STRANGER, str(exported), str(exported.parent / "images.npy")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), found[0], rtol=1e-5, atol=1e-6)


def test_sizes_are_free_within_bounds(tmp_path: Path) -> None:
    model, folder = _network(1), tmp_path / "file"
    runtime = RUNTIMES["executorch"]
    parity = export_model(model, Export("lvt", (40, 500), dynamic=True), "executorch", runtime, folder)
    assert parity.worst < 1e-5 and parity.sizes == [(1, 40, 500), (3, 67, 487), (2, 32, 501)]
    dynamic = load(folder)
    for size in ((4, 33, 47), (1, 512, 32)):
        images = photograph(*size, seed=1)
        np.testing.assert_allclose(
            dynamic(images)[0], run_model(Outputs(model), images)[0], rtol=1e-3, atol=1e-4
        )
    for size, message in (
        ((5, 40, 40), "images have batch 5: this file takes 1 to 4"),
        ((1, 513, 40), "images have height 513: this file takes 32 to 512"),
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
    assert found["XNNStaticTranspose"] == 1  # of the image: norms see tokens


def test_a_panoptic_networks_head_takes_its_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(8, 8, 2, 2), nn.ReLU())
    head = nn.Sequential(*layers, nn.Conv2d(8, 5, 1))
    inputs = [torch.randn(6, 8, 14, 14).numpy()]
    export = Export("head", (14, 14), batch=6, channels=8, min_size=14)
    check = partial(panoptic._check_part, inputs=inputs, tolerance=1e-5)
    export_model(head, export, "executorch", RUNTIMES["executorch"], tmp_path / "head", check=check)
    assert executorch.delegation(tmp_path / "head" / "model.pte") == Delegation(1, {})


@pytest.mark.parametrize(("activations", "weights"), [("dynamic", 2), ("static", 4)])
def test_int8_keeps_floats(activations: str, weights: int, embedding: ExportedProgram) -> None:
    def count(*floats: str) -> int:
        graph = executorch.quantized(embedding, _job(embedding, Recipe(activations, floats))).graph
        return Counter(str(node.target) for node in graph.nodes)[f"{PER_CHANNEL}.default"]

    assert count() == weights  # dynamic: the linear layers alone
    assert count("mlp.fc1") == weights - 1
    assert count("embed") == weights - (activations == "static")
    assert count("mlp", "embed") == 0


@pytest.mark.parametrize("activations", ["dynamic", "static"])
def test_int8_is_near(activations: str, embedding: ExportedProgram, tmp_path: Path) -> None:
    file = tmp_path / "model.pte"
    executorch.convert(_job(embedding, Recipe(activations)), file)
    assert executorch.delegation(file).outside == {"aten::native_layer_norm": 1}
    images = photograph(1, *SIZE, seed=9)
    (ours,), (theirs,) = run_model(Outputs(Embedding()), images), SESSIONS["executorch"](file)(images)
    assert 0 < np.abs(ours - theirs).max() / np.abs(ours).max() < 0.15


def test_weights_alone_are_not_int8() -> None:
    with pytest.raises(UserError, match="activations 'float': executorch has static, dynamic"):
        require_activations(Recipe("float"), "executorch", RUNTIMES["executorch"])


@pytest.mark.parametrize("model_name", ["lvt_cls", "segformer"])
def test_recipes_are_there(model_name: str) -> None:
    assert read_recipe(model_name, "executorch") == Recipe("dynamic")
    assert (RECIPES / f"{model_name}-executorch.json").exists()


def test_a_broken_file_is_told_in_a_sentence(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "file"
    shutil.copytree(exported, folder)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["sha256"] = {}
    (folder / "model.json").write_text(json.dumps(manifest))
    file = folder / "model.pte"
    content = file.read_bytes()
    assert content[4:8] == b"ET12"
    of_another_version = content[:4] + b"ET99" + content[8:]
    of_another_runtime = content.replace(b"native_layer_norm", b"native_layer_form")
    for broken in (content[:-1000], content[:1000], b"", of_another_version, of_another_runtime):
        file.write_bytes(broken)
        with pytest.raises(UserError, match="model.pte: executorch refuses it: .+"):
            ExportedModel(folder)
