"""The train and test commands, run on a tiny data set as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lvt_core import CheckpointError, save_checkpoint
from lvt_core.checkpoint.names import to_original
from lvt_core.openmmlab.commands import load_config
from lvt_seg.checks import load_mask_steps
from tests.commands import sentence
from tests.holding import held
from tests.seg_commands import content, seg, tiny_file, train, weights


def test_train_resume_and_test(config: Path, tmp_path: Path) -> None:
    run_a, run_b = tmp_path / "a", tmp_path / "b"
    train(config, run_a)
    assert content(run_a / "iter_4.pth")["meta"]["iter"] == 4
    best = list(run_a.glob("best_mIoU_iter_*.pth"))
    assert len(best) == 1 and [path.name for path in run_a.glob(".*")] == [".lock"]

    train(config, run_b, "--cfg-options", "train_cfg.max_iters=2")
    with held(run_b) as holder:
        message = sentence(train(config, run_b, "--resume", ok=False))
        assert f"{run_b}: process {holder.pid} on " in message
    (run_b / ".iter_2.pth.abcdefgh").touch()  # a killed run left it
    done = train(config, run_b, "--resume")
    assert not (run_b / ".iter_2.pth.abcdefgh").exists()
    assert "resumed epoch: 0, iter: 2" in done.stdout + done.stderr
    for run_dir in (run_a, run_b):  # both optimizers have made four steps
        steps = content(run_dir / "iter_4.pth")["optimizer"]["state"]
        assert {float(state["step"]) for state in steps.values()} == {4.0}
    assert config.read_text().startswith("_base_")  # the runner writes its own copy elsewhere

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


@pytest.mark.slow
def test_format_only_needs_no_masks_and_tta_averages(config: Path, tmp_path: Path) -> None:
    checkpoint = tiny_file(tmp_path / "ours.pth")
    with config.open("a") as file:
        file.write(
            """
