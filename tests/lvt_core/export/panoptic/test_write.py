"""Exported panoptic networks: the same maps as mmdetection's, with numpy."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lvt_core import cli
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Job, Runtime
from lvt_core.export.forms.graph import Outputs
from lvt_core.export.gate.parity import run_model
from lvt_core.export.panoptic.gate import judge, predict_as_trained
from lvt_core.export.panoptic.labelled import PanopticImages, same_segments, score_maps, to_truth
from lvt_core.export.panoptic.write import export_panoptic, panoptic_delegates
from lvt_core.export.runtimes import pt2
from lvt_core.predict.open_panoptic import PanopticNetwork, open_panoptic
from lvt_core.predict.panoptic_parts import part_inputs, settings_of, split
from lvt_det.own_config import OwnData, Split, write_own_config
from lvt_predict.model import ExportedModel
from lvt_predict.panoptic import PARTS, PanopticModel, PanopticPipeline
from lvt_predict.sample import photograph
from tests.det_commands import TINY_MODEL, build, write_panoptic_data
from tests.small import CONVERTERS, attending, run_without

CLASSES = ("square", "box", "grass", "sky")
SIZE = (64, 96)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO's layout, a config and a checkpoint of a tiny network that finds things."""
    folder = tmp_path_factory.mktemp("panoptic")
    splits = []
    for split_name, count in (("train", 2), ("val", 3)):
        made = write_panoptic_data(folder / "raw", split_name, count, size=(60, 90))
        (folder / "annotations").mkdir(exist_ok=True)
        annotations = folder / "annotations" / f"panoptic_{split_name}2017"
        Path(made.annotations).rename(f"{annotations}.json")
        Path(made.maps).rename(annotations)
        Path(made.images).rename(folder / f"{split_name}2017")
        splits.append(Split(str(folder / f"{split_name}2017"), f"{annotations}.json", str(annotations)))
    own = OwnData(
        things=CLASSES[:2], stuff=CLASSES[2:], train=splits[0], val=splits[1], short_side=64, long_side=96,
        stuff_area_limit=80, epochs=1, batch_size=1, lr=1e-3, workers=0, pretrained=None,
    )  # fmt: skip
    write_own_config(folder / "own.py", own)
    tiny = TINY_MODEL.replace("drop_path_rate=0.0", "drop_path_rate=0.0, num_recursions=1")  # quicker
    (folder / "tiny.py").write_text(f'_base_ = "own.py"\n{tiny}')
    model = attending(build(folder / "tiny.py")[1])
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # outputs that differ
            if name.endswith("weight") and any(
                head in name for head in ("rpn_cls", "rpn_reg", "fc_cls", "fc_reg", "conv_logits")
            ):
                parameter.mul_(12)
    torch.save({"state_dict": model.state_dict()}, folder / "tiny.pth")
    return folder


@pytest.fixture(scope="module")
def network(root: Path) -> PanopticNetwork:
    return open_panoptic(root / "tiny.py", root / "tiny.pth")


