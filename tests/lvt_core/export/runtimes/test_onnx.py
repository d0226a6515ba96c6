"""ONNX files have names that a reader expects, and folders without them keep working."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lvt_core import SegFormerLabels, cli
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, export_model
from lvt_core.export.runtimes import onnx as onnx_export
from lvt_core.export.write import make_job
from lvt_predict.model import load
from lvt_predict.runtimes import SESSIONS, openvino_core
from lvt_predict.sample import photograph
from tests.small import renew_checksums, small_models


def written(export: Export, folder: Path, model: Any = None) -> Any:
    """Export to ONNX and read the graph."""
    export_model(model or small_models()[export.name], export, RUNTIMES["onnx"], folder)
    return onnx.load(folder / "model.onnx").graph


def axes(value: Any) -> list[Any]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


@pytest.mark.slow
def test_free_sizes_have_names_also_in_the_outputs(tmp_path: Path) -> None:
    export = Export("segformer", (64, 96), dynamic=True, outputs="logits")
    graph = written(export, tmp_path / "file")
    (images,), (logits,) = graph.input, graph.output
    assert (images.name, axes(images)) == ("images", ["batch", 3, "height", "width"])
    batch, classes, height, width = axes(logits)
    assert (logits.name, batch, classes) == ("logits", "batch", 5)
    assert "height" in height and "width" in width and "s7" not in height + width


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_the_batch_may_be_free_at_one_size(runtime: str, tmp_path: Path) -> None:
    export = Export("lvt_cls", (64, 96), free_batch=True, outputs="logits")
    model = small_models()["lvt_cls"]
    checked: Any = export_model(model, export, RUNTIMES[runtime], tmp_path / "file")
    assert {size[0] for size in checked.sizes} == {1, 3}
    exported = load(tmp_path / "file", trust=True)
    assert exported.manifest["input"][1:] == [3, 64, 96]
    for batch in (2, 1, 5):
        assert exported(photograph(batch, 64, 96, seed=batch))[0].shape == (batch, 5)
    with pytest.raises(UserError, match="images have height 65: this file supports 64"):
        exported(photograph(1, 65, 96, seed=0))
    if runtime == "onnx":
        graph = onnx.load(tmp_path / "file" / "model.onnx").graph
        assert axes(graph.input[0]) == ["batch", 3, 64, 96] and axes(graph.output[0]) == ["batch", 5]


def test_outputs_are_named_by_kind(tmp_path: Path) -> None:
    maps = written(Export("lvt", (32, 32)), tmp_path / "maps")
    assert [value.name for value in maps.output] == ["map_0", "map_1", "map_2", "map_3"]
    segmentor = SegFormerLabels(small_models()["segformer"])
    labels = written(Export("segformer", (32, 32), outputs="labels"), tmp_path / "labels", segmentor)
    assert [value.name for value in labels.output] == ["labels"]
    assert axes(labels.input[0]) == [1, 3, 32, 32]


@pytest.mark.slow
def test_lower_precisions_keep_the_names(tmp_path: Path) -> None:
    for precision in ("fp16", "int8"):
        export = Export("lvt_cls", (32, 32), precision=precision, outputs="logits")
        images = [photograph(1, 32, 32, seed=seed) for seed in range(2)]
        job = make_job(small_models()["lvt_cls"], export, RUNTIMES["onnx"], calibration=images)
        source, file = tmp_path / "float.onnx", tmp_path / f"{precision}.onnx"
        onnx_export.convert(job, source)
        onnx_export.quantize(job, source, file)
        graph = onnx.load(file).graph
        assert (graph.input[0].name, graph.output[0].name) == ("images", "logits")


def test_openvinos_file_has_the_names(tmp_path: Path) -> None:
    export = Export("lvt_cls", (32, 32), outputs="logits")
    export_model(small_models()["lvt_cls"], export, RUNTIMES["openvino"], tmp_path / "file")
    model = openvino_core().read_model(tmp_path / "file" / "model.xml")
    assert (model.input("images").get_names(), model.output("logits").get_names()) == ({"images"}, {"logits"})


def test_files_with_other_names_are_read_by_place(tmp_path: Path) -> None:
    export = Export("lvt", (32, 32))
    written(export, tmp_path / "file")
    images = photograph(1, 32, 32, seed=0)
    expected = load(tmp_path / "file", trust=True)(images)
    model = onnx.load(tmp_path / "file" / "model.onnx")
    names = {"images": "x", "map_0": "add_3045", "map_1": "z", "map_2": "b", "map_3": "a"}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names[value.name]
    onnx.save(model, tmp_path / "file" / "model.onnx")
    for ours, theirs in zip(
        load(renew_checksums(tmp_path / "file"), trust=True)(images), expected, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def opset_of(folder: Path) -> int:
    return onnx.load(folder / "model.onnx").opset_import[0].version


@pytest.mark.slow
def test_the_command_sets_batch_and_opset(tmp_path: Path) -> None:
    words = ["export", "lvt", "--to", "onnx", "--size", "32", "--output"]
    for opset in (18, 23):
        folder = tmp_path / str(opset)
        cli.main([*words, str(folder), "--opset", str(opset), "--batch", "dynamic"])
        assert opset_of(folder) == opset
    cli.main([*words, str(tmp_path / "three"), "--batch", "3"])
    assert opset_of(tmp_path / "three") == onnx_export.OPSET
    (first, *_) = SESSIONS["onnx"](tmp_path / "three" / "model.onnx")(photograph(3, 32, 32, seed=0))
    assert first.shape == (3, 64, 8, 8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "onnx", "--opset", "17"], "--opset 17: must be from 18 to 23"),
        (["--to", "openvino", "--opset", "20"], "--opset 20: does not apply to openvino, only to onnx"),
        (
            ["--to", "litert", "--batch", "dynamic"],
            "--batch dynamic: litert only supports one number of images",
        ),
        (
            ["--to", "onnx", "--size", "dynamic", "--batch", "2"],
            "--batch: does not apply with --size dynamic",
        ),
    ],
)
def test_options_that_cannot_act_are_rejected(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        cli.main(["export", "lvt", *words, "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
