"""Mistakes of a user: the command ends with one sentence and leaves no unfinished file."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest
import timm
import torch

from tests.commands import TASK, run, sentence, train, train_command, write_folder
from tests.holding import held


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "data"))


def error_of(folder: Path, output: Path, *options: object) -> str:
    """Return the error of a training that must fail before it writes a result."""
    message = sentence(run(*train_command(folder, output, *options), ok=False))
    assert not (output / "run" / "last.pth.tar").exists()
    assert not (output / "run" / "summary.csv").exists()
    return message


@pytest.mark.parametrize("workers", [0, 2])
def test_a_truncated_image(copy: Path, tmp_path: Path, workers: int) -> None:
    image = copy / "train" / "class_1" / "train1_3.png"
    image.write_bytes(image.read_bytes()[:300])
    message = error_of(copy, tmp_path / "out", "--workers", workers)
    assert f"{image}: not a readable image" in message


def test_an_empty_class_folder(copy: Path, tmp_path: Path) -> None:
    (copy / "train" / "class_0a").mkdir()
    message = error_of(copy, tmp_path / "out")
    assert "class_0a: the class folder holds no image (.bmp, " in message


def test_splits_of_other_classes(copy: Path, tmp_path: Path) -> None:
    (copy / "val" / "class_2").rename(copy / "val" / "class_02")
    message = error_of(copy, tmp_path / "out")
    words = "split 'validation': has the classes 'class_02', which the training split does not know"
    assert words in message


def test_checkpoints_that_cannot_be_used(folder: Path, tmp_path: Path) -> None:
    good = train(folder, tmp_path, "--epochs", 1, name="good") / "last.pth.tar"
    half = tmp_path / "half.pth"
    half.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    other = tmp_path / "other.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), other)
    trap = tmp_path / "trap.pth"
    torch.save({"state_dict": Trap()}, trap)
    backbone = tmp_path / "weights.pth"
    torch.save(torch.load(good, weights_only=True)["state_dict"], backbone)
    for path, words in {
        half: "not a readable checkpoint",
        other: "does not contain an LVT",
        trap: "only tensors and plain values are allowed",
        tmp_path / "none.pth": "no such checkpoint",
    }.items():
        assert words in error_of(folder, tmp_path / "out", "--finetune", path)
        done = run(
            *["validate.py", folder, "--checkpoint", path, "--img-size", 32, "--workers", 0],
            *["--results-file", tmp_path / "results.json"],
            ok=False,
        )
        assert words in sentence(done)
        assert not (tmp_path / "results.json").exists()
    assert not (TASK / "trapped").exists()
    message = sentence(run(*train_command(folder, tmp_path / "out", "--resume", backbone), ok=False))
    assert "holds only weights; start from them with --finetune" in message


class Trap:
    def __reduce__(self):
        return (os.system, ("touch trapped",))


def test_a_pickle_as_checkpoint(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.pth.tar"
    path.write_bytes(pickle.dumps({"state_dict": Trap()}, protocol=2))
    assert "only tensors and plain values are allowed" in error_of(
        folder, tmp_path / "out", "--finetune", path
    )
    assert not (TASK / "trapped").exists()


def test_token_label_files(copy: Path, tmp_path: Path) -> None:
    options = ["--token-label", "--token-label-data", copy / "labels"]
    path = copy / "labels" / "class_2" / "train2_0.pt"
    path.unlink()
    assert f"{path}: no such token-label file" in error_of(copy, tmp_path / "out", *options)
    message = error_of(copy, tmp_path / "out", "--token-label", "--token-label-data", copy / "none")
    assert message.endswith("none: no such folder")


def test_an_unwritable_output_folder(folder: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    message = error_of(folder, blocked)
    assert f"cannot write into the output folder {blocked}/run" in message
    assert blocked.read_text() == "not a folder"


def test_a_finished_run_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    out = train(folder, tmp_path, "--epochs", 1)
    before = (out / "last.pth.tar").read_bytes()
    message = sentence(run(*train_command(folder, tmp_path), ok=False))
    assert "already holds a run; continue it with --resume" in message
    assert (out / "last.pth.tar").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "lvt_huge"], "--model lvt_huge: Unknown model"),
        (["--model", "lvt", "--token-label"], "--token-label: requires --model lvt_cls"),
        (["--token-label", "--token-label-size", 7], "at --img-size 32 the model has 1 x 1 tokens"),
        (["--opt", "magic"], "--opt magic:"),
        (["-b", 64], "-b 64: 24 training images do not fill one batch on 1 processes; choose -b 24"),
        (["--aa", "rnd-m9"], "--aa rnd-m9: timm does not know this policy"),
        (["--opt", "adahessian"], "--opt adahessian: needs second derivatives"),
        (["--model-kwargs", "in_chans=1"], "--model-kwargs in_chans=1: images have 3 channels"),
        (
            ["--model-kwargs", "atrous_rates=None"],
            "--model-kwargs atrous_rates=None: timm ignores None; pass",
        ),
        (["--smoothing", "nan"], "smoothing=nan in the command line: must be finite"),
        (["--class-map", "none.txt"], "--class-map none.txt: no such file"),
        (["--num-classes", 2], "--num-classes 2: must be at least 3, as many as the data set has"),
        (["--device", "cuda:7"], "--device cuda:7: GPU 7 is unavailable; this machine has"),
        (["--amp", "--amp-dtype", "float16", "--device", "cpu"], "--amp-dtype float16"),
        (["--model-kwargs", "img_size=224"], "does not support img_size"),
        (["--model-kwargs", "num_heads=(3,3,3,3)"], "must be a divisor of embed_dims"),
    ],
)
def test_options_that_cannot_be(folder: Path, tmp_path: Path, options: list, words: str) -> None:
    assert words in error_of(folder, tmp_path / "out", *options)


def test_folders_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    assert "none: no such data set folder" in error_of(tmp_path / "none", tmp_path / "out")
    message = sentence(run("validate.py", folder, "--checkpoint", tmp_path, "--img-size", 32, ok=False))
    assert "the folder holds no .pth" in message
    done = run("./distributed_train.sh", ok=False)
    assert done.stderr.startswith("usage: ./distributed_train.sh PROCESSES DATA")


def test_more_classes_than_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    two = write_folder(tmp_path / "two", classes=2)
    out = train(two, tmp_path, "--epochs", 1)
    done = run(
        *["validate.py", folder, "--checkpoint", out / "last.pth.tar", "--img-size", 32],
        *["--workers", 0, "--model-kwargs", "depths=(1,1,1,1)", "embed_dims=(8,8,16,16)"],
        "num_heads=(2,2,2,2)",
        ok=False,
    )
    message = sentence(done)
    assert "has the classes 'class_2', which" in message
    assert "last.pth.tar does not know; rename the folders, or give each an index" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--model", "vit_tiny_patch16_224", "--img-size", 64],
            "--img-size 64: vit_tiny_patch16_224 does",
        ),
        (
            ["--model", "dla46x_c", "--grad-checkpointing"],
            "--grad-checkpointing: dla46x_c does not",
        ),
    ],
)
def test_what_a_model_does_not_support(folder: Path, tmp_path: Path, options: list, words: str) -> None:
    command = ["main.py", folder, *options, "-b", 4, "--workers", 0, "--output", tmp_path]
    command += [] if "--img-size" in options else ["--img-size", 64]
    message = sentence(run(*command, "--experiment", "run", ok=False))
    assert words in message
    assert not (tmp_path / "run" / "last.pth.tar").exists()


def test_a_transformer_of_another_size_is_validated_at_it(folder: Path, tmp_path: Path) -> None:
    command = ["main.py", folder, "--model", "vit_tiny_patch16_224", "--img-size", 64, "-b", 4]
    command += [
        "--workers",
        0,
        "--epochs",
        1,
        "--warmup-epochs",
        0,
        "--output",
        tmp_path,
        "--experiment",
        "a",
    ]
    run(*command, "--model-kwargs", "img_size=64")
    run("validate.py", folder, "--checkpoint", tmp_path / "a" / "last.pth.tar", "--workers", 0)


def test_fine_tuning_from_a_file_without_a_head(folder: Path, tmp_path: Path) -> None:
    weights = timm.create_model("test_resnet").state_dict()
    torch.save({k: v for k, v in weights.items() if not k.startswith("fc.")}, tmp_path / "a.pth")
    command = ["main.py", folder, "--model", "test_resnet", "--img-size", 32, "-b", 4, "--workers", 0]
    command += ["--epochs", 1, "--warmup-epochs", 0, "--output", tmp_path, "--experiment", "a"]
    done = run(*command, "--finetune", tmp_path / "a.pth")
    assert "freshly initialised fc.weight, fc.bias" in done.stderr


@pytest.mark.parametrize("name", ["levit_128s", "mixer_s32_224", "test_vit"])
def test_teachers_without_maps(folder: Path, tmp_path: Path, name: str) -> None:
    model = timm.create_model(name, num_classes=3)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    command = ["generate_labels.py", folder, "--model", name]
    command += ["--checkpoint", tmp_path / "a.pth", "--labels", tmp_path / "labels", "--workers", 0]
    message = sentence(run(*command, "--img-size", model.default_cfg["input_size"][-1], ok=False))
    assert "has no feature map, so it cannot label tokens" in message


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_image_of_torchvisions_folder(copy: Path, tmp_path: Path, workers: int) -> None:
    image = copy / "train" / "class_1" / "train1_3.png"
    image.write_bytes(image.read_bytes()[:300])
    message = error_of(copy, tmp_path / "out", "--dataset", "torch/image_folder", "--workers", workers)
    assert f"{image}: not a readable image" in message


def test_classes_that_the_model_does_not_have(copy: Path, tmp_path: Path) -> None:
    """Streams have no names: a class beyond the model's is found when it is read."""
    from lvt_classify.data.classes import ClassIndex
    from lvt_core.errors import UserError

    index = ClassIndex(3)
    assert index(2) == 2
    for target in (3, -1):
        with pytest.raises(UserError, match=f"has the class {target}, but the model has 3 classes"):
            index(target)


@pytest.mark.parametrize("option", ["--results-file", "--predictions-file"])
def test_results_that_cannot_be_written_are_named_before_the_validation(
    option: str, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "text").touch()
    (tmp_path / "a.csv").mkdir()
    for path in (tmp_path / "text" / "a.csv", tmp_path / "a.csv"):
        done = run("validate.py", folder, "--checkpoint", tmp_path / "a.pth", option, path, ok=False)
        assert "cannot write" in sentence(done) and str(path.parent) in sentence(done)
        assert "top-1" not in done.stdout


def test_a_folder_has_one_run_at_a_time(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with held(tmp_path / "run") as holder:
        message = sentence(run(*train_command(folder, tmp_path), ok=False))
        assert f"{tmp_path / 'run'}: process {holder.pid} on " in message
        assert "wait for its end, or name another folder" in message
