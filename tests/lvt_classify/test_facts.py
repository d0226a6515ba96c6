"""The facts of a run travel with its checkpoint into every command; the command line has the last word."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import timm
import torch

from lvt_core import cli
from lvt_core.checkpoint import read_checkpoint
from tests.commands import run, sentence, train, train_command

COMMON = ["-b", 4, "--workers", 0, "--device", "cpu"]
FACTS = ["--epochs", 1, "--img-size", 48, "--crop-pct", 0.8, "--interpolation", "bilinear", "--no-exif"]


def result(data: Path, checkpoint: Path, file: Path, *options: object) -> tuple[dict, str]:
    done = run("validate.py", data, "--checkpoint", checkpoint, *COMMON, *options, "--results-file", file)
    return json.loads(file.read_text())[0], done.stderr


@pytest.fixture(scope="module", params=["lvt_cls", "lvt"])
def trained(request, folder: Path, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("runs")
    return train(folder, output, *FACTS, "--model", request.param) / "last.pth.tar"


def test_validation_repeats_the_runs_own(folder: Path, trained: Path, tmp_path: Path) -> None:
    record, printed = result(folder, trained, tmp_path / "r.json")
    history = read_checkpoint(trained)["position"]["history"]
    assert record["loss"] == pytest.approx(history[-1]["eval_loss"], rel=1e-5)
    assert (record["img_size"], record["crop_pct"]) == (48, 0.8)
    assert "img_size 48" in printed
    # A recipe's file gives way to the run, too.
    record, _ = result(folder, trained, tmp_path / "r.json", "--cfg", "./configs/lvt_imagenet.py")
    assert record["loss"] == pytest.approx(history[-1]["eval_loss"], rel=1e-5)


def test_the_command_line_has_the_last_word_and_says_so(folder: Path, trained: Path, tmp_path: Path) -> None:
    record, printed = result(folder, trained, tmp_path / "r.json", "--img-size", 64, "--crop-pct", 1)
    assert (record["img_size"], record["crop_pct"]) == (64, 1.0)
    assert f"note: --img-size 64 overrides what {trained} was trained with: 48" in printed
    assert f"note: --crop-pct 1.0 overrides what {trained} was trained with: 0.8" in printed


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_converted_file_gives_the_same_result(
    folder: Path, trained: Path, tmp_path: Path, suffix: str
) -> None:
    cli.main(["convert", str(trained), str(tmp_path / f"a{suffix}")])
    first, _ = result(folder, trained, tmp_path / "r.json")
    second, printed = result(folder, tmp_path / f"a{suffix}", tmp_path / "r.json")
    assert {**first, "checkpoint": ""}.items() - second.items() <= {
        ("checkpoint", ""),
        ("images_per_second", first["images_per_second"]),
    }
    assert "no class names" not in printed


def test_the_export_is_that_of_the_run(folder: Path, trained: Path, tmp_path: Path) -> None:
    words = ["export", str(trained), "--to", "pt2", "--data", str(folder), "--output", str(tmp_path / "a")]
    cli.main(words)
    manifest = json.loads((tmp_path / "a" / "model.json").read_text())
    assert manifest["input"] == [1, 3, 48, 48]
    preprocessing = manifest["preprocessing"]
    assert (preprocessing["crop_pct"], preprocessing["interpolation"]) == (0.8, "bilinear")
    assert preprocessing["exif"] is False
    assert manifest["classes"] == ["class_0", "class_1", "class_2"]
    assert manifest["outputs"] == "logits"


def test_the_exports_command_line_has_the_last_word(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["export", str(trained), "--to", "pt2", "--output", str(tmp_path / "a")]
    cli.main([*words, "--size", "64", "--crop-pct", "1"])
    manifest = json.loads((tmp_path / "a" / "model.json").read_text())
    assert (manifest["input"][2:], manifest["preprocessing"]["crop_pct"]) == ([64, 64], 1.0)
    assert f"--size overrides what {trained} was trained with: 48 48" in caplog.text
    assert f"--crop-pct 1.0 overrides what {trained} was trained with: 0.8" in caplog.text


def test_a_teacher_is_what_its_checkpoint_says(folder: Path, trained: Path, tmp_path: Path) -> None:
    command = ["generate_labels.py", folder, "--labels", tmp_path / "labels", "--workers", 0]
    run(*command, "--checkpoint", trained)
    first = next((tmp_path / "labels").rglob("*.pt"))
    assert torch.load(first, weights_only=True).shape == (2, 3, 2, 2)  # 48 pixels are 2 x 2 tokens
    command[3] = tmp_path / "large"
    done = run(*command, "--checkpoint", trained, "--img-size", 96)
    assert f"note: --img-size 96 overrides what {trained} was trained with: 48" in done.stderr
    first = next((tmp_path / "large").rglob("*.pt"))
    assert torch.load(first, weights_only=True).shape == (2, 3, 3, 3)
    options = ["--token-label", "--token-label-teacher", torch_name(trained), "--teacher-checkpoint", trained]
    run(*train_command(folder, tmp_path, *options, "--epochs", 1))


def torch_name(checkpoint: Path) -> str:
    return read_checkpoint(checkpoint)["arch"]


@pytest.mark.parametrize("wrap", ["timm", "lightning", "hub"])
def test_files_of_others_bring_what_they_have(folder: Path, tmp_path: Path, wrap: str) -> None:
    from safetensors.torch import save_file

    model = timm.create_model("test_resnet", num_classes=3)
    options = {"model": "test_resnet", "img_size": 40, "crop_pct": 0.7, "mean": [0.4, 0.4, 0.4]}
    weights, path = model.state_dict(), tmp_path / "a.pth"
    names = ["class_1", "class_0", "class_2"]
    if wrap == "timm":
        torch.save(
            {"state_dict": weights, "args": argparse.Namespace(**options), "arch": "test_resnet"}, path
        )
    elif wrap == "lightning":
        prefixed = {f"net.{key}": value for key, value in weights.items()}
        torch.save({"state_dict": prefixed, "hyper_parameters": {**options, "class_names": names}}, path)
    else:
        path = tmp_path / "model.safetensors"
        save_file(weights, path)
        cfg = {"input_size": [3, 40, 40], "crop_pct": 0.7, "mean": [0.4, 0.4, 0.4]}
        config = {"architecture": "test_resnet", "label_names": names, "pretrained_cfg": cfg}
        (tmp_path / "config.json").write_text(json.dumps(config))
    record, printed = result(folder, path, tmp_path / "r.json")
    assert (record["model"], record["img_size"], record["crop_pct"]) == ("test_resnet", 40, 0.7)
    assert ("no class names" in printed) == (wrap == "timm")


def test_the_original_releases_other_depths_are_read(folder: Path, tmp_path: Path) -> None:
    model = timm.create_model("lvt_cls", depths=(1, 1, 1, 1), num_classes=3)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "a.pth")
    cli.main(["convert", str(tmp_path / "a.pth"), str(tmp_path / "o.pth"), "--to", "original"])
    record, _ = result(folder, tmp_path / "o.pth", tmp_path / "r.json", "--img-size", 32)
    assert record["params"] == sum(p.numel() for p in model.parameters())


def test_a_model_on_the_command_line_must_fit(folder: Path, trained: Path) -> None:
    done = run("validate.py", folder, "--checkpoint", trained, "--model", "test_resnet", *COMMON, ok=False)
    assert "does not fit the model" in sentence(done)
    assert "note: --model test_resnet overrides" in done.stderr
