"""Recipes by sensitivity: a layer that int8 ruins on purpose is found, and stays in float."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from lvt_core import cli, save_checkpoint
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, Job, Runtime, write as common
from lvt_core.export.gate.labelled import CALIBRATION_IMAGES, ClassifiedImages, LabelMaps
from lvt_core.export.gate.scores import MIN_AGREEMENT, Scores
from lvt_core.export.recipe.file import Recipe, read_recipe
from lvt_core.export.recipe.search import MIN_INT8, fewest_floats, noise_to_signal, parts, search_recipe
from lvt_core.export.runtimes import onnx as onnx_export, pt2
from lvt_predict.model import load
from tests.small import write_pictures

SIZE, CLASSES, TRAIN, VAL = 32, ("bright", "dark"), 80, 10
EXPORT = Export("lvt_cls", (SIZE, SIZE), precision="int8", mean=(0.5,) * 3, std=(0.25,) * 3)


class Net(nn.Module):
    """Four layers that tell bright images from dark ones; each one's output is all that the next one sees.

    Args:
        ruined: Stage with two large weights per row that cancel each other.
    """

    def __init__(self, ruined: int | None) -> None:
        super().__init__()
        self.patch_embed = nn.Linear(48, 8)
        self.stages = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.head = nn.Linear(8, 2)
        with torch.no_grad():
            for layer in (self.patch_embed, *self.stages):
                layer.weight.copy_(torch.rand(layer.weight.shape) / layer.in_features)
                layer.bias.zero_()
                layer.weight[1] = layer.weight[0]  # the next layer's first two weights meet these
            self.head.weight.copy_(torch.tensor([[1.0], [-1.0]]).expand(2, 8))
            self.head.bias.zero_()
            if ruined is not None:
                self.stages[ruined].weight[:, 0] = 100
                self.stages[ruined].weight[:, 1] = -100

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.avg_pool2d(x, 8).flatten(1)
        for layer in (self.patch_embed, *self.stages):
            x = layer(x).tanh()  # OpenVINO errs in bare chains of int8 layers, with one thread
        return self.head(x)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": TRAIN, "val": VAL}
    return write_pictures(tmp_path_factory.mktemp("pictures"), EXPORT.size, counts)


@pytest.fixture
def data(pictures: Path) -> ClassifiedImages:
    return ClassifiedImages(
        pictures, EXPORT.size, num_classes=2, crop_pct=1.0, mean=EXPORT.mean, std=EXPORT.std
    )


def _round_weights(job: Job, file: Path) -> None:
    """Convert for a runtime that only rounds weights and writes all at once."""
    program = copy.deepcopy(job.program)
    for name, weight in program.state_dict.items():
        if weight.ndim > 1 and not job.recipe.keeps(name.removeprefix("model.").rpartition(".")[0]):
            step = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-9) / 127
            weight.copy_((weight / step).round() * step)
    pt2.convert(replace(job, program=program), file)


ROUNDING = Runtime(
    "pt2", "model.pt2", ("torch",), _round_weights, False, ("fp32", "int8"), activations=("float",)
)


def test_a_runtime_that_writes_all_at_once(data: ClassifiedImages) -> None:
    model = Net(ruined=2)
    found = search_recipe(model, EXPORT, ROUNDING, data, report=lambda line: None)
    assert found.recipe == Recipe("float", ("stages.2",))
    ranking = found.record["decibels"]
    assert set(ranking) == {"patch_embed", "stages.0", "stages.1", "stages.2", "head"}
    assert ranking["stages.2"] < 10 < 30 < min(value for name, value in ranking.items() if name != "stages.2")
    assert found.record["scores"]["agreement"] == 100
    assert found.record["weights in int8"] == pytest.approx(1 - 64 / (48 * 8 + 3 * 64 + 16), abs=1e-4)
    sound = search_recipe(Net(ruined=None), EXPORT, ROUNDING, data, report=lambda line: None)
    assert sound.recipe == Recipe("float")


@pytest.mark.parametrize("runtime", ["onnx", "openvino", "litert"])
def test_runtimes_find_what_int8_ruins(runtime: str, data: ClassifiedImages) -> None:
    for package in RUNTIMES[runtime].packages:
        pytest.importorskip(package.replace("-", "_"))
    converted = []

    def convert(job: Job, file: Path) -> None:
        converted.append(file)
        RUNTIMES[runtime].convert(job, file)

    lines: list[str] = []
    found = search_recipe(
        Net(ruined=1),
        EXPORT,
        replace(RUNTIMES[runtime], convert=convert),
        data,
        activations=("static",),
        report=lines.append,
    )
    assert found.recipe == Recipe("static", ("stages.1",))
    assert next(iter(found.record["decibels"])) == "stages.1"
    assert len(converted) == 1, "the float32 file is made once"
    assert lines[0].startswith("static: stages.1 ") and "0 of 5 parts in float: top-1" in lines[1]


@pytest.mark.slow
def test_the_command_writes_a_recipe_that_an_export_uses(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    torch.manual_seed(0)
    kwargs = {"embed_dims": (8, 8, 16, 16), "num_heads": (2, 2, 2, 2), "depths": (1, 1, 1, 1)}
    save_checkpoint(
        timm.create_model("lvt_cls", num_classes=2, **kwargs), tmp_path / "a.pth", classes=CLASSES
    )
    fields = [f"{key}={kwargs[key]}".replace(" ", "") for key in ("embed_dims", "num_heads")]
    words = [str(tmp_path / "a.pth"), "--to", "onnx", "--size", str(SIZE), "--model-kwargs", *fields]
    words += ["--data", str(pictures), "--crop-pct", "1.0"]
    file, out = tmp_path / "recipes" / "found.json", tmp_path / "out"
    cli.main(["recipe", *words, "--output", str(file), "--activations", "dynamic"])
    assert "found.json: activations dynamic, " in capsys.readouterr().out
    recipe = read_recipe(file)
    assert recipe.activations == "dynamic"
    written = json.loads(file.read_text())["found"]
    assert written["runtime"] == "onnx" and written["judged on"].startswith("32 training images")
    cli.main(["export", *words, "--precision", "int8", "--recipe", str(file), "--output", str(out)])
    assert load(out).manifest["parity"]["images"] == 2 * VAL
    with pytest.raises(UserError, match="--activations float: onnx only supports static, dyn"):
        cli.main(["recipe", *words, "--output", str(file), "--activations", "float"])


def test_no_recipe_is_better_than_one_with_too_many_floats(data: ClassifiedImages) -> None:
    with pytest.raises(
        UserError, match="no recipe for pt2 with at least 100% .* loses less .*: float: top-1"
    ):
        search_recipe(Net(ruined=0), EXPORT, ROUNDING, data, min_int8=1.0, report=lambda line: None)


class Layers(nn.Module):
    """A product with more weights than PyTorch's exporter turns, and one with a bias on tokens only."""

    def __init__(self) -> None:
        super().__init__()
        self.large = nn.Linear(128, 128, bias=False)
        self.head = nn.Linear(128, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.large(x).mean(dim=(1, 2)))


