"""``lvt export``: what its options do, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export_checks import SMALL, small_models
from lvt_core import cli, save_checkpoint
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES
from lvt_core.export.gate import check_runs
from lvt_core.export.open_model import open_model
from lvt_core.predict import PACKAGES, SESSIONS, installed_version
from lvt_core.predict_sample import check_sample

KWARGS = ["--model-kwargs", *(f"{key}={SMALL[key]}".replace(" ", "") for key in ("embed_dims", "num_heads"))]
INT8 = ["--precision", "int8"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lvt", "--recipe", "a.json"], "--search, --recipe and --before: need --precision int8"),
        (["lvt", "--search", "a.json"], "--search, --recipe and --before: need --precision int8"),
        (["lvt_cls", "--precision", "int8", "--search", "a.json", "--check"], "--search: not with --recipe"),
        (
            ["lvt_cls", "--precision", "int8", "--search", "a.json"],
            "--search a.json: must be a file to write",
        ),
        (["lvt", "--activations", "static"], "--activations: is of --search"),
        (["lvt", "--check", "--output", "a"], "--check: writes nothing, so it takes no --output"),
        (["lvt", "--limit", "3"], "--limit and --crop-pct: are of --data"),
        (["lvt", "--data", ".", "--limit", "0"], "--limit: 0: must be at least 1"),
        (["lvt", "--use-ema"], "--use-ema: lvt is no checkpoint"),
        (
            ["segformer", "--data", ".", "--crop-pct", "1"],
            "--crop-pct: is of a classifier; this is segformer",
        ),
        (["lvt", *INT8], "lvt has no task to be judged by: --precision fp32"),
        (["lvt", "--labels"], "--labels: lvt has no pixels' classes"),
        (["a.pth", "--task", "panoptic"], "--task panoptic and --config FILE: must be given together"),
        (["a.pth", "--task", "panoptic", "--config", "a.py", "--use-ema"], "--use-ema: not for a panoptic"),
        (["a.pth", "--task", "panoptic", "--config", "a.py", "--labels"], "--labels: not for a panoptic"),
    ],
)
def test_options_that_could_not_act_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cli.main(["export", *words, "--to", "onnx"])


def test_check_prints_what_delegates_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["export", "lvt", "--to", "onnx", "--size", "64", "--check"]
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
    cli.main(["export", "a.pth", "--to", "pt2", "--size", "64", "--labels", *KWARGS])
    (folder,) = Path("exports").iterdir()
    assert folder.name == "segformer-labels-pt2-fp32"
    manifest = json.loads((folder / "model.json").read_text())
    assert manifest["outputs"] == "labels" and manifest["classes"] == names and manifest["palette"] == palette
    assert manifest["preprocessing"]["colours"] == "RGB"
    assert manifest["sample"]["outputs"][0]["shape"] == [1, 64, 64]


class Given:
    """An exported model that gives what it is told."""

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
    check_runs(Mean(), Given(ones), [(1, 32, 32)])  # type: ignore[arg-type]
    for wrong, message in (
        (ones * np.nan, "differs from the model by inf"),
        (ones[:, :2], r"gives \[\(1, 2\)"),
    ):
        with pytest.raises(UserError, match=message):
            check_runs(Mean(), Given(wrong), [(1, 32, 32)])  # type: ignore[arg-type]


def test_values_that_are_no_numbers_are_no_sample() -> None:
    given = Given(np.full((1, 3), np.nan, np.float32))
    expected = {"shape": [1, 3], "largest": 1.0, "values": [1.0, 1.0, 1.0]}
    given.manifest |= {"sample": {"seed": 0, "input": [1, 3, 32, 32], "outputs": [expected]}}  # type: ignore
    with pytest.raises(UserError, match="differs from the recorded outputs by inf"):
        check_sample(given)  # type: ignore[arg-type]
    given.outputs *= 2
    with pytest.raises(UserError, match=r"gives \[\[1, 3\], \[1, 3\]\], where \[\[1, 3\]\] are recorded"):
        check_sample(given)  # type: ignore[arg-type]


def test_versions_of_what_is_not_installed_are_unknown() -> None:
    assert installed_version("no-such-runtime") == "unknown" and installed_version("torch") != "unknown"
    assert set(PACKAGES) == set(SESSIONS) == set(RUNTIMES)
