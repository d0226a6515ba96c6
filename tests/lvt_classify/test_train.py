"""main.py, run as a user runs it: outputs, resuming, fine-tuning."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path

import timm
import torch
import yaml

import lvt_core
from tests.commands import fork_server, run, run_forked, sentence, train, train_command, weights

EVERYTHING = [
    "--aa", "rand-m9-mstd0.5-inc1", "--reprob", 0.5, "--mixup", 0.2, "--drop-path", 0.2, "--drop", 0.1,
    "--model-ema", "--model-ema-decay", 0.9, "--clip-grad", 1.0, "--grad-accum-steps", 2, "--token-label",
]  # fmt: skip


def same(a: Path, b: Path, key: str = "state_dict") -> bool:
    first, second = weights(a, key), weights(b, key)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_run_writes_its_results(folder: Path, tmp_path: Path) -> None:
    out = train(
        folder, tmp_path, *EVERYTHING, "--token-label-data", folder / "labels", "--tensorboard", "--amp"
    )
    names = set(os.listdir(out))
    assert {"last.pth.tar", "model_best.pth.tar", "summary.csv", "curves.png", "options.yaml"} <= names
    assert any(name.startswith("events.out") for name in names)
    assert not any(name.startswith(".") for name in names - {".lock"})
    with open(out / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(0 <= float(row["ema_top1"]) <= 100 for row in rows)
    options = yaml.safe_load((out / "options.yaml").read_text())
    assert (options["img_size"], options["num_classes"]) == (32, 3)
    content = torch.load(out / "last.pth.tar", weights_only=True)
    assert content["classes"] == ["class_0", "class_1", "class_2"]
    # The saved options are a configuration file.
    run(
        *["main.py", folder, "-c", out / "options.yaml", "--experiment", "again", "--epochs", 1],
        *["--output", tmp_path],
    )


def test_an_easy_task_is_learned(folder: Path, tmp_path: Path) -> None:
    out = train(
        *[folder, tmp_path, "--epochs", 12, "--lr", "5e-3", "--token-label", "--no-mix-token"],
        *["--token-label-data", folder / "labels", "--scale", 0.5, 1.0],
    )
    with open(out / "summary.csv", newline="") as file:
        best = max(float(row["eval_top1"]) for row in csv.DictReader(file))
    assert best == 100


def test_killed_and_resumed_equals_uninterrupted(folder: Path, tmp_path: Path) -> None:
    options = [*EVERYTHING, "--epochs", 4, "--recovery-interval", 1, "--workers", 1]
    whole = train(folder, tmp_path, *options, name="whole")
    words = [str(word) for word in train_command(folder, tmp_path, *options, name="cut")]
    process = fork_server().Process(target=run_forked, args=(words,))
    process.start()
    last = tmp_path / "cut" / "last.pth.tar"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.is_alive():
        if last.exists():  # never unfinished: it is replaced in one step
            position = torch.load(last, weights_only=True)["position"]
            if position["epoch"] >= 1 and position["batch"] > 0:
                break
        time.sleep(0.005)
    assert process.is_alive(), "the run ended before it could be killed"
    process.kill()
    process.join()
    assert torch.load(last, weights_only=True)["position"]["epoch"] < 4
    run(*train_command(folder, tmp_path, *options, "--resume", last))
    assert same(whole / "last.pth.tar", last)
    assert same(whole / "last.pth.tar", last, "state_dict_ema")
    histories = [
        torch.load(path, weights_only=True)["position"]["history"] for path in (whole / last.name, last)
    ]
    for row, other in zip(*histories, strict=True):
        for key in ("epoch", "lr", "eval_loss", "eval_top1", "ema_loss"):
            assert row[key] == other[key], key


def test_resumed_with_other_batches_the_schedule_ends_where_it_should(folder: Path, tmp_path: Path) -> None:
    options = ["--sched-on-updates", "--epochs", 4, "--checkpoint-hist", 4, "--workers", 0]
    out = train(folder, tmp_path, *options, "-b", 4)
    resume = ["--resume", out / "checkpoint-1.pth.tar"]
    run(*train_command(folder, tmp_path, *options, "-b", 12, *resume))
    history = torch.load(out / "last.pth.tar", weights_only=True)["position"]["history"]
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    rates = [row["lr"] for row in history]
    assert rates[2] < rates[1] and rates[3] == 1e-5, rates


def test_one_command_starts_and_continues_a_run(folder: Path, tmp_path: Path) -> None:
    whole = train(folder, tmp_path / "whole", "--model-ema")
    command = train_command(folder, tmp_path / "parts", "--model-ema", "--resume", "auto")
    first = run(*train_command(folder, tmp_path / "parts", "--model-ema", "--epochs", 2, "--resume", "auto"))
    assert "resumed" not in first.stdout + first.stderr
    (tmp_path / "parts" / "run" / "last.pth.tar").unlink()
    (tmp_path / "parts" / "run" / "checkpoint-0.pth.tar").rename(tmp_path / "parts" / "run" / "last.pth.tar")
    again = run(*command, "--finetune", "nowhere.pth")
    said = again.stdout + again.stderr
    assert "resumed" in said and "have no effect" not in said
    assert same(whole / "last.pth.tar", tmp_path / "parts" / "run" / "last.pth.tar")
    done = run("main.py", folder, "--output", tmp_path, "--resume", "auto", ok=False)
    assert sentence(done).startswith("error: --resume auto: requires --experiment NAME")


def test_weights_that_are_not_finite_replace_no_good_ones(folder: Path, tmp_path: Path) -> None:
    options = ["--lr", 1e18, "--opt", "momentum", "--sched", "none", "--no-aug", "--epochs", 2]
    options += ["--recovery-interval", 1, "--log-interval", 1]
    done = run(*train_command(folder, tmp_path, *options, name="x"), ok=False)
    assert sentence(done).startswith("error: the loss is")
    last = tmp_path / "x" / "last.pth.tar"
    assert not last.exists() or all(value.isfinite().all() for value in weights(last).values())


def test_fine_tuning_to_other_classes_and_size(folder: Path, tmp_path: Path) -> None:
    first = train(folder, tmp_path, "--epochs", 1, "--num-classes", 7, name="first")
    second = train(
        *[folder, tmp_path, "--epochs", 1, "--img-size", 48, "--lr", 0, "--min-lr", 0],
        *["--finetune", first / "last.pth.tar"],
        name="second",
    )
    before, after = weights(first / "last.pth.tar"), weights(second / "last.pth.tar")
    assert after["head.weight"].shape == (3, 16)
    assert torch.equal(before["cls_token"], after["cls_token"])


def test_other_models_train_too(folder: Path, tmp_path: Path) -> None:
    run(
        *["main.py", folder, "--model", "lvt", "--img-size", 32, "-b", 4, "--epochs", 1, "--workers", 0],
        *["--warmup-epochs", 0, "--output", tmp_path, "--experiment", "a", "--cutmix", 1.0],
        *["--channels-last", "--grad-checkpointing", "--layer-decay", 0.8],
    )
    run(
        *["main.py", folder, "--model", "test_resnet", "--img-size", 32, "-b", 4, "--epochs", 1],
        *["--warmup-epochs", 0, "--output", tmp_path, "--experiment", "b", "--workers", 0],
    )


def test_training_with_a_teacher_at_hand(folder: Path, tmp_path: Path) -> None:
    teacher = timm.create_model("lvt_cls", num_classes=3)
    lvt_core.save_checkpoint(teacher, tmp_path / "teacher.pth")
    train(
        *[folder, tmp_path, "--epochs", 1, "--token-label", "--token-label-teacher", "lvt_cls"],
        *["--teacher-checkpoint", tmp_path / "teacher.pth", "--mixup", 0.2],
        name="student",
    )
