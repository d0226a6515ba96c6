"""The train and test commands, run on a tiny data set as a user runs them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commands import ROOT, run, sentence
from lvt_core import CheckpointError, SegFormer, save_checkpoint
from lvt_core.checkpoint_files import read_checkpoint
from lvt_core.checkpoint_keys import to_lvt, to_original
from lvt_core.config import LVTConfig

TASK = ROOT / "segmentation"
TINY = LVTConfig(embed_dims=(8, 8, 16, 16), num_heads=(2, 2, 2, 2), depths=(1, 1, 1, 1), num_classes=3)


def seg(*command: object, **kwargs):
    return run(*command, task=TASK, **kwargs)


def train(config: Path, work_dir: Path, *options: object, **kwargs):
    return seg("tools/train.py", config, "--work-dir", work_dir, "--seed", 0, *options, **kwargs)


def tiny_file(path: Path, *, num_classes: int = 3) -> Path:
    torch.manual_seed(1)
    config = LVTConfig(**{**vars(TINY), "num_classes": num_classes})
    save_checkpoint(SegFormer(config, embed_dim=16), path)
    return path


def content(path: Path) -> dict:
    return read_checkpoint(path)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return to_lvt(content(path)["state_dict"])


def test_train_resume_and_test(config: Path, tmp_path: Path) -> None:
    run_a, run_b = tmp_path / "a", tmp_path / "b"
    train(config, run_a)
    assert content(run_a / "iter_4.pth")["meta"]["iter"] == 4
    best = list(run_a.glob("best_mIoU_iter_*.pth"))
    assert len(best) == 1 and not list(run_a.glob(".*"))

    train(config, run_b, "--cfg-options", "train_cfg.max_iters=2")
    train(config, run_b, "--resume")
    assert (run_b / "last_checkpoint").read_text().endswith("iter_4.pth")
    for key, value in weights(run_a / "iter_4.pth").items():
        assert weights(run_b / "iter_4.pth")[key].shape == value.shape

    results, out, show = tmp_path / "results.json", tmp_path / "out", tmp_path / "show"
    options = ["--results-file", results, "--out", out, "--show-dir", show, "--work-dir", tmp_path / "t"]
    done = seg("tools/test.py", config, best[0], "--eval", "mIoU", "mDice", *options)
    found = json.loads(results.read_text())
    assert set(found) == {"aAcc", "mIoU", "mAcc", "mDice", "classes"} and 0 <= found["mIoU"] <= 100
    assert "mDice" in done.stdout

    # Predictions in the server's format count from 1; mIoU by hand from them is the reported one.
    matrix = np.zeros((3, 3))
    for path in sorted((tmp_path / "masks/val").iterdir()):
        truth, prediction = np.asarray(Image.open(path)), np.asarray(Image.open(out / path.name))
        assert prediction.shape == truth.shape and prediction.min() >= 1 and prediction.max() <= 3
        np.add.at(matrix, (truth[truth > 0] - 1, prediction[truth > 0] - 1), 1)
        assert Image.open(show / path.name).width == 4 * 80 + 3 * 6
    with np.errstate(invalid="ignore"):
        iou = np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
    assert found["mIoU"] / 100 == pytest.approx(np.nanmean(iou), abs=1e-6)


def test_the_originals_file_tests_like_ours(config: Path, tmp_path: Path) -> None:
    ours = tiny_file(tmp_path / "ours.pth")
    original = tmp_path / "original.pth"
    unused = {
        "decode_head.conv_seg.weight": torch.zeros(3, 16, 1, 1),
        "decode_head.conv_seg.bias": torch.zeros(3),
    }
    save_checkpoint({**to_original(torch.load(ours, weights_only=True)), **unused}, original)
    found = []
    for path in (ours, original):
        results = tmp_path / f"{path.stem}.json"
        done = seg("tools/test.py", config, path, "--results-file", results, "--work-dir", tmp_path / "t")
        found.append(json.loads(results.read_text()))
    assert found[0] == found[1]
    assert "dropped decode_head.conv_seg.weight, decode_head.conv_seg.bias" in done.stdout + done.stderr


def test_format_only_needs_no_masks_and_tta_averages(config: Path, tmp_path: Path) -> None:
    checkpoint = tiny_file(tmp_path / "ours.pth")
    with config.open("a") as file:
        file.write(
            """
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="AlignedResize", scale=(256, 64)), dict(type="AlignedResize", scale=(512, 96))],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadMask", num_classes=3)],
            [dict(type="PackSegInputs")],
        ],
    ),
]
"""
        )
    results = tmp_path / "results.json"
    options = ["--work-dir", tmp_path / "t", "--tta"]
    seg("tools/test.py", config, checkpoint, *options, "--results-file", results)
    assert 0 <= json.loads(results.read_text())["mIoU"] <= 100
    for mask in (tmp_path / "masks/val").iterdir():
        mask.unlink()
    common = [config, checkpoint, "--format-only", *options[:2]]
    seg("tools/test.py", *common, "--out", tmp_path / "plain")
    seg("tools/test.py", *common, "--out", tmp_path / "tta", "--tta")
    for name in ("plain", "tta"):
        assert {p.name for p in (tmp_path / name).iterdir()} == {"p00.png", "p01.png", "p02.png"}


def test_mixed_precision_and_starting_from_weights(config: Path, tmp_path: Path) -> None:
    start = tiny_file(tmp_path / "five.pth", num_classes=5)
    options = ["--no-validate", "--amp", "--load-from", start, "--cfg-options", "train_cfg.max_iters=1"]
    done = train(config, tmp_path / "run", *options, ok=False)
    assert "decode_head.classifier.weight: (5, 16, 1, 1) in the checkpoint, (3, 16, 1, 1) here" in sentence(
        done
    )
    train(config, tmp_path / "run", "--reset-head", *options)
    trained, fresh = weights(tmp_path / "run/iter_1.pth"), torch.load(start, weights_only=True)
    key = "backbone.stages.0.patch_embed.proj.weight"
    # One step of warm-up moves hardly anything.
    torch.testing.assert_close(trained[key], fresh[key], atol=1e-4, rtol=0)


def test_the_newest_checkpoint_is_not_there_yet(config: Path, tmp_path: Path) -> None:
    done = train(
        config, tmp_path / "run", "--resume", "--no-validate", "--cfg-options", "train_cfg.max_iters=1"
    )
    assert "has no checkpoint yet: starting from the beginning" in done.stdout


def test_old_names_of_options(config: Path, tmp_path: Path) -> None:
    train(config, tmp_path / "run", "--no-validate", "--cfg-options", "train_cfg.max_iters=2")
    checkpoint = tmp_path / "run/iter_2.pth"
    train(config, tmp_path / "b", "--no-validate", "--resume-from", checkpoint)
    assert content(tmp_path / "b/iter_4.pth")["meta"]["iter"] == 4


def test_wrong_class_count(config: Path, tmp_path: Path) -> None:
    done = train(config, tmp_path / "run", "--cfg-options", "model.decode_head.num_classes=5", ok=False)
    assert "model.decode_head.num_classes=5: train_dataloader has 3 classes" in sentence(done)
    checkpoint = tiny_file(tmp_path / "five.pth", num_classes=5)
    done = seg("tools/test.py", config, checkpoint, "--work-dir", tmp_path / "t", ok=False)
    assert "decode_head.classifier.weight: (5, 16, 1, 1)" in sentence(done)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mask_with_a_value_outside_of_the_classes(config: Path, tmp_path: Path, workers: int) -> None:
    for path in (tmp_path / "masks/train").iterdir():
        Image.fromarray(np.full((64, 80), 9, np.uint8)).save(path)
    options = ["--cfg-options", f"train_dataloader.num_workers={workers}"]
    done = train(config, tmp_path / "run", "--no-validate", *options, ok=False)
    assert "has the value 9; allowed are the classes' numbers 1 to 3" in sentence(done)


def test_missing_folders_and_masks(config: Path, tmp_path: Path) -> None:
    (tmp_path / "masks/val").rename(tmp_path / "masks/elsewhere")
    done = train(config, tmp_path / "run", ok=False)
    assert "masks/val (seg_map_path) is no folder" in sentence(done)
    train(config, tmp_path / "run", "--no-validate", "--cfg-options", "train_cfg.max_iters=1")
    (tmp_path / "masks/train/p05.png").unlink()
    done = train(config, tmp_path / "run", "--no-validate", ok=False)
    assert "p05.png: has no mask" in sentence(done)


def test_ade20k_without_a_mask_or_a_folder(tmp_path: Path) -> None:
    """The published config with mmsegmentation's own data set class."""
    config = "local_configs/lvt/segformer.lvt.512x512.ade.160k.py"
    done = seg("tools/train.py", config, "--work-dir", tmp_path / "run", ok=False)
    assert "data/ade/ADEChallengeData2016/images/training (img_path) is no folder" in sentence(done)
    root = tmp_path / "ADEChallengeData2016"
    for kind in ("images", "annotations"):
        for split in ("training", "validation"):
            (root / kind / split).mkdir(parents=True)
    done = seg("tools/train.py", config, "--data-root", root, "--work-dir", tmp_path / "run", ok=False)
    assert "holds no .jpg images" in sentence(done)
    Image.new("RGB", (64, 64)).save(root / "images/training/ADE_train_1.jpg")
    done = seg("tools/train.py", config, "--data-root", root, "--work-dir", tmp_path / "run", ok=False)
    assert "ADE_train_1.jpg: has no mask" in sentence(done)