@pytest.mark.parametrize("activations", ["dynamic", "static"])
def test_onnx_rounds_all_but_what_it_is_told_to_keep(activations: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    export = Export("layers", (32, 128), precision="int8", channels=16)
    model = Layers()
    x = np.random.default_rng(0).standard_normal((1, 16, 32, 128), dtype=np.float32)
    job = Job(common.make_program(model, export), export, [x])
    RUNTIMES["onnx"].convert(job, tmp_path / "float.onnx")
    errors = []
    for floats, count in (((), 2), (("large",), 1), (("head",), 1), (("large", "head"), 0)):
        folder = tmp_path / "-".join(("int8", *floats))
        folder.mkdir()
        part = replace(job, recipe=Recipe(activations, floats))
        onnx_export.quantize(part, tmp_path / "float.onnx", folder / "model.onnx")
        weights = onnx.load(folder / "model.onnx").graph.initializer
        assert (
            sum(value.data_type == onnx.TensorProto.INT8 and len(value.dims) == 2 for value in weights)
            == count
        )
        common.write_model_manifest(folder, export, RUNTIMES["onnx"], None)
        expected = model(torch.from_numpy(x)).detach().numpy()
        errors.append(float(np.abs(load(folder, trust=True)(x)[0] - expected).max()))
    assert errors[3] < 1e-6 < min(errors[:3]) and max(errors) < 0.05


def test_other_training_images_judge(data: ClassifiedImages, pictures: Path, tmp_path: Path) -> None:
    calibrating = {image.tobytes() for image in data.calibration()}
    judging = {image.tobytes() for image, _ in data.held_out(1000)}
    assert len(calibrating) == CALIBRATION_IMAGES and len(judging) == 2 * TRAIN - CALIBRATION_IMAGES
    assert not calibrating & judging
    assert not {image.tobytes() for image, _ in data} & (judging | calibrating)
    assert len(list(data.held_out(5))) == 5 and {label for _, label in data.held_out(5)} == {0, 1}
    for kind in ("images", "annotations"):
        for split in ("training", "validation"):
            (tmp_path / kind / split).mkdir(parents=True)
            for i in range(130 if split == "training" else 1):
                Image.fromarray(np.full((32, 32), i, np.uint8)).save(tmp_path / kind / split / f"{i:03}.png")
    maps = LabelMaps(tmp_path, EXPORT.size, num_classes=150, mean=EXPORT.mean, std=EXPORT.std)
    chosen = [truth[0, 0] for _, truth in maps.held_out(10)]
    assert len(chosen) == 2
    for _, truth in zip(chosen, maps.calibration(), strict=False):
        assert not any(np.isclose(truth[0, 0, 0, 0], ((label + 1) / 255 - 0.5) / 0.25) for label in chosen)
    few = tmp_path / "images" / "training"
    for path in sorted(few.iterdir())[2:]:
        path.unlink()
    with pytest.raises(UserError, match="all of its 2 training images calibrate"):
        maps.held_out(10)


def test_bisection_finds_the_fewest() -> None:
    """Check the search on eight parts with equal weights, of which at most four may be in float."""
    program = common.make_program(nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(8)]), EXPORT)
    job = Job(program, EXPORT)
    names = [f"{i}" for i in range(8)]
    assert list(parts(job)) == names and MIN_INT8 == 0.5

    class Trial:
        job: Job

        def open(self, recipe: Recipe, calibration: object) -> int:
            return len(recipe.floats)

    trial = Trial()
    trial.job = job
    for needed in range(7):
        tried: list[int] = []

        def judge(count: int, needed: int = needed, tried: list[int] = tried) -> Scores:
            tried.append(count)
            return Scores("top-1", 90.0, 90.0, 100.0 if count >= needed else MIN_AGREEMENT, 1)

        floats, scores = fewest_floats(
            trial, judge, "static", names, min_int8=MIN_INT8, report=lambda line: None
        )
        assert scores.is_good() and scores.is_good(0.5) == (needed <= 4)
        assert floats == names[: min(needed, 4)] and len(tried) <= 4


def test_the_worst_output_counts() -> None:
    ours = [[np.ones(4, np.float32), np.full(4, 10.0, np.float32)]] * 2
    theirs = [[one[0] + 0.1, one[1] + 2.0] for one in ours]
    assert noise_to_signal(theirs, ours) == pytest.approx(0.04)