tta_pipeline = [
    dict(type="LoadImage"),
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
    one, both = (np.asarray(Image.open(tmp_path / name / "p00.png")) for name in ("plain", "tta"))
    assert (one != both).any()  # averaged over sizes and mirrors


def test_mixed_precision_and_starting_from_weights(config: Path, tmp_path: Path) -> None:
    start = tiny_file(tmp_path / "five.pth", num_classes=5)
    options = ["--no-validate", "--amp", "--load-from", start, "--cfg-options", "train_cfg.max_iters=1"]
    done = train(config, tmp_path / "run", *options, ok=False)
    assert "decode_head.classifier.weight: (5, 16, 1, 1) in the checkpoint, (3, 16, 1, 1) here" in sentence(
        done
    )
    train(config, tmp_path / "run", "--reset-head", *options)
    assert "BFloat16OptimWrapper" in (tmp_path / "run/tiny.py").read_text()
    trained, fresh = weights(tmp_path / "run/iter_1.pth"), torch.load(start, weights_only=True)
    key = "backbone.stages.0.patch_embed.proj.weight"
    # One step of warm-up moves hardly anything.
    torch.testing.assert_close(trained[key], fresh[key], atol=1e-4, rtol=0)


def test_a_run_keeps_its_schedule(config: Path, tmp_path: Path) -> None:
    """mmengine would go on at rate 0."""
    train(config, tmp_path / "run", "--no-validate")
    longer = ["train_cfg.max_iters=8", "param_scheduler.1.end=8"]
    done = train(config, tmp_path / "run", "--no-validate", "--resume", "--cfg-options", *longer, ok=False)
    assert "has param_scheduler.1.end=4, the config 8" in sentence(done)


@pytest.mark.slow
def test_a_restartable_job_starts_from_weights_the_first_time(config: Path, tmp_path: Path) -> None:
    start = tiny_file(tmp_path / "start.pth")
    options = ["--no-validate", "--resume", "--load-from", start, "--cfg-options", "train_cfg.max_iters=2"]
    first = train(config, tmp_path / "run", *options)
    assert f"loaded {start}" in first.stdout + first.stderr
    again = train(config, tmp_path / "run", *options[:-1], "train_cfg.max_iters=3")
    assert "resumed epoch: 0, iter: 2" in again.stdout + again.stderr


def test_weights_from_one_file_need_no_others(config: Path, tmp_path: Path) -> None:
    """A config names the backbone's file; who loads a whole model need not have it."""
    start = tiny_file(tmp_path / "start.pth")
    with config.open("a") as file:
        named = 'dict(_delete_=True, type="Pretrained", checkpoint="nowhere.pth")'
        file.write(f'model["backbone"]["init_cfg"] = {named}\n')
    options = ["--no-validate", "--cfg-options", "train_cfg.max_iters=1"]
    assert "nowhere.pth: no such checkpoint" in sentence(train(config, tmp_path / "a", *options, ok=False))
    train(config, tmp_path / "b", "--load-from", start, *options)


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
    assert "has the value 9; allowed are the classes, 1 to 3" in sentence(done)


def test_missing_folders_and_masks(config: Path, tmp_path: Path) -> None:
    (tmp_path / "masks/val").rename(tmp_path / "masks/elsewhere")
    done = train(config, tmp_path / "run", ok=False)
    assert "masks/val (seg_map_path) is not a folder" in sentence(done)
    train(config, tmp_path / "run", "--no-validate", "--cfg-options", "train_cfg.max_iters=1")
    (tmp_path / "masks/train/p05.png").unlink()
    done = train(config, tmp_path / "run", "--no-validate", ok=False)
    assert "p05.png: has no mask" in sentence(done)


def test_ade20k_without_a_mask_or_a_folder(tmp_path: Path) -> None:
    """The published config with mmsegmentation's own data set class."""
    config = "local_configs/lvt/segformer.lvt.512x512.ade.160k.py"
    done = seg("tools/train.py", config, "--work-dir", tmp_path / "run", ok=False)
    assert "data/ade/ADEChallengeData2016/images/training (img_path) is not a folder" in sentence(done)
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
    assert "has only weights" in sentence(train(config, tmp_path / "r", *weights_alone, ok=False))
    (tmp_path / "file").write_text("")
    done = train(config, tmp_path / "file" / "run", "--no-validate", ok=False)
    assert "cannot write into the output folder" in sentence(done)
    for words, message in (
        (["tools/train.py", tmp_path / "x.py"], "x.py: no such config"),
        (["tools/train.py", config, "--resum"], "unrecognized arguments: --resum"),
        (["tools/test.py", config, tmp_path / "x.pth"], "x.pth: no such checkpoint"),
        (["tools/test.py", config, checkpoint, "--eval", "PQ"], "invalid choice: 'PQ'"),
        (["tools/test.py", config, checkpoint, "--format-only"], "--format-only: requires --out DIR"),
        (["tools/train.py", config, "--launcher", "pytorch"], "must be started by torchrun"),
        (["tools/train.py", config, "--reset-head"], "--reset-head: only applies with --load-from"),
        (["tools/train.py", config, "--data-root", "x"], "--data-root x: the config's folders are absolute"),
        (["tools/train.py", config, "--cfg-options", "model.backbone.type=Nothing"], "Nothing is not in the"),
        (
            ["tools/train.py", config, "--cfg-options", "model.backbone.depth=2"],
            "backbone.depth=2: no such option",
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


def test_the_written_config_averages_over_its_own_sizes(config: Path) -> None:
    cfg = load_config(config)
    steps = cfg.tta_pipeline[1].transforms
    assert [step.scale for step in steps[0]][2] == (256, 64)
    assert load_mask_steps(cfg.tta_pipeline) == [{"type": "LoadAnnotations", "num_classes": 3}]


def test_outputs_of_one_name_and_masks_of_another_count(config: Path, tmp_path: Path) -> None:
    checkpoint = tiny_file(tmp_path / "ours.pth")
    for kind in ("images", "masks"):
        (tmp_path / kind / "val/deep").mkdir()
        Image.open(tmp_path / kind / "val/p00.png").save(tmp_path / kind / "val/deep/p00.png")
    folders = ["--out", tmp_path / "o", "--show-dir", tmp_path / "p", "--work-dir", tmp_path / "t"]
    seg("tools/test.py", config, checkpoint, *folders)
    for folder in ("o", "p"):
        written = {
            path.relative_to(tmp_path / folder).as_posix() for path in (tmp_path / folder).rglob("*.png")
        }
        assert written == {"p00.png", "p01.png", "p02.png", "deep/p00.png"}
    done = train(
        config,
        tmp_path / "run",
        "--cfg-options",
        "train_dataloader.dataset.pipeline.1.num_classes=9",
        ok=False,
    )
    assert "LoadAnnotations.num_classes=9: train_dataloader has 3 classes" in sentence(done)


def test_checkpoints_run_no_code(tmp_path: Path) -> None:
    """The `getattr` that mmengine's log history requires is not allowed for other uses."""

    class Evil:
        def __reduce__(self):
            return getattr, (np.ndarray, "tofile")

    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="rejected"):
        content(tmp_path / "evil.pth")


def test_resume_in_a_config_continues_the_run(config: Path, tmp_path: Path) -> None:
    options = ["--no-validate", "--cfg-options", "default_hooks.checkpoint.interval=2"]
    train(config, tmp_path / "run", *options)
    (tmp_path / "run/iter_4.pth").unlink()
    (tmp_path / "run/last_checkpoint").write_text(str(tmp_path / "run/iter_2.pth"))
    config.write_text(config.read_text() + "\nresume = True\n")
    done = train(config, tmp_path / "run", *options)
    assert "resumed epoch: 0, iter: 2" in done.stdout + done.stderr
    assert (tmp_path / "run/iter_4.pth").exists()