def test_wrong_words_are_one_sentence(config: Path, tmp_path: Path) -> None:
    checkpoint = tiny_file(tmp_path / "ours.pth")
    weights_alone = ["--resume", checkpoint, "--no-validate"]
    assert "holds weights alone" in sentence(train(config, tmp_path / "r", *weights_alone, ok=False))
    for words, message in (
        (["tools/train.py", tmp_path / "x.py"], "x.py: no such config"),
        (["tools/train.py", config, "--resum"], "unrecognized arguments: --resum"),
        (["tools/test.py", config, tmp_path / "x.pth"], "x.pth: no such checkpoint"),
        (["tools/test.py", config, checkpoint, "--eval", "PQ"], "invalid choice: 'PQ'"),
        (["tools/test.py", config, checkpoint, "--format-only"], "--format-only: needs --out DIR"),
        (
            ["tools/train.py", config, "--cfg-options", "model.backbone.depth=2"],
            "backbone.depth=2: no such option",
        ),
        (
            ["tools/train.py", config, "--cfg-options", "model.backbone.init_cfg.type=Pretrained"],
            "init_cfg={'type': 'Pretrained'}",
        ),
    ):
        assert message in sentence(
            seg(*words, *(["--work-dir", tmp_path / "r"] if len(words) > 2 else []), ok=False)
        )


