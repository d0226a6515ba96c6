"""Core ML: one small network is converted, run from its package, quantised, opened by a stranger, and broken.

The interpreter's operators are compared with PyTorch's, one by one.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import ExportedProgram

from lvt_core import LVT, LVTConfig
from lvt_core import predict_coreml_operators as ops
from lvt_core import predict_coreml_windows as windows
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, common, export_model
from lvt_core.export.common import make_program
from lvt_core.export.gate import photograph, run_model
from lvt_core.export.graph import Outputs
from lvt_core.export.job import require_activations
from lvt_core.export.recipe import Recipe, read_recipe
from lvt_core.predict import SESSIONS, ExportedModel, load
from lvt_core.predict_coreml import Operation, Program, Value, read_content, read_program
from tests.lvt_core.test_export import check_as_a_stranger

pytest.importorskip("coremltools")
from lvt_core.export import coreml

SIZE = (40, 71)  # maps of 10 x 18, whose windows fit, and 5 x 9
SMALL = {
    "embed_dims": (16, 16, 32, 32),
    "num_heads": (2, 2, 2, 2),
    "depths": (1, 1, 1, 1),
    "mlp_ratios": (2, 2, 2, 2),
    "atrous_rates": (3,),
    "num_recursions": 1,
}
FLOAT = Recipe("float")
PROGRAM = "model.mlpackage/Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin"


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    model = LVT(LVTConfig(**SMALL)).eval()
    model.stages = model.stages[:2]  # one with CSA, one with RASA
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
    folder = tmp_path_factory.mktemp("coreml") / "file"
    parity = export_model(model, Export("lvt", SIZE), "coreml", RUNTIMES["coreml"], folder)
    assert parity.worst < 1e-5
    return folder


@pytest.fixture(scope="module")
def half(program: ExportedProgram) -> object:
    """The network as coremltools' model in float16."""
    return coreml.converted(program, half=True)


def _int8(half: object, program: ExportedProgram, folder: Path, *floats: str) -> Path:
    """A package with weights in int8, but for some modules."""
    file = folder / f"int8-{len(floats)}.mlpackage"
    coreml.save(coreml.quantized(half, program, Recipe("float", floats)), file)
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


def _error(model: nn.Module, file: Path) -> float:
    """Largest difference of a package's maps from the model's, as a part of the largest value."""
    images = photograph(1, *SIZE, seed=9)
    pairs = zip(run_model(Outputs(model), images), SESSIONS["coreml"](file)(images), strict=True)
    return max(float(np.abs(ours - theirs).max() / np.abs(ours).max()) for ours, theirs in pairs)


def test_a_stranger_opens_it(model: nn.Module, exported: Path) -> None:
    images = photograph(1, *SIZE, seed=3)
    expected, found = run_model(Outputs(model), images), load(exported)(images)
    assert [value.shape[-1] for value in found] == [18, 9]  # in order
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-4)
    check_as_a_stranger(exported, images, found[0])


