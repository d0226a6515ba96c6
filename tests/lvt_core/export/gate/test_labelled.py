"""Lower precisions are near, and are judged by how well they do their task on labelled images."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import torch
from PIL import Image

from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, Job, Runtime, export_model, write as common
from lvt_core.export.forms.graph import Outputs
from lvt_core.export.gate.choose import choose_gate
from lvt_core.export.gate.labelled import ClassifiedImages, LabelMaps
from lvt_core.export.gate.parity import run_model
from lvt_core.export.recipe.file import Recipe
from lvt_core.export.runtimes import onnx as onnx_export, openvino as openvino_export
from lvt_predict.model import load
from lvt_predict.runtimes import SESSIONS
from lvt_predict.sample import photograph
from tests.small import small_models, two_stages, write_pictures

SIZE = (64, 96)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ClassifiedImages:
    folder = write_pictures(tmp_path_factory.mktemp("pictures"), SIZE, {"train": 4, "val": 3})
    return ClassifiedImages(folder, SIZE, num_classes=2, crop_pct=1.0, mean=(0.5,) * 3, std=(0.25,) * 3)


def test_lower_precisions_are_judged_by_their_task(data: ClassifiedImages, tmp_path: Path) -> None:
    model = small_models()["lvt_cls"]
    program = common.make_program(model, Export("lvt_cls", SIZE))
    images, _ = next(iter(data))
    expected = run_model(Outputs(model), images)[0]
    job = Job(program, Export("lvt_cls", SIZE), data.calibration())
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
            written = onnx_export.to_int8(written, job.calibration, recipe, tmp_path)
        onnx.save(written, folder / "model.onnx")
        export = Export("lvt_cls", SIZE, precision=precision)
        common.write_model_manifest(folder, export, RUNTIMES["onnx"], None)
        (found,) = load(folder, trust=True)(images)
        assert np.abs(found - expected).max() / np.abs(expected).max() < bound, folder.name
        sizes[folder.name] = (folder / "model.onnx").stat().st_size
    assert sizes["fp16-dynamic-0"] < 0.75 * sizes["fp32-dynamic-0"]
    assert sizes["int8-dynamic-0"] < sizes["int8-dynamic-4"], "what the recipe names stays in float"
    assert (found != expected).any(), "the head is int8 all the same"


def test_bfloat16_is_computed_where_the_processor_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_it = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    model, images = two_stages(), photograph(1, 64, 64, seed=0)
    export = Export("lvt", (64, 64), precision="bf16")
    job, file = Job(common.make_program(model, export), export), tmp_path / "model.xml"
    source = tmp_path / "float.xml"
    openvino_export.convert(job, source)
    found = {}
    for capabilities in (["FP32", "BF16"], ["FP32"]):
        monkeypatch.setattr(openvino.Core, "get_property", lambda *_, found=capabilities: found)
        if "BF16" in capabilities:
            openvino_export.quantize(job, source, file)
        else:
            with pytest.raises(UserError, match="--precision bf16: this processor does not support bfloat16"):
                openvino_export.quantize(job, source, tmp_path / "other.xml")
        (*_, found[len(capabilities)]) = SESSIONS["openvino"](file)(images)
    expected = run_model(Outputs(model), images)[-1]
    errors = {key: np.abs(value - expected).max() / np.abs(expected).max() for key, value in found.items()}
    assert errors[1] < 5e-3 and errors[2] < 0.1  # float16 and bfloat16 keep 11 and 8 bits
    assert not has_it or errors[2] > errors[1]
    with pytest.raises(UserError, match="--precision bf16: onnx only supports fp32, fp16, int8"):
        export_model(model, export, RUNTIMES["onnx"], tmp_path / "folder")


def test_what_does_its_task_worse_is_not_written(data: ClassifiedImages, tmp_path: Path) -> None:
    model = small_models()["lvt_cls"]
    export, runtime = Export("lvt_cls", SIZE, precision="fp16"), RUNTIMES["pt2"]
    with pytest.raises(UserError, match="--precision fp16: pt2 only supports fp32"):
        choose_gate(export, runtime, data=data)
        export_model(model, export, runtime, tmp_path / "file")

    def convert(bias: float, job: Job, file: Path) -> None:
        other = copy.deepcopy(model)
        with torch.no_grad():
            other.head.bias[0] += bias  # another class wins everywhere
        torch.export.save(common.make_program(other, job.export), file)

    for bias in (1e9, 0.0):
        runtime = Runtime("pt2", "model.pt2", ("torch",), partial(convert, bias), False, ("fp16",))
        if bias:
            with pytest.raises(UserError, match="pt2, fp16: top-1 .* agree, 6 images; allowed .* nothing"):
                export_model(
                    model, export, runtime, tmp_path / "file", gate=choose_gate(export, runtime, data=data)
                )
            assert not (tmp_path / "file").exists()
        else:
            gate = choose_gate(export, runtime, data=data)
            checked = export_model(model, export, runtime, tmp_path / "file", gate=gate)
            assert (
                checked.agreement == 100
                and load(tmp_path / "file", trust=True).manifest["parity"]["images"] == 6
            )
    with pytest.raises(UserError, match="--precision fp16: requires --data FOLDER"):
        export_model(model, export, runtime, tmp_path / "file")
    with pytest.raises(UserError, match=r"--data .*: val/ must have one folder of images per class"):
        ClassifiedImages(tmp_path, SIZE, num_classes=2, mean=(0.5,) * 3, std=(0.25,) * 3)


def test_label_maps_score_as_counted_by_hand(tmp_path: Path) -> None:
    truth = np.zeros((4, 6), dtype=np.uint8)
    truth[:, :2], truth[:, 2:4] = 1, 2  # the last two columns are not judged
    for kind, value in (("images", np.zeros((4, 6, 3), np.uint8)), ("annotations", truth)):
        (tmp_path / kind / "validation").mkdir(parents=True)
        Image.fromarray(value).save(tmp_path / kind / "validation" / "a.png")
    data = LabelMaps(tmp_path, (32, 32), num_classes=2, mean=(0.5,) * 3, std=(0.25,) * 3)
    ((images, judged),) = data
    assert images.shape == (1, 3, 32, 32) and (judged[:, 4:] == 255).all() and (judged[:, 0] == 0).all()
    logits = np.zeros((1, 2, 4, 6), dtype=np.float32)
    logits[:, 0, :, :3] = 1
    logits[:, 1, :, 3:] = 1
    found = data.predict([logits], judged)
    assert data.score([found], [judged]) == pytest.approx(100 * (8 / 12 + 4 / 8) / 2)
    assert data.agreement(found, np.zeros_like(found)) == 0.5
    with pytest.raises(UserError, match="images/training/ must contain images"):
        data.calibration()