def test_speed_and_cost(config: Path, tmp_path: Path) -> None:
    checkpoint = tiny_file(tmp_path / "ours.pth")
    options = ["--num-images", 3, "--warmup", 1, "--cost-size", 64, 64]
    done = seg("tools/fps.py", config, checkpoint, *options)
    assert "head as published" in done.stdout and "with resize and argmax: " in done.stdout
    assert "3 images)" in done.stdout
    done = seg("tools/fps.py", config, "--num-images", 1, ok=False)
    assert "--num-images must be at least 2" in sentence(done)


def test_own_data_in_one_command(data: Path, tmp_path: Path) -> None:
    classes, work_dir = tmp_path / "classes.txt", tmp_path / "work"
    classes.write_text("red\ngreen\nblue\n")
    words = [
        "tools/own_data.py",
        data / "images/train",
        data / "masks/train",
        classes,
        "--work-dir",
        work_dir,
    ]
    words += [
        "--first-class",
        1,
        "--crop-size",
        64,
        "--short-side",
        64,
        "--max-iters",
        10,
        "-b",
        2,
        "--val-every",
        4,
    ]
    done = seg(*words, "--config-only")
    assert (work_dir / "val.txt").read_text() == "p00\np04\n"
    assert len((work_dir / "train.txt").read_text().split()) == 6
    # The real network for two steps, in processes of its own.
    script = [sys.executable, *words]
    done = seg(*(str(word) for word in script), "--workers", 0)
    assert {path.name for path in (work_dir / "pictures").iterdir()} == {"p00.png", "p04.png"}
    assert json.loads((work_dir / "results.json").read_text())["classes"].keys() == {"red", "green", "blue"}
    assert "the trained model" in done.stdout


def test_own_data_mistakes(data: Path, tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("red\ngreen\n")
    folders = [data / "images/train", data / "masks/train"]
    words = ["tools/own_data.py", *folders, classes, "--work-dir", tmp_path / "w", "--config-only"]
    assert "allowed are the classes' numbers 1 to 2" in sentence(seg(*words, "--first-class", 1, ok=False))
    assert "allowed are the classes' numbers 0 to 1" in sentence(seg(*words, ok=False))
    assert "--val-images and --val-masks" in sentence(seg(*words, "--val-images", "x", ok=False))
    assert "--batch-size 0: must be 1" in sentence(seg(*words, "-b", 0, ok=False))
    assert "at least 32 pixels" in sentence(seg(*words, "--crop-size", 8, ok=False))
    classes.write_text("red\nred\n")
    assert "at least two classes, each once" in sentence(seg(*words, ok=False))


def test_checkpoints_run_no_code(tmp_path: Path) -> None:
    """What mmengine's log history needs does not open `getattr` to other uses."""

    class Evil:
        def __reduce__(self):
            return getattr, (np.ndarray, "tofile")

    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="refused"):
        content(tmp_path / "evil.pth")
