"""Exported networks: ordinary graphs, a gate that nothing wrong passes, files that a stranger can open."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from lvt_core import LVT, LVTConfig, SegFormer, SegFormerLabels, cli, predict_sample, save_checkpoint
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, Job, Runtime, check_delegates, common, export_model
from lvt_core.export import onnx as onnx_export
from lvt_core.export import openvino as openvino_export
from lvt_core.export.delegates import Delegation
from lvt_core.export.gate import photograph, run_model
from lvt_core.export.graph import Outputs, exportable
from lvt_core.export.labelled import ClassifiedImages, LabelMaps
from lvt_core.export.open_model import open_model
from lvt_core.export.recipe import Recipe, read_recipe
from lvt_core.predict import SESSIONS, ExportedModel, load

SMALL = {"embed_dims": (16, 16, 32, 32), "num_heads": (2, 2, 2, 2), "depths": (1, 1, 1, 1), "num_classes": 5}
FORBIDDEN = ("im2col", "col2im", "gather", "scatter", "index", "unfold", "fold")


def _models() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    models: dict[str, nn.Module] = {
        "lvt_cls": timm.create_model("lvt_cls", **SMALL),
        "lvt": LVT(LVTConfig(**SMALL)),
        "segformer": SegFormer(LVTConfig(**SMALL), embed_dim=16),
    }
    for model in models.values():  # weights that attend, so that an exchange of taps or heads is seen
        for name, parameter in model.named_parameters():
            if "attn" in name and parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.3)
    return {name: model.eval() for name, model in models.items()}


def _tensors(found: object) -> list[torch.Tensor]:
    return [found] if isinstance(found, torch.Tensor) else list(found)  # type: ignore[call-overload]


@pytest.mark.parametrize("size", [(64, 96), (71, 99), (33, 64)])
@pytest.mark.parametrize("name", ["lvt_cls", "lvt", "segformer"])
def test_the_exported_form_is_the_same_function(name: str, size: tuple[int, int]) -> None:
    model, x = _models()[name].double(), torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.inference_mode():
        for found, expected in zip(_tensors(exportable(model)(x)), _tensors(model(x)), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["lvt_cls", "segformer"])
def test_graphs_have_ordinary_operators_of_rank_four(name: str) -> None:
    program = common.make_program(_models()[name], Export(name, (71, 99)))
    for node in program.graph.nodes:
        assert not any(word in str(node.target).split(".")[-2:][0] for word in FORBIDDEN), node.target
        value = node.meta.get("val")
        assert not isinstance(value, torch.Tensor) or value.dim() <= 4, node


@pytest.mark.parametrize(
    ("runtime", "dynamic"), [("onnx", True), ("openvino", False), ("pt2", False), ("pt2", True)]
)
def test_runtimes_give_what_the_model_gives(runtime: str, dynamic: bool, tmp_path: Path) -> None:
    model, folder = _models()["lvt_cls"], tmp_path / "file"
    export = Export("lvt_cls", (64, 96), dynamic, classes=list("abcde"))
    if dynamic and not RUNTIMES[runtime].dynamic:
        with pytest.raises(UserError, match=f"--size dynamic: {runtime} takes one size"):
            export_model(model, export, runtime, RUNTIMES[runtime], folder)
        assert not folder.exists()
        return
    parity = export_model(model, export, runtime, RUNTIMES[runtime], folder)
    assert parity.worst < 1e-4 and parity.images >= 4
    exported = load(folder)
    assert exported.manifest["classes"] == list("abcde") and exported.manifest["parity"]["images"] >= 4
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    images = exported.normalize(pixels)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images))
    (found,) = exported(images)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)
    if not dynamic:
        with pytest.raises(UserError, match="images have height 65: this file takes 64"):
            exported(photograph(1, 65, 96, seed=0))
    if runtime == "onnx":
        check_as_a_stranger(folder, images, found)
        refuses_another_opset(folder)
    with pytest.raises(UserError, match="images are float64 .*: they must be float32"):
        exported(images.astype(np.float64))


def refuses_another_opset(folder: Path) -> None:
    """A file that asks for operators of a later ONNX is told in a sentence."""
    graph = onnx.load(folder / "model.onnx")
    graph.opset_import[0].version = 99
    onnx.save(graph, folder / "model.onnx")
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(manifest | {"sha256": {}}))
    with pytest.raises(UserError, match="model.onnx: onnx refuses it: .*opset"):
        ExportedModel(folder)


def test_backbones_give_four_maps_and_heads_their_logits(tmp_path: Path) -> None:
    for name, count in (("lvt", 4), ("segformer", 1)):
        model = _models()[name]
        export_model(model, Export(name, (64, 64)), "pt2", RUNTIMES["pt2"], tmp_path / name)
        images = photograph(1, 64, 64, seed=1)
        with torch.inference_mode():
            expected = _tensors(model(torch.from_numpy(images)))
        found = load(tmp_path / name)(images)
        assert len(found) == len(expected) == count
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3, atol=1e-4)


def test_nothing_wrong_passes_the_gate(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    other = common.make_program(_models()["lvt_cls"], Export("x", (64, 64)))
    torch.manual_seed(1)
    model = timm.create_model("lvt_cls", **SMALL)
    wrong = Runtime("model.pt2", ("torch",), lambda job, file: torch.export.save(other, file), dynamic=False)
    with pytest.raises(UserError, match="differs from the model by .* nothing is written"):
        export_model(model, Export("x", (64, 64)), "pt2", wrong, folder)
    assert list(tmp_path.iterdir()) == []


def test_an_export_replaces_exports_alone(tmp_path: Path) -> None:
    arguments = (_models()["lvt"], Export("lvt", (32, 32)), "pt2", RUNTIMES["pt2"])
    folder = tmp_path / "file"
    for _ in range(2):
        export_model(*arguments, folder)
        assert {path.name for path in folder.iterdir()} == {"model.json", "model.pt2"}
    (folder / "thesis.txt").write_text("mine")
    other = tmp_path / "photos"
    other.mkdir()
    (other / "a.jpg").write_text("mine")
    for place, mine in ((folder, folder / "thesis.txt"), (other, other / "a.jpg"), (other / "a.jpg", None)):
        with pytest.raises(UserError, match="is there already and is no export alone"):
            export_model(*arguments, place)
        assert mine is None or mine.read_text() == "mine"
    assert (other / "a.jpg").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "photos"}


def test_mistakes_are_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "file"
    export_model(_models()["lvt"], Export("lvt", (32, 32)), "pt2", RUNTIMES["pt2"], folder)
    data = (folder / "model.pt2").read_bytes()
    (folder / "model.pt2").write_bytes(data[:-100])
    with pytest.raises(UserError, match="not the file that was exported"):
        ExportedModel(folder)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["sha256"] = {}
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="model.pt2: pt2 refuses it"):
        ExportedModel(folder)
    manifest["versions"]["torch"] = "1.0"
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"pt2 refuses it: .* \(written for torch 1.0, here is 2"):
        ExportedModel(folder)
    (folder / "model.json").write_text("{}")
    with pytest.raises(UserError, match="has no runtime, file"):
        ExportedModel(folder)
    with pytest.raises(UserError, match="cannot read .*nowhere"):
        ExportedModel(tmp_path / "nowhere")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match="--to onnx: needs onnxscript: pip install onnx onnxscript"):
        export_model(_models()["lvt"], Export("lvt", (32, 32)), "onnx", RUNTIMES["onnx"], tmp_path / "new")
    for words, message in (
        (["nothing"], "nothing: must be lvt_cls, lvt, segformer, or a checkpoint"),
        (["lvt", "--size", "big"], "--size big: must be a side"),
        (["lvt", "--size", "16"], "--size 16 16: must be at least 32"),
    ):
        with pytest.raises(UserError, match=message):
            cli.main(["export", *words, "--to", "pt2", "--output", str(tmp_path / "out")])


def test_samples_are_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "file"
    export_model(_models()["lvt"], Export("lvt", (40, 32)), "pt2", RUNTIMES["pt2"], folder)
    monkeypatch.setattr(sys, "argv", ["predict_sample", str(folder)])
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


@pytest.mark.parametrize(("runtime", "dynamic"), [("onnx", True), ("coreml", False)])
def test_segmentation_gives_each_pixels_class(runtime: str, dynamic: bool, tmp_path: Path) -> None:
    segmentor, images = _models()["segformer"], photograph(1, 40, 66, seed=7)
    mean = torch.from_numpy(run_model(Outputs(segmentor), images)[0].mean(axis=(0, 2, 3)))
    with torch.no_grad():
        segmentor.decode_head.classifier.bias -= mean  # type: ignore[union-attr, operator]  # all classes win
    model, export = SegFormerLabels(segmentor), Export("segformer", (40, 66), dynamic)
    parity = export_model(model, export, runtime, RUNTIMES[runtime], tmp_path / "file")
    assert parity.worst < 1e-4
    (found,) = load(tmp_path / "file")(images)
    logits = run_model(Outputs(segmentor), images)[0]
    large = nn.functional.interpolate(torch.from_numpy(logits), size=(40, 66), mode="bilinear")
    assert found.shape == (1, 40, 66) and len(np.unique(found)) > 1
    assert (found == large.argmax(dim=1).numpy()).mean() > 0.999


def test_delegates_are_asked() -> None:
    model = _models()["lvt"]
    found = check_delegates(model, Export("lvt", (64, 64)), "onnx", RUNTIMES["onnx"])
    assert found["NNAPI"].outside["LayerNormalization"] >= 8 and found["NNAPI"].partitions > 1
    assert "LayerNormalization" not in found["Core ML"].outside
    assert str(Delegation(1, {})) == "takes 1 piece and all operators"
    assert str(Delegation(2, {"Pad": 1, "Gelu": 3})) == "takes 2 pieces; leaves 3 Gelu, 1 Pad"
    with pytest.raises(UserError, match="--check: pt2 has no accelerator's delegate"):
        check_delegates(model, Export("lvt", (64, 64)), "pt2", RUNTIMES["pt2"])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes, 64 x 96: bright and dark noise."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 3)):
        for label, name in enumerate(("bright", "dark")):
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (64, 96, 3)) + 120 * (1 - label)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "pictures"


def test_lower_precisions_are_judged_by_their_task(pictures: Path, tmp_path: Path) -> None:
    model = _models()["lvt_cls"]
    size = (64, 96)
    data = ClassifiedImages(pictures, size, crop_pct=1.0, mean=(0.5,) * 3, std=(0.25,) * 3)
    program = common.make_program(model, Export("lvt_cls", size))
    images, _ = next(iter(data))
    expected = run_model(Outputs(model), images)[0]
    job = Job(program, Export("lvt_cls", size), data.calibration())
    onnx_export.convert(job, tmp_path / "float.onnx")
    graph = onnx.load(tmp_path / "float.onnx")
    names = {node.name.split("/")[0] for node in graph.graph.node}
    assert {"backbone.stages.0.blocks.0.attn.values.8", "head"} <= names
    sizes, stages = {}, tuple(f"backbone.stages.{i}" for i in range(4))
    for precision, recipe, bound in (
        ("fp32", Recipe(), 1e-4),
        ("fp16", Recipe(), 0.01),
        ("int8", Recipe("dynamic"), 0.2),
        ("int8", Recipe("static"), 0.3),
        ("int8", Recipe("dynamic", stages), 0.05),
    ):
        folder = tmp_path / f"{precision}-{recipe.activations}-{len(recipe.floats)}"
        folder.mkdir()
        written = copy.deepcopy(graph)
        if precision == "fp16":
            written = onnx_export.half(written)
            onnx.checker.check_model(written)  # and its order
        elif precision == "int8":
            written = onnx_export.quantized(written, job.calibration, recipe, tmp_path)
        onnx.save(written, folder / "model.onnx")
        export = Export("lvt_cls", size, precision=precision)
        common.write_manifest(folder, export, "onnx", RUNTIMES["onnx"], None)
        (found,) = load(folder)(images)
        assert np.abs(found - expected).max() / np.abs(expected).max() < bound, folder.name
        sizes[folder.name] = (folder / "model.onnx").stat().st_size
    assert sizes["fp16-dynamic-0"] < 0.75 * sizes["fp32-dynamic-0"]
    assert sizes["int8-dynamic-0"] < sizes["int8-dynamic-4"], "what the recipe names stays in float"
    assert (found != expected).any(), "the head is int8 all the same"


def test_bfloat16_is_computed_where_the_processor_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_it = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    model, images = _models()["lvt"], photograph(1, 64, 64, seed=0)
    model.stages = model.stages[:2]
    export = Export("lvt", (64, 64), precision="bf16")
    job, file = Job(common.make_program(model, export), export), tmp_path / "model.xml"
    source = tmp_path / "float.xml"
    openvino_export.convert(job, source)
    found = {}
    for told in (["FP32", "BF16"], ["FP32"]):
        monkeypatch.setattr(openvino.Core, "get_property", lambda *_, told=told: told)
        if "BF16" in told:
            openvino_export.quantize(job, source, file)
        else:
            with pytest.raises(UserError, match="--precision bf16: this processor has no bfloat16"):
                openvino_export.quantize(job, source, tmp_path / "other.xml")
        (*_, found[len(told)]) = SESSIONS["openvino"](file)(images)
    expected = run_model(Outputs(model), images)[-1]
    errors = {key: np.abs(value - expected).max() / np.abs(expected).max() for key, value in found.items()}
    assert errors[1] < 5e-3 and errors[2] < 0.1  # float16 and bfloat16 keep 11 and 8 bits
    assert not has_it or errors[2] > errors[1]
    with pytest.raises(UserError, match="--precision bf16: onnx has fp32, fp16, int8"):
        export_model(model, export, "onnx", RUNTIMES["onnx"], tmp_path / "folder")


def test_what_does_its_task_worse_is_not_written(pictures: Path, tmp_path: Path) -> None:
    model = _models()["lvt_cls"]
    data = ClassifiedImages(pictures, (64, 96), crop_pct=1.0, mean=(0.5,) * 3, std=(0.25,) * 3)
    export, runtime = Export("lvt_cls", (64, 96), precision="fp16"), RUNTIMES["pt2"]
    with pytest.raises(UserError, match="--precision fp16: pt2 has fp32"):
        export_model(model, export, "pt2", runtime, tmp_path / "file", data=data)

    def convert(bias: float, job: Job, file: Path) -> None:
        other = copy.deepcopy(model)
        with torch.no_grad():
            other.head.bias[0] += bias  # another class wins everywhere
        torch.export.save(common.make_program(other, job.export), file)

    for bias in (1e9, 0.0):
        runtime = Runtime("model.pt2", ("torch",), partial(convert, bias), False, ("fp16",))
        if bias:
            with pytest.raises(UserError, match="pt2, fp16: top-1 .* agree, 6 images; allowed .* nothing"):
                export_model(model, export, "pt2", runtime, tmp_path / "file", data=data)
            assert not (tmp_path / "file").exists()
        else:
            checked = export_model(model, export, "pt2", runtime, tmp_path / "file", data=data)
            assert checked.agreement == 100 and load(tmp_path / "file").manifest["parity"]["images"] == 6
    with pytest.raises(UserError, match="--precision fp16: needs --data FOLDER"):
        export_model(model, export, "pt2", runtime, tmp_path / "file")
    with pytest.raises(UserError, match=r"--data .*: val/ must have a folder of images a class"):
        ClassifiedImages(tmp_path, (64, 96), mean=(0.5,) * 3, std=(0.25,) * 3)


def test_label_maps_score_as_counted_by_hand(tmp_path: Path) -> None:
    truth = np.zeros((4, 6), dtype=np.uint8)
    truth[:, :2], truth[:, 2:4] = 1, 2  # the last two columns are not judged
    for kind, value in (("images", np.zeros((4, 6, 3), np.uint8)), ("annotations", truth)):
        (tmp_path / kind / "validation").mkdir(parents=True)
        Image.fromarray(value).save(tmp_path / kind / "validation" / "a.png")
    data = LabelMaps(tmp_path, (32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
    ((images, judged),) = data
    assert images.shape == (1, 3, 32, 32) and (judged[:, 4:] == 255).all() and (judged[:, 0] == 0).all()
    logits = np.zeros((1, 2, 4, 6), dtype=np.float32)
    logits[:, 0, :, :3] = 1
    logits[:, 1, :, 3:] = 1
    found = data.predict([logits], judged)
    assert data.score([found], [judged]) == pytest.approx(100 * (8 / 12 + 4 / 8) / 2)
    assert data.agreement(found, np.zeros_like(found)) == 0.5
    with pytest.raises(UserError, match="images/training/ must have images"):
        data.calibration()


def test_recipes_are_checked(tmp_path: Path) -> None:
    recipe = Recipe("static", ("stages.1",))
    assert recipe.keeps("stages.1.norm") and recipe.keeps("stages.1") and not recipe.keeps("stages.10")
    for text, message in (
        ("[]", "no recipe"),
        ('{"activations": "static", "floats": "head"}', "no recipe"),
        ('{"activations": "half", "floats": []}', "activations 'half': must be static, dynamic, float"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(UserError, match=message):
            read_recipe("lvt_cls", "onnx", tmp_path / "a.json")
    with pytest.raises(UserError, match="cannot read .*pt2.json"):
        read_recipe("lvt", "pt2")


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
    np.testing.assert_allclose(load(tmp_path / "out")(images)[0], expected, rtol=1e-3, atol=1e-4)


STRANGER = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "timm", "torchvision", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
import numpy as np
from lvt_core.predict import load

print(repr(load(sys.argv[1])(np.load(sys.argv[2]))[0].tolist()))
assert "torch" not in sys.modules
"""


def check_as_a_stranger(folder: Path, images: np.ndarray, expected: np.ndarray) -> None:
    """The file gives the same in a process that has the runtime and numpy alone."""
    np.save(folder / "images.npy", images)
    words = [sys.executable, "-c", STRANGER, str(folder), str(folder / "images.npy")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=1e-5, atol=1e-6)
