"""``lvt export``: what its options do and reject."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lvt_core import cli, save_checkpoint
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, command
from lvt_core.export.gate.parity import check_runs
from lvt_core.export.options import size_of
from lvt_core.predict.open_model import open_model
from lvt_predict.manifest import PACKAGES
from lvt_predict.model import installed_version
from lvt_predict.runtimes import SESSIONS
from lvt_predict.sample import check_sample
from tests.small import SMALL, small_models

KWARGS = ["--model-kwargs", *(f"{key}={SMALL[key]}".replace(" ", "") for key in ("embed_dims", "num_heads"))]
INT8 = ["--precision", "int8"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lvt", "--recipe", "a.json"], "--recipe a.json: only applies with --precision int8"),
        (["lvt_cls", "--before", "a.pth"], "--before a.pth: only applies with --precision int8"),
        (["lvt", "--limit", "3"], "--limit 3: only applies with --data FOLDER"),
        (["lvt", "--data", ".", "--limit", "0"], "--limit: 0: must be an integer, at least 1"),
        (["lvt", "--data", ".", "--limit", "abc"], "--limit: abc: must be an integer, at least 1"),
        *(
            (["lvt_cls", f"--crop-pct={part}"], rf"--crop-pct: {part}: must be a number in \(0, 1\]")
            for part in ("0", "-1", "3", "nan", "inf", "all")
        ),
        (["lvt", "--size", "²"], "--size ²: must be a side, height and width, or 'dynamic'"),
        (["lvt", "--size"], "--size: expected at least one argument"),
        (["lvt", "--model-kwargs", "num_heads"], "--model-kwargs: num_heads: must be KEY=VALUE"),
        (
            ["lvt", "--model-kwargs", "pretrained=True"],
            "--model-kwargs pretrained: lvt supports in_chans, num_",
        ),
        (["lvt", "--model-kwargs", "embed_dim=8"], "--model-kwargs embed_dim: lvt supports in_chans, num_"),
        (["segformer", "--model-kwargs", "embed_dim=-3"], "--model-kwargs: embed_dim=-3: must be an integer"),
        (["segformer", "--model-kwargs", "embed_dim=x"], "--model-kwargs: embed_dim='x': must be an integer"),
        (
            ["segformer", "--model-kwargs", "in_chans=1", "--data", "."],
            "--data .: its images have 3 channels, the network's input has 1",
        ),
        (["lvt", "--use-ema"], "--use-ema: lvt is not a checkpoint"),
        (["lvt", "--no-use-ema"], "--use-ema: lvt is not a checkpoint"),
        (
            ["a.pth", "--task", "panoptic", "--config", "a.py", "--no-use-ema"],
            "--use-ema: does not apply to a panoptic",
        ),
        (
            ["segformer", "--data", ".", "--crop-pct", "1"],
            "--crop-pct 1.0: only applies to a classifier; this is segformer",
        ),
        (["lvt", *INT8], "lvt: has no task to judge it by; export it in fp32"),
        (["lvt", "--labels"], "--labels: only applies to a SegFormer; this is lvt"),
        (["a.pth", "--task", "panoptic"], "--task panoptic and --config FILE: pass both or neither"),
        (
            ["a.pth", "--task", "panoptic", "--config", "a.py", "--use-ema"],
            "--use-ema: does not apply to a panoptic",
        ),
        (
            ["a.pth", "--task", "panoptic", "--config", "a.py", "--crop-pct", "1"],
            "--crop-pct: does not apply to a pan",
        ),
        (
            ["a.pth", "--task", "panoptic", "--config", "a.py", "--labels"],
            "--labels: does not apply to a panoptic",
        ),
    ],
)
def test_rejects_options_that_cannot_act(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cli.main(["export", *words, "--to", "onnx"])


def test_reads_sizes() -> None:
    assert size_of(None) == (None, False)
    assert size_of(["dynamic"]) == (None, True)
    assert size_of(["64"]) == ((64, 64), False)
    assert size_of(["64", "96"]) == ((64, 96), False)


@pytest.mark.parametrize(("name", "side"), [("segformer", 512), ("lvt_cls", 224), ("lvt", 224)])
def test_the_default_size_is_the_tasks(name: str, side: int, tmp_path: Path) -> None:
    kwargs = [*KWARGS, "depths=(1,1,1,1)", *(["num_classes=5"] if name != "lvt" else [])]
    cli.main(["export", name, "--to", "pt2", "--output", str(tmp_path / "a"), *kwargs])
    assert json.loads((tmp_path / "a" / "model.json").read_text())["input"][2:] == [side, side]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "runtime"), [("32", "pt2"), ("dynamic", "onnx")])
def test_images_of_other_channels(size: str, runtime: str, tmp_path: Path) -> None:
    words = ["export", "lvt", "--to", runtime, "--size", size, "--output", str(tmp_path / "a")]
    cli.main([*words, *KWARGS, "depths=(1,1,1,1)", "in_chans=1"])
    manifest = json.loads((tmp_path / "a" / "model.json").read_text())
    assert manifest["input"][1] == 1 and (manifest["mean"], manifest["std"]) == ([0.0], [1.0])
    assert manifest["preprocessing"]["colours"] is None


def test_the_part_that_a_crop_keeps_is_for_users_too(tmp_path: Path) -> None:
    save_checkpoint(small_models()["lvt_cls"], tmp_path / "a.pth")
    words = ["export", str(tmp_path / "a.pth"), "--to", "pt2", "--size", "32", *KWARGS]
    for given, expected in (([], command.CROP_PCT), (["--crop-pct", "0.5"], 0.5)):
        folder = tmp_path / f"{expected}"
        cli.main([*words, *given, "--output", str(folder)])
        manifest = json.loads((folder / "model.json").read_text())
        assert manifest["preprocessing"]["crop_pct"] == expected


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_the_crop_is_exported(mode: str, tmp_path: Path) -> None:
    save_checkpoint(small_models()["lvt_cls"], tmp_path / "a.pth", data_config={"crop_mode": mode})
    words = ["export", str(tmp_path / "a.pth"), "--to", "pt2", "--size", "32", *KWARGS]
    cli.main([*words, "--output", str(tmp_path / "b")])
    stored = json.loads((tmp_path / "b" / "model.json").read_text())["preprocessing"]["crop_mode"]
    assert stored == mode


def test_checkpoints_that_mean_something_else(tmp_path: Path) -> None:
    model, kwargs = small_models()["lvt"], {key: SMALL[key] for key in ("embed_dims", "num_heads")}
    weights = {f"backbone.{key}": value for key, value in model.state_dict().items()}
    file = str(tmp_path / "a.pth")
    for meta in (5, None, {"dataset_meta": None}, {"dataset_meta": 5}):
        torch.save({"state_dict": weights, "meta": meta}, file)
        assert open_model(file, model_kwargs=kwargs).classes is None
    for head in ("neck.conv.weight", "rpn_head.conv.weight", "roi_head.bbox_head.fc.weight"):
        torch.save({"state_dict": {**weights, head: torch.zeros(1)}}, file)
        with pytest.raises(UserError, match="a.pth: contains a panoptic network; pass --task panoptic --con"):
            open_model(file, model_kwargs=kwargs)


def test_the_weights_that_were_judged_are_exported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    plain, ema = (small_models()["lvt_cls"] for _ in range(2))
    nn.init.ones_(ema.head.bias)
    save_checkpoint(plain, tmp_path / "a.pth", state_dict_ema=ema.state_dict())
    words = ["export", str(tmp_path / "a.pth"), "--to", "pt2", "--size", "32", *KWARGS]
    biases = []
    for flags, note in (([], ": the moving average"), (["--no-use-ema"], ": its weights, not their moving")):
        cli.main([*words, *flags, "--output", str(tmp_path / "b")])
        assert note in caplog.text
        caplog.clear()
        program = torch.export.load(tmp_path / "b" / "model.pt2")
        biases.append(program.state_dict["model.head.bias"])
    assert torch.equal(biases[0], ema.head.bias) and torch.equal(biases[1], plain.head.bias)


def test_delegates_prints_what_they_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["delegates", "lvt", "--to", "onnx", "--size", "64"]
    cli.main([*words, *KWARGS, "depths=(1,1,1,1)"])
    printed = capsys.readouterr().out
    assert "lvt for onnx, fp32: NNAPI takes " in printed and "leaves 1" in printed
    assert "lvt for onnx, fp32: Core ML takes " in printed
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_a_segmentors_classes_colours_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = small_models()["segformer"]
    names, palette = list("abcde"), [[i, 2 * i, 3 * i] for i in range(5)]
    save_checkpoint(model, "a.pth")
    content = torch.load("a.pth", weights_only=True)
    meaning = {"classes": names, "palette": palette}
    torch.save({"state_dict": content, "meta": {"dataset_meta": meaning}}, "a.pth")
    opened = open_model("a.pth", model_kwargs={key: SMALL[key] for key in ("embed_dims", "num_heads")})
    assert opened.name == "segformer" and opened.classes == names and opened.palette == palette
    assert opened.first_class == 1
    torch.save({"state_dict": content, "meta": {"dataset_meta": {"reduce_zero_label": False}}}, "b.pth")
    other = open_model("b.pth", model_kwargs={key: SMALL[key] for key in ("embed_dims", "num_heads")})
    assert other.first_class == 0 and other.classes is None
    cli.main(["export", "a.pth", "--to", "pt2", "--size", "64", "--labels", *KWARGS])
    (folder,) = Path("exports").iterdir()
    assert folder.name == "segformer-labels-pt2-fp32"
    manifest = json.loads((folder / "model.json").read_text())
    assert manifest["outputs"] == "labels" and manifest["classes"] == names and manifest["palette"] == palette
    assert manifest["preprocessing"]["colours"] == "RGB"
    assert manifest["sample"]["outputs"][0]["shape"] == [1, 64, 64]


class Fixed:
    """An exported model with given outputs."""

    folder = Path("a")

    def __init__(self, *outputs: np.ndarray) -> None:
        self.outputs = list(outputs)
        self.manifest = {"runtime": "onnx", "precision": "int8", "input": [1, 3, 32, 32]}

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        return self.outputs


def test_what_fails_in_another_size_is_not_written() -> None:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (x.square().mean(dim=(2, 3)),)

    ones = np.ones((1, 3), np.float32)
    check_runs(Mean(), Fixed(ones), [(1, 32, 32)])  # type: ignore[arg-type]
    for wrong, message in (
        (ones * np.nan, "differs from the model by inf"),
        (ones[:, :2], r"has outputs \[\(1, 2\)"),
    ):
        with pytest.raises(UserError, match=message):
            check_runs(Mean(), Fixed(wrong), [(1, 32, 32)])  # type: ignore[arg-type]


def test_values_that_are_no_numbers_are_no_sample() -> None:
    exported = Fixed(np.full((1, 3), np.nan, np.float32))
    expected = {"shape": [1, 3], "largest": 1.0, "values": [1.0, 1.0, 1.0]}
    exported.manifest |= {"sample": {"seed": 0, "input": [1, 3, 32, 32], "outputs": [expected]}}  # type: ignore
    with pytest.raises(UserError, match="differs from the recorded outputs by inf"):
        check_sample(exported)  # type: ignore[arg-type]
    exported.outputs *= 2
    with pytest.raises(UserError, match=r"gives outputs of shapes \[\[1, 3\], \[1, 3\]\], recorded are"):
        check_sample(exported)  # type: ignore[arg-type]


def test_versions_of_what_is_not_installed_are_unknown() -> None:
    assert installed_version("no-such-runtime") == "unknown" and installed_version("torch") != "unknown"
    assert set(PACKAGES) == set(SESSIONS) == set(RUNTIMES)