def test_the_manifest_has_every_file_and_says_what_checked_it(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "file"
    shutil.copytree(exported / "model.mlpackage", folder / "model.mlpackage")
    shutil.copy(exported / "model.json", folder)
    manifest = load(folder).manifest
    assert set(manifest["sha256"]) == {PROGRAM, WEIGHTS, "model.mlpackage/Manifest.json"}
    assert manifest["checked_by"] == coreml.CHECKED_BY
    assert sys.platform == "darwin" or "not a device" in coreml.CHECKED_BY
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (exported / "model.mlpackage").rglob("*"))
    common.require_replaceable(folder)
    (folder / "model.mlpackage" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already and is no export alone"):
        common.require_replaceable(folder)


def test_no_value_has_more_than_four_dimensions(exported: Path) -> None:
    run = read_program(exported / "model.mlpackage")
    assert max(len(value.shape) for each in run.operations for value in each.outputs) == 4


def test_float16_halves_the_weights(model: nn.Module, half: object, exported: Path, tmp_path: Path) -> None:
    file = tmp_path / "half.mlpackage"
    coreml.save(half, file)
    assert _bytes(file) < 0.6 * _bytes(exported / "model.mlpackage")
    assert 1e-5 < _error(model, file) < 5e-3
    operations = read_program(file).operations
    full = [each for each in operations for value in each.outputs if value.dtype is not np.float16]
    assert [each.type for each in full] == ["cast"] * 2  # the two maps, which stay float32


def test_int8_is_near_and_keeps_floats(
    model: nn.Module, program: ExportedProgram, half: object, tmp_path: Path
) -> None:
    file = _int8(half, program, tmp_path)
    assert 1e-3 < _error(model, file) < 0.1
    count = _operators(file)["constexpr_affine_dequantize"]
    assert count == _layers(program)
    # CSA's attention has 11 products; RASA's `sr` becomes one of patches.
    floats = ("stages.0.blocks.0.attn", "stages.1.blocks.0.attn.rasa.proj", "stages.1.blocks.0.attn.rasa.sr")
    kept = _operators(_int8(half, program, tmp_path, *floats))["constexpr_affine_dequantize"]
    assert count - kept == 13


def test_activations_are_float() -> None:
    with pytest.raises(UserError, match="recipe: activations 'static': coreml has float"):
        require_activations(Recipe("static"), "coreml", RUNTIMES["coreml"])


class Heads(nn.Module):
    """What the networks with heads have beside the classifier's operators."""

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
    parity = export_model(Heads(), Export("heads", (45, 71)), "coreml", RUNTIMES["coreml"], folder)
    assert parity.worst < 1e-5
    types = _operators(folder / "model.mlpackage")
    for name in ("conv_transpose", "max_pool", "upsample_bilinear", "upsample_nearest_neighbor"):
        assert types[name] == 1


@pytest.mark.parametrize("model_name", ["lvt_cls", "segformer"])
def test_recipes_are_there(model_name: str) -> None:
    assert read_recipe(model_name, "coreml") == FLOAT


def test_a_broken_file_is_told_in_a_sentence(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "file"
    shutil.copytree(exported, folder)
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(UserError, match="weight.bin: not the file that was exported"):
        ExportedModel(folder)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["sha256"] = {}
    (folder / "model.json").write_text(json.dumps(manifest))
    weights, content = (folder / WEIGHTS).read_bytes(), (folder / PROGRAM).read_bytes()
    for broken in (weights[:1000], bytes(len(weights)), b""):
        (folder / WEIGHTS).write_bytes(broken)
        with pytest.raises(UserError, match="weight.bin: has no weight of .* bytes at .*: it is broken"):
            ExportedModel(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(UserError, match="cannot read .*weight.bin: No such file"):
        ExportedModel(folder)
    for broken, message in (
        (content[:1000], "model.mlpackage: coreml refuses it: .*Error parsing message"),
        (b"", "model.mlmodel: has no program"),
        (content.replace(b"softmax", b"softmin"), "operator 'softmin': the interpreter has none"),
    ):
        (folder / PROGRAM).write_bytes(broken)
        (folder / WEIGHTS).write_bytes((exported / WEIGHTS).read_bytes())
        with pytest.raises(UserError, match=message):
            ExportedModel(folder)
    (folder / "model.mlpackage" / "Manifest.json").unlink()
    with pytest.raises(UserError, match="cannot read .*Manifest.json"):
        ExportedModel(folder)


def test_a_shape_that_the_program_does_not_say_is_told() -> None:
    operations = [Operation("relu", {"x": ["x"]}, [Value("y", (1, 2), np.float32)])]
    program = Program(Path("a.mlpackage"), "x", ["y"], {}, operations)
    with pytest.raises(UserError, match=r"a.mlpackage: relu 'y' gives \(1, 3\), the program says \(1, 2\)"):
        program(np.ones((1, 3), np.float32))


def test_values_are_stored_as_declared_and_forgotten() -> None:
    half, full = (Value(name, (3,), kind) for name, kind in (("y", np.float16), ("z", np.float32)))
    operations = [
        Operation("cast", {"x": ["x"], "dtype": ["fp16"]}, [half]),
        Operation("add", {"x": ["y"], "y": ["y"]}, [full]),
    ]
    program = Program(Path("a"), "x", ["z"], {"fp16": "fp16"}, operations)
    assert [each.unused for each in program.operations] == [["x"], ["y"]]
    (found,) = program(np.array([1 / 3, 1e6, 1e-9], np.float32))
    assert found.tolist() == [2 * float(np.float16(1 / 3)), np.inf, 0]


def test_on_apples_systems_core_ml_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class MLModel:
        def __init__(self, file: str) -> None:
            self.file = file

        def get_spec(self) -> SimpleNamespace:
            names = [SimpleNamespace(name=name) for name in ("output_0", "output_1")]
            inputs = [SimpleNamespace(name="x")]
            return SimpleNamespace(description=SimpleNamespace(input=inputs, output=names))

        def predict(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"output_1": values["x"] + 1, "output_0": values["x"]}

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("coremltools.models.MLModel", MLModel)
    zero, one = SESSIONS["coreml"](Path("model.mlpackage"))(np.zeros(2, np.float32))
    assert zero.tolist() == [0, 0] and one.tolist() == [1, 1]


def _same(found: np.ndarray, expected: Tensor) -> None:
    assert found.shape == tuple(expected.shape)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("groups", "stride", "dilation", "kernel"),
    [(1, 1, 1, (3, 3)), (1, 4, 1, (7, 7)), (3, 2, 1, (3, 2)), (6, 1, 2, (3, 3)), (2, (2, 1), (1, 3), (1, 3))],
)
def test_convolutions(
    groups: int, stride: int | tuple[int, int], dilation: int | tuple[int, int], kernel: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 6, 11, 13), torch.randn(12, 6 // groups, *kernel), torch.randn(12)
    strides, dilations = (np.broadcast_to(value, 2).tolist() for value in (stride, dilation))
    expected = F.conv2d(x, weight, bias, stride, (1, 2), dilation, groups)
    options = {"strides": strides, "dilations": dilations, "groups": groups}
    found = windows.conv(
        x.numpy(), weight.numpy(), pad_type="custom", pad=[1, 1, 2, 2], bias=bias.numpy(), **options
    )
    _same(found, expected)
    found = windows.conv(x.numpy(), weight.numpy(), **options)
    _same(found, F.conv2d(x, weight, None, stride, 0, dilation, groups))


@pytest.mark.parametrize("kernel", [(3, 3), (2, 4)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_convolutions_that_keep_the_size(kernel: tuple[int, int], dilation: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 2, 9, 10), torch.randn(3, 2, *kernel)
    options = {"dilations": (dilation, dilation)}
    found = windows.conv(x.numpy(), weight.numpy(), pad_type="same", **options)
    _same(found, F.conv2d(x, weight, padding="same", dilation=dilation))
    # The other one pads a mirrored map as this one does the map.
    found = windows.conv(x.flip(2, 3).numpy(), weight.flip(2, 3).numpy(), pad_type="same_lower", **options)
    _same(found, F.conv2d(x, weight, padding="same", dilation=dilation).flip(2, 3))


@pytest.mark.parametrize("pad_type", ["same", "same_lower"])
def test_strides_keep_a_part_of_the_size(pad_type: str) -> None:
    x = np.ones((1, 1, 9, 10), np.float32)
    found = windows.conv(x, np.ones((1, 1, 3, 3), np.float32), strides=(2, 2), pad_type=pad_type)
    first = 6.0 if pad_type == "same" else 4.0  # rows need one at both ends, columns one alone
    assert found.shape == (1, 1, 5, 5) and found[0, 0, 0, 0] == first and found[0, 0, 1, 1] == 9


@pytest.mark.parametrize(("groups", "stride", "padding", "more"), [(1, 2, 0, 0), (2, 3, 1, 2), (1, 1, 2, 0)])
def test_transposed_convolutions(groups: int, stride: int, padding: int, more: int) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 4, 5, 6), torch.randn(4, 3, 4, 3), torch.randn(3 * groups)
    for dilation in (1, 2):
        expected = F.conv_transpose2d(x, weight, bias, stride, padding, more, groups, dilation)
        found = windows.conv_transpose(
            x.numpy(), weight.numpy(), strides=(stride, stride), pad_type="custom", pad=[padding] * 4,
            dilations=(dilation, dilation), groups=groups, bias=bias.numpy(),
            output_shape=expected.shape if more else None,
        )  # fmt: skip
        _same(found, expected)


@pytest.mark.parametrize("padding", [(0, 0), (1, 0), (1, 1)])
def test_pools(padding: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 9, 12)
    pad = [padding[0], padding[0], padding[1], padding[1]]
    options = {"kernel_sizes": (3, 2), "strides": (2, 3), "pad_type": "custom", "pad": pad}
    for exclude in (True, False):
        expected = F.avg_pool2d(x, (3, 2), (2, 3), padding, count_include_pad=not exclude)
        _same(windows.avg_pool(x.numpy(), **options, exclude_padding_from_average=exclude), expected)
    _same(windows.max_pool(x.numpy(), **options), F.max_pool2d(x, (3, 2), (2, 3), padding))
    for pool in (windows.avg_pool, windows.max_pool):
        with pytest.raises(UserError, match="pool with ceil_mode True: the interpreter has False alone"):
            pool(x.numpy(), **options, ceil_mode=True)


def test_slices() -> None:
    x = np.arange(4 * 5 * 6).reshape(4, 5, 6)

    def cut(begin: list[int], end: list[int], **options: list[int]) -> np.ndarray:
        arrays = {key: np.array(value) for key, value in options.items()}
        return ops.slice_by_index(x, np.array(begin), np.array(end), **arrays)

    np.testing.assert_array_equal(cut([1, 0, 2], [3, 5, 6]), x[1:3, :, 2:])
    np.testing.assert_array_equal(cut([0, 1, 5], [4, -1, 0], stride=[2, 3, -2]), x[::2, 1:-1:3, 5:0:-2])
    masks = {"begin_mask": [True, False, False], "end_mask": [False, True, False]}
    np.testing.assert_array_equal(cut([3, 2, 1], [2, 3, 9], **masks), x[:2, 2:, 1:])
    squeezed = cut([1, -2, 0], [0, 0, 3], squeeze_mask=[True, True, False])
    np.testing.assert_array_equal(squeezed, x[1, -2, :3])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concatenation_takes_turns(axis: int) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    np.testing.assert_array_equal(ops.concat([x, y], axis), np.concatenate((x, y), axis))
    found = np.moveaxis(ops.concat([x, y], axis, interleave=True), axis, 0)
    np.testing.assert_array_equal(found[::2], np.moveaxis(x, axis, 0))
    np.testing.assert_array_equal(found[1::2], np.moveaxis(y, axis, 0))
    for options in ({"num_splits": np.array(2)}, {"split_sizes": np.array([x.shape[axis], y.shape[axis]])}):
        parts = ops.split(np.concatenate((x, y), axis), axis, **options)
        np.testing.assert_array_equal(parts, [x, y])


def test_products() -> None:
    torch.manual_seed(0)
    x, y, bias = torch.randn(2, 3, 4), torch.randn(2, 4, 5), torch.randn(5)
    _same(ops.matmul(x.numpy(), y.numpy()), x @ y)
    _same(ops.matmul(x.mT.numpy(), y.mT.numpy(), transpose_x=True, transpose_y=True), x @ y)
    _same(ops.linear(x.numpy(), y[0].T.numpy(), bias.numpy()), F.linear(x, y[0].T, bias))
    _same(ops.linear(x.numpy(), y[0].T.numpy()), F.linear(x, y[0].T))


def test_activations_and_norms() -> None:
    torch.manual_seed(0)
    x, weight, bias = 4 * torch.randn(2, 5, 6, 8), torch.randn(6, 8), torch.randn(6, 8)
    _same(ops.gelu(x.numpy()), F.gelu(x))
    _same(ops.silu(x.numpy()), F.silu(x))
    _same(ops.softmax(30 * x.numpy(), np.array(1)), F.softmax(30 * x, dim=1))
    axes, epsilon = np.array([2, 3]), np.float32(1e-5)
    _same(
        ops.layer_norm(x.numpy(), axes, epsilon, weight.numpy(), bias.numpy()),
        F.layer_norm(x, (6, 8), weight, bias, 1e-5),
    )
    _same(ops.layer_norm(x.numpy(), axes, epsilon), F.layer_norm(x, (6, 8), eps=1e-5))
    _same(ops.reduce_mean(x.numpy(), axes, keep_dims=True), x.mean((2, 3), keepdim=True))
    _same(ops.reduce_max(x.numpy(), axes, keep_dims=False), x.amax((2, 3)))
    with pytest.raises(UserError, match="gelu with mode 'TANH_APPROXIMATION': the interpreter has 'EXACT'"):
        ops.gelu(x.numpy(), mode="TANH_APPROXIMATION")


@pytest.mark.parametrize("size", [(10, 18), (7, 23), (5, 9)])
def test_maps_grow_as_in_pytorch(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 9)
    scales = [(new + 1e-4) / old for new, old in zip(size, x.shape[2:], strict=True)]
    found = ops.upsample_bilinear(x.numpy(), *scales, align_corners=False)
    _same(found, F.interpolate(x, size, mode="bilinear", align_corners=False))
    found = ops.upsample_nearest_neighbor(x.numpy(), *scales)
    _same(found, F.interpolate(x, size, mode="nearest"))


def test_padding_and_weights_of_eight_bits() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4)
    found = ops.pad(x.numpy(), np.array([1, 0, 2, 3]), constant_val=np.float32(7))
    _same(found, F.pad(x, (2, 3, 1, 0), value=7))
    with pytest.raises(UserError, match="pad with mode 'reflect': the interpreter has 'constant' alone"):
        ops.pad(x.numpy(), np.array([1, 0, 2, 3]), mode="reflect")
    data, zero = np.array([[-128, 5], [7, 127]], np.int8), np.array([1, -2], np.int8)
    scale = np.array([0.5, 2], np.float32)
    rows = ops.affine_dequantize(data, zero, scale, np.array(0))
    assert rows.tolist() == [[-64.5, 2], [18, 258]]
    columns = ops.affine_dequantize(data, zero, scale, np.array(1))
    assert columns.tolist() == [[-64.5, 14], [3, 258]]
    one = ops.affine_dequantize(data, np.int8(0)[()], np.float32(2), np.array(0))
    assert one.tolist() == [[-256, 10], [14, 254]]