@pytest.fixture(scope="module")
def data(root: Path, network: PanopticNetwork) -> PanopticImages:
    settings = settings_of(network, SIZE)
    return PanopticImages(
        root, SIZE, classes=network.classes, num_things=network.num_things, mean=settings["mean"],
        std=settings["std"], pad_value=settings["pad_value"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("padded", "extent", "size"),
    [((96, 128), (71, 99), (71, 99)), ((64, 96), (64, 96), (130, 41)), ((64, 64), (33, 64), (20, 39))],
)
def test_numpy_makes_mmdetections_maps(
    network: PanopticNetwork, padded: tuple[int, int], extent: tuple[int, int], size: tuple[int, int]
) -> None:
    settings = settings_of(network, padded)
    parts = {name: Outputs(part) for name, part in split(network.model).items()}
    pipeline = PanopticPipeline(
        settings, {name: lambda x, part=part: run_model(part, x) for name, part in parts.items()}
    )
    things = 0
    for seed in range(4):
        images = photograph(1, *padded, seed=seed)
        found = pipeline(images, extent=extent, size=size)
        expected = predict_as_trained(network, images, extent, size)
        assert found.ids.shape == expected.ids.shape == size
        assert [s.label for s in found.segments] == [s.label for s in expected.segments]
        assert (found.ids == expected.ids).mean() > 0.999
        assert all((s.score is not None and 0 < s.score < 1) == s.is_thing for s in found.segments)
        scores = [s.score for s in found.segments if s.score is not None]
        assert scores == sorted(scores, reverse=True)
        things += len(scores)
    assert things >= 4


def test_agreement_and_quality_of_maps(network: PanopticNetwork) -> None:
    images = photograph(1, *SIZE, seed=0)
    found = predict_as_trained(network, images, SIZE, SIZE)
    other = predict_as_trained(network, -images, SIZE, SIZE)
    assert same_segments(found, found) == 1 and score_maps([found], [to_truth(found)], 4) == 100
    assert same_segments(other, found) < 0.9 and score_maps([other], [to_truth(found)], 4) < 90


OPENING = """
import json
import numpy as np
from lvt_predict.panoptic import PanopticModel

model = PanopticModel(sys.argv[1], trust=True)
found = model(model.normalize(np.load(sys.argv[2])), extent=(60, 90))
np.save(sys.argv[3], found.ids)
print(json.dumps([[s.label, s.score] for s in found.segments]))
"""


@pytest.fixture(scope="module")
def exported(
    network: PanopticNetwork, data: PanopticImages, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "file"
    checked = export_panoptic(network, SIZE, RUNTIMES["onnx"], folder, data=data)
    assert checked.agreement > 99.9 and checked.images == 3
    assert checked.model == pytest.approx(checked.exported)
    return folder


def test_the_exported_folder_gives_the_same_map_to_a_stranger(
    network: PanopticNetwork, exported: Path, tmp_path: Path
) -> None:
    folder = exported
    assert {path.name for path in folder.iterdir()} == {"model.json", "trunk", "box_head", "mask_head"}
    model = PanopticModel(folder, trust=True)
    assert model.manifest["classes"] == list(CLASSES) and model.manifest["task"] == "panoptic"
    assert model.manifest["parity"]["images"] == 3 and len(model.manifest["palette"]) == 4
    noise = judge(network, model, None, [photograph(1, *SIZE, seed=seed) for seed in range(3)])
    assert (noise.metric, noise.model) == ("PQ against mmdetection's", 100)
    assert noise.exported > 99 and noise.agreement > 99.9
    pixels = np.random.default_rng(0).integers(0, 256, (1, 60, 90, 3), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    without = (*CONVERTERS, "mmdet", "mmcv", "mmengine", "PIL")
    printed = run_without(without, OPENING, folder, tmp_path / "pixels.npy", tmp_path / "ids.npy")
    expected = predict_as_trained(network, model.normalize(pixels), (60, 90), (60, 90))
    assert [label for label, _ in json.loads(printed)] == [s.label for s in expected.segments] != []
    assert (np.load(tmp_path / "ids.npy") == expected.ids).mean() > 0.999


def coarse(job: Job, file: Path) -> None:
    """Write a file whose weights are rounded to float16."""
    program = job.program
    for name, value in program.state_dict.items():
        program.state_dict[name] = torch.nn.Parameter(value.half().float(), requires_grad=False)
    pt2.convert(job, file)


def test_lower_precision_is_judged_by_quality(
    network: PanopticNetwork,
    data: PanopticImages,
    exported: Path,
    tmp_path: Path,
) -> None:
    seen: list[tuple[int, ...]] = []
    settings = settings_of(network, SIZE)

    def int8(job: Job, file: Path) -> None:
        seen.append((len(job.calibration), *job.calibration[0].shape))
        coarse(job, file)

    runtime = Runtime(
        "pt2", "model.pt2", ("torch",), coarse, dynamic=False, precisions=("fp32", "fp16", "int8")
    )
    folder = shutil.copytree(exported, tmp_path / "file")
    with pytest.raises(UserError, match="--precision fp16: requires --data FOLDER"):
        export_panoptic(network, SIZE, runtime, folder, precision="fp16")
    with pytest.raises(UserError, match="pt2, panoptic_mask_head: differs .* nothing is written"):
        export_panoptic(network, SIZE, runtime, folder)
    assert PanopticModel(folder, trust=True).manifest["runtime"] == "onnx"  # untouched
    runtime = replace(runtime, convert=int8)
    checked = export_panoptic(network, SIZE, runtime, folder, precision="int8", data=data)
    assert checked.metric == "PQ" and checked.agreement >= 99 and checked.images == 3
    assert PanopticModel(folder, trust=True).manifest["precision"] == "int8"  # in the place of the other
    assert [shape for _, *shape in reversed(seen)] == [
        list(shape) for shape in part_inputs(settings).values()
    ]
    assert all(count >= 2 for count, *_ in seen)  # two training images


def test_mistakes_are_told_in_a_sentence(
    network: PanopticNetwork, root: Path, exported: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported, tmp_path / "file")
    model = PanopticModel(folder, trust=True)
    with pytest.raises(UserError, match="images have width 64: this file supports 96"):
        model(photograph(1, 64, 64, seed=0))
    with pytest.raises(UserError, match=r"extent \(65, 96\): must not exceed the images"):
        model(photograph(1, *SIZE, seed=0), extent=(65, 96))
    with pytest.raises(
        UserError, match="images are 65 x 96: this network supports up to 64 x 96; resize them"
    ):
        model.normalize(np.zeros((1, 65, 96, 3), np.uint8))
    with pytest.raises(UserError, match="holds a panoptic network; open it with lvt_predict.panoptic"):
        ExportedModel(folder, trust=True)
    with pytest.raises(UserError, match="trunk: is not a panoptic export; open it with lvt_predict.model"):
        PanopticModel(folder / "trunk", trust=True)
    with pytest.raises(UserError, match="--size 65 96: must be multiples of 32"):
        export_panoptic(network, (65, 96), RUNTIMES["pt2"], tmp_path / "new")
    (folder / "trunk" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="already exists, and not only as an export"):
        export_panoptic(network, SIZE, RUNTIMES["pt2"], folder)
    assert (folder / "trunk" / "thesis.txt").read_text() == "mine"
    part = folder / "mask_head" / "model.onnx"
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(UserError, match="mask_head/model.onnx: not the file that was exported"):
        PanopticModel(folder, trust=True)
    part.unlink()
    with pytest.raises(UserError, match="cannot read .*mask_head/model.onnx: No such file"):
        PanopticModel(folder, trust=True)
    with pytest.raises(UserError, match="nowhere.py: no such config"):
        open_panoptic(tmp_path / "nowhere.py", root / "tiny.pth")
    options = {"classes": CLASSES, "num_things": 2, "mean": (0.5,) * 3, "std": (0.2,) * 3}
    with pytest.raises(UserError, match="cannot read .*panoptic_val2017.json: No such file"):
        PanopticImages(tmp_path, SIZE, **options)
    with pytest.raises(UserError, match="has no category 'tree'"):
        PanopticImages(root, SIZE, **{**options, "classes": (*CLASSES, "tree")})


def test_a_network_that_numpy_does_not_know_is_refused(root: Path) -> None:
    for option, value, message in (
        ("model.test_cfg.rcnn.nms.type", "soft_nms", "test_cfg.rcnn.nms: must be plain"),
        ("model.roi_head.bbox_head.reg_class_agnostic", True, "must have boxes of each class"),
        ("model.roi_head.mask_roi_extractor.finest_scale", 60, "must take the same maps"),
    ):
        model = build(root / "tiny.py", **{option: value})[1]
        with pytest.raises(UserError, match=message):
            settings_of(PanopticNetwork(model, CLASSES, 2), SIZE)
    with pytest.raises(UserError, match="names 1 things of 4 classes, its network has 2 of 4"):
        settings_of(PanopticNetwork(build(root / "tiny.py")[1], CLASSES, 1), SIZE)


def test_a_network_that_finds_nothing(network: PanopticNetwork, data: PanopticImages, tmp_path: Path) -> None:
    nothing = copy.deepcopy(network.model)
    nothing.roi_head.bbox_head.fc_cls.bias.data[-1] += 1e4  # all is background
    blind = replace(network, model=nothing)
    checked = export_panoptic(blind, SIZE, RUNTIMES["pt2"], tmp_path / "file")
    assert checked.agreement > 99.9
    model = PanopticModel(tmp_path / "file", trust=True)
    assert model.manifest["checked_by"] == "the runtime"
    assert not any(segment.is_thing for segment in model(photograph(1, *SIZE, seed=0)).segments)
    with pytest.raises(
        UserError, match=f"--data {data.root}: the network finds no thing in 2 training images"
    ):
        export_panoptic(blind, SIZE, RUNTIMES["onnx"], tmp_path / "int8", precision="int8", data=data)
    assert not (tmp_path / "int8").exists()


@pytest.mark.slow
def test_delegates_are_asked_part_by_part(
    network: PanopticNetwork, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    found = panoptic_delegates(network, SIZE, RUNTIMES["onnx"])
    assert list(found) == list(PARTS) and all(set(part) == {"NNAPI", "Core ML"} for part in found.values())
    assert found["trunk"]["NNAPI"].outside["LayerNormalization"] > 1
    assert not found["box_head"]["Core ML"].outside and found["box_head"]["Core ML"].partitions == 1
    with pytest.raises(UserError, match="--to pt2: has no delegates of accelerators"):
        panoptic_delegates(network, SIZE, RUNTIMES["pt2"])
    with pytest.raises(UserError, match="--size 64 65: must be multiples of 32"):
        panoptic_delegates(network, (64, 65), RUNTIMES["onnx"])
    with pytest.raises(UserError, match="--precision int8: requires --data FOLDER"):
        panoptic_delegates(network, SIZE, RUNTIMES["onnx"], precision="int8")
    words = ["delegates", str(root / "tiny.pth"), "--task", "panoptic", "--config", str(root / "tiny.py")]
    cli.main(
        [
            *words,
            "--to",
            "onnx",
            "--size",
            *map(str, SIZE),
            "--precision",
            "int8",
            "--data",
            str(root),
        ]
    )
    printed = capsys.readouterr().out
    assert "panoptic's mask_head for onnx, int8: NNAPI takes " in printed
    assert "panoptic's trunk for onnx, int8: Core ML takes " in printed
