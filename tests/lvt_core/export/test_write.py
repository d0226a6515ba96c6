"""Exported networks: ordinary graphs, a gate that nothing wrong passes, files that open without PyTorch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch
from torch import nn

from lvt_core import SegFormerLabels, cli, save_checkpoint
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, Runtime, delegates_of, export_model, write as common
from lvt_core.export.forms.graph import Outputs, exportable
from lvt_core.export.gate.parity import run_model
from lvt_core.export.runtimes.delegates import Delegation
from lvt_core.predict.open_model import open_model
from lvt_predict import sample as predict_sample
from lvt_predict.model import ExportedModel, load
from lvt_predict.sample import photograph
from tests.small import SMALL, check_in_another_process, check_rejected, small_models

FORBIDDEN = ("im2col", "col2im", "gather", "scatter", "index", "unfold", "fold")


def _tensors(found: object) -> list[torch.Tensor]:
    return [found] if isinstance(found, torch.Tensor) else list(found)  # type: ignore[call-overload]


@pytest.mark.parametrize("size", [(64, 96), (71, 99), (33, 64)])
@pytest.mark.parametrize("name", ["lvt_cls", "lvt", "segformer"])
def test_the_exported_form_is_the_same_function(name: str, size: tuple[int, int]) -> None:
    model, x = small_models()[name].double(), torch.randn(2, 3, *size, dtype=torch.float64)
    form = exportable(model)
    assert not any(parameter.requires_grad for parameter in form.parameters())  # converters read them
    with torch.inference_mode():
        for found, expected in zip(_tensors(form(x)), _tensors(model(x)), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["lvt_cls", "segformer"])
def test_graphs_have_ordinary_operators_of_rank_four(name: str) -> None:
    program = common.make_program(small_models()[name], Export(name, (71, 99)))
    for node in program.graph.nodes:
        assert not any(word in str(node.target).split(".")[-2:][0] for word in FORBIDDEN), node.target
        value = node.meta.get("val")
        assert not isinstance(value, torch.Tensor) or value.dim() <= 4, node


@pytest.mark.parametrize(
    ("runtime", "dynamic"),
    [
        pytest.param("onnx", True, marks=pytest.mark.slow),
        ("onnx", False),
        ("openvino", False),
        ("pt2", False),
        ("pt2", True),
    ],
)
def test_runtimes_give_what_the_model_gives(runtime: str, dynamic: bool, tmp_path: Path) -> None:
    model, folder = small_models()["lvt_cls"], tmp_path / "file"
    export = Export("lvt_cls", (64, 96), dynamic, classes=list("abcde"))
    if dynamic and not RUNTIMES[runtime].dynamic:
        with pytest.raises(UserError, match=f"--size dynamic: {runtime} only supports one size"):
            export_model(model, export, RUNTIMES[runtime], folder)
        assert not folder.exists()
        return
    parity = export_model(model, export, RUNTIMES[runtime], folder)
    assert parity.worst < 1e-4 and parity.images >= 4
    exported = load(folder, trust=True)
    assert exported.manifest["classes"] == list("abcde") and exported.manifest["parity"]["images"] >= 4
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    images = exported.normalize(pixels)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images))
    (found,) = exported(images)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)
    if not dynamic:
        with pytest.raises(UserError, match="images have height 65: this file supports 64"):
            exported(photograph(1, 65, 96, seed=0))
    if runtime == "onnx":
        check_in_another_process(folder, images, found)
        rejects_another_opset(folder)
    with pytest.raises(UserError, match="images are float64 .*: they must be float32"):
        exported(images.astype(np.float64))


def rejects_another_opset(folder: Path) -> None:
    """Check that a file with operators of a later ONNX is rejected in one sentence."""
    graph = onnx.load(folder / "model.onnx")
    graph.opset_import[0].version = 99
    broken = [graph.SerializeToString()]
    check_rejected(folder, "model.onnx", broken, "model.onnx: onnx rejects it: .*opset")


def test_backbones_give_four_maps_and_heads_their_logits(tmp_path: Path) -> None:
    for name, count in (("lvt", 4), ("segformer", 1)):
        model = small_models()[name]
        export_model(model, Export(name, (64, 64)), RUNTIMES["pt2"], tmp_path / name)
        images = photograph(1, 64, 64, seed=1)
        with torch.inference_mode():
            expected = _tensors(model(torch.from_numpy(images)))
        found = load(tmp_path / name, trust=True)(images)
        assert len(found) == len(expected) == count
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3, atol=1e-4)


def test_nothing_wrong_passes_the_gate(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    other = common.make_program(small_models()["lvt_cls"], Export("x", (64, 64)))
    torch.manual_seed(1)
    model = timm.create_model("lvt_cls", **SMALL)
    wrong = Runtime(
        "pt2", "model.pt2", ("torch",), lambda job, file: torch.export.save(other, file), dynamic=False
    )
    with pytest.raises(UserError, match="differs from the model by .* nothing is written"):
        export_model(model, Export("x", (64, 64)), wrong, folder)
    assert list(tmp_path.iterdir()) == []


def test_an_export_only_replaces_exports(tmp_path: Path) -> None:
    arguments = (small_models()["lvt"], Export("lvt", (32, 32)), RUNTIMES["pt2"])
    folder = tmp_path / "file"
    for _ in range(2):
        export_model(*arguments, folder)
        assert {path.name for path in folder.iterdir()} == {"model.json", "model.pt2"}
    (folder / "thesis.txt").write_text("mine")
    other = tmp_path / "photos"
    other.mkdir()
    (other / "a.jpg").write_text("mine")
    for place, mine in ((folder, folder / "thesis.txt"), (other, other / "a.jpg"), (other / "a.jpg", None)):
        with pytest.raises(UserError, match="already exists, and not only as an export"):
            export_model(*arguments, place)
        assert mine is None or mine.read_text() == "mine"
    assert (other / "a.jpg").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "photos"}


def test_mistakes_end_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, folder = small_models()["lvt"], tmp_path / "file"
    export_model(model, Export("lvt", (32, 32)), RUNTIMES["pt2"], folder)
    broken = [(folder / "model.pt2").read_bytes()[:-100]]
    check_rejected(folder, "model.pt2", broken, "not the file that was exported", renew=False)
    check_rejected(folder, "model.pt2", broken, "model.pt2: pt2 rejects it")
    manifest = json.loads((folder / "model.json").read_text())
    manifest["versions"]["torch"] = "1.0"
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"pt2 rejects it: .* \(written for torch 1.0, installed is 2"):
        ExportedModel(folder, trust=True)
    (folder / "model.json").write_text("{}")
    with pytest.raises(UserError, match="has no runtime, file"):
        ExportedModel(folder, trust=True)
    with pytest.raises(UserError, match="cannot read .*nowhere"):
        ExportedModel(tmp_path / "nowhere", trust=True)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match="--to onnx: needs onnxscript: pip install onnx onnxscript"):
        export_model(model, Export("lvt", (32, 32)), RUNTIMES["onnx"], tmp_path / "new")
    for words, message in (
        (["nothing"], "nothing: must be lvt_cls, lvt, segformer, or a checkpoint"),
        (["lvt", "--size", "big"], "--size big: must be a side"),
        (["lvt", "--size", "16"], "--size 16 16: must be at least 32"),
    ):
        with pytest.raises(UserError, match=message):
            cli.main(["export", *words, "--to", "pt2", "--output", str(tmp_path / "out")])


def test_samples_are_checked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "file"
    export_model(small_models()["lvt"], Export("lvt", (40, 32)), RUNTIMES["pt2"], folder)
    monkeypatch.setattr(sys, "argv", ["predict_sample", str(folder), "--trust"])
    predict_sample.main()
    assert f"{folder}: gives the recorded outputs" in capsys.readouterr().out
    manifest = json.loads((folder / "model.json").read_text())
    assert [output["shape"][2:] for output in manifest["sample"]["outputs"]] == [
        [10, 8],
        [5, 4],
        [3, 2],
        [2, 1],
    ]
    manifest["sample"]["outputs"][3]["values"][5] += 1e-3 * manifest["sample"]["outputs"][3]["largest"]
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="differs from the recorded outputs by 1.0e-03 .*, allowed is 1e-04"):
        predict_sample.main()
    (folder / "model.json").write_text(json.dumps(manifest | {"sample": None}))
    with pytest.raises(UserError, match="has no sample; `lvt export` writes it"):
        predict_sample.main()


@pytest.mark.parametrize(
    ("runtime", "dynamic"), [pytest.param("onnx", True, marks=pytest.mark.slow), ("coreml", False)]
)
def test_segmentation_gives_each_pixels_class(runtime: str, dynamic: bool, tmp_path: Path) -> None:
    for package in RUNTIMES[runtime].packages:
        pytest.importorskip(package)
    segmentor, images = small_models()["segformer"], photograph(1, 40, 66, seed=7)
    mean = torch.from_numpy(run_model(Outputs(segmentor), images)[0].mean(axis=(0, 2, 3)))
    with torch.no_grad():
        segmentor.decode_head.classifier.bias -= mean  # type: ignore[union-attr, operator]  # all classes win
    model, export = SegFormerLabels(segmentor), Export("segformer", (40, 66), dynamic)
    parity = export_model(model, export, RUNTIMES[runtime], tmp_path / "file")
    assert parity.worst < 1e-4
    (found,) = load(tmp_path / "file", trust=True)(images)
    logits = run_model(Outputs(segmentor), images)[0]
    large = nn.functional.interpolate(torch.from_numpy(logits), size=(40, 66), mode="bilinear")
    assert found.shape == (1, 40, 66) and len(np.unique(found)) > 1
    assert (found == large.argmax(dim=1).numpy()).mean() > 0.999


def test_reports_delegates() -> None:
    model = small_models()["lvt"]
    found = delegates_of(model, Export("lvt", (64, 64)), RUNTIMES["onnx"])
    assert found["NNAPI"].outside["LayerNormalization"] >= 8 and found["NNAPI"].partitions > 1
    assert "LayerNormalization" not in found["Core ML"].outside
    assert str(Delegation(1, {})) == "takes 1 piece and all operators"
    assert str(Delegation(2, {"Pad": 1, "Gelu": 3})) == "takes 2 pieces; leaves 3 Gelu, 1 Pad"
    with pytest.raises(UserError, match="--to pt2: has no delegates of accelerators"):
        delegates_of(model, Export("lvt", (64, 64)), RUNTIMES["pt2"])


def test_checkpoints_of_variants_are_recognised(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_checkpoint(timm.create_model("lvt_cls", **SMALL), tmp_path / "a.pth")
    kwargs = {key: SMALL[key] for key in ("embed_dims", "num_heads")}
    name, model, *_ = open_model(str(tmp_path / "a.pth"), model_kwargs=kwargs)
    assert name == "lvt_cls" and [len(stage.blocks) for stage in model.backbone.stages] == [1, 1, 1, 1]
    with pytest.raises(UserError, match="--model-kwargs: .*num_heads=.*: must be a divisor"):
        open_model("lvt", model_kwargs={"num_heads": (3, 3, 3, 3)})


def test_command_exports_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.manual_seed(0)
    model = timm.create_model("lvt_cls", num_classes=7).eval()
    save_checkpoint(model, tmp_path / "a.pth")
    words = ["export", str(tmp_path / "a.pth"), "--to", "pt2", "--size", "32", "64"]
    cli.main([*words, "--output", str(tmp_path / "out")])
    assert "lvt_cls for pt2, fp32; largest difference" in capsys.readouterr().out
    images = photograph(1, 32, 64, seed=0)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(load(tmp_path / "out", trust=True)(images)[0], expected, rtol=1e-3, atol=1e-4)
