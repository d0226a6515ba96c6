"""Classes have names: every command matches them by name, or says what differs."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
from pathlib import Path

import pytest
import timm
import torch

import lvt_core
from tests.commands import run, sentence, train, train_command, write_folder

VALIDATE = ["-b", 4, "--workers", 0, "--device", "cpu"]


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory) -> Path:
    """Return a run that has learned its three classes, or nearly."""
    return train(folder, tmp_path_factory.mktemp("runs"), "--epochs", 8, "--lr", "5e-3", "--scale", 0.5, 1)


def validated(data: Path, checkpoint: Path, folder: Path, *options: object) -> tuple[dict, list[dict]]:
    """Return the result and the predictions of validate.py."""
    run(
        *["validate.py", data, "--checkpoint", checkpoint, *VALIDATE, *options],
        *["--results-file", folder / "r.json", "--predictions-file", folder / "p.csv"],
    )
    with open(folder / "p.csv", newline="") as file:
        return json.loads((folder / "r.json").read_text())[0], list(csv.DictReader(file))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "data"))


def test_a_folder_without_a_class_is_matched_by_name(
    copy: Path, folder: Path, trained: Path, tmp_path: Path
) -> None:
    _, whole = validated(folder, trained / "last.pth.tar", tmp_path)
    shutil.rmtree(copy / "val" / "class_0")
    result, rows = validated(copy, trained / "last.pth.tar", tmp_path)
    kept = [row for row in whole if not row["file"].startswith("class_0")]
    assert [(r["file"], r["label"], r["prediction_name"]) for r in rows] == [
        (r["file"], r["label"], r["prediction_name"]) for r in kept
    ]
    assert all(row["label_name"] == row["file"].split("/")[0] for row in rows)
    assert result["top1"] == pytest.approx(100 * sum(r["label"] == r["prediction"] for r in kept) / len(kept))
    assert result["top1"] > 50


def test_a_renamed_folder_is_rejected_unless_a_map_gives_its_index(
    copy: Path, folder: Path, trained: Path, tmp_path: Path
) -> None:
    checkpoint = trained / "last.pth.tar"
    (copy / "val" / "class_0").rename(copy / "val" / "zebra")
    message = sentence(run("validate.py", copy, "--checkpoint", checkpoint, *VALIDATE, ok=False))
    assert (
        f"{copy}: has the classes 'zebra', which {checkpoint} does not know, and lacks 'class_0'" in message
    )
    assert message.endswith("rename the folders, or give each an index of the model with --class-map FILE")
    (tmp_path / "map.txt").write_text("\ufeffzebra\nclass_1\nclass_2\n", encoding="utf-8")
    expected, _ = validated(folder, checkpoint, tmp_path)
    result, rows = validated(copy, checkpoint, tmp_path, "--class-map", tmp_path / "map.txt")
    assert (result["top1"], result["samples"]) == (expected["top1"], 15)
    assert {row["label_name"] for row in rows} == {"class_0", "class_1", "class_2"}


def test_a_map_of_a_part_leaves_the_rest_out(folder: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "map.txt").write_text("\n\nclass_2\n")
    result, rows = validated(folder, trained / "last.pth.tar", tmp_path, "--class-map", tmp_path / "map.txt")
    assert result["samples"] == 5
    assert {(row["label"], row["label_name"]) for row in rows} == {("2", "class_2")}


def test_a_map_that_contradicts_the_checkpoint_is_rejected(
    folder: Path, trained: Path, tmp_path: Path
) -> None:
    checkpoint = trained / "last.pth.tar"
    for text, words in (
        ("class_1\nclass_0\n", "gives 'class_1' the index 0, but in"),
        ("a\nb\nc\nclass_0\n", "gives 'class_0' the index 3, but"),
        ("class_0\nclass_1\nclass_0\n", "has 'class_0' in the lines 1 and 3; remove one"),
        ("\n\n", "has no name of a class"),
    ):
        (tmp_path / "map.txt").write_text(text)
        command = ["validate.py", folder, "--checkpoint", checkpoint, *VALIDATE]
        assert words in sentence(run(*command, "--class-map", tmp_path / "map.txt", ok=False))


def test_maps_have_any_indices(folder: Path, tmp_path: Path) -> None:
    """The number of classes is the largest index + 1, as timm counts; names are looked up by index."""
    path = tmp_path / "map.pkl"
    path.write_bytes(pickle.dumps({"class_0": 100, "class_1": 5, "class_2": 7, "absent": 5}))
    out = train(folder, tmp_path, "--epochs", 1, "--class-map", path)
    content = torch.load(out / "last.pth.tar", weights_only=True)
    assert content["state_dict"]["head.weight"].shape[0] == 101
    assert content["classes"][5] == "class_1"
    assert content["classes"][0] is None
    _, rows = validated(folder, out / "last.pth.tar", tmp_path)
    labels = {row["file"].split("/")[0]: (row["label"], row["label_name"]) for row in rows}
    expected = {"class_0": ("100", "class_0"), "class_1": ("5", "class_1"), "class_2": ("7", "class_2")}
    assert labels == expected


@pytest.mark.parametrize("content", [{"a": -1}, {"a": "0"}, {}, ["a"], {"a": True}, {"a": 1.0}], ids=str)
def test_maps_of_odd_content_are_rejected(folder: Path, tmp_path: Path, content: object) -> None:
    path = tmp_path / "map.pkl"
    path.write_bytes(pickle.dumps(content))
    message = sentence(run(*train_command(folder, tmp_path, "--class-map", path), ok=False))
    assert f"--class-map {path}: must " in message


def test_resuming_keeps_the_classes_names(copy: Path, folder: Path, trained: Path, tmp_path: Path) -> None:
    run_folder = Path(shutil.copytree(trained, tmp_path / "run"))
    options = ["--epochs", 8, "--lr", "5e-3", "--scale", 0.5, 1, "--resume", run_folder / "last.pth.tar"]
    for split in ("train", "val"):
        (copy / split / "class_0").rename(copy / split / "zebra")
    message = sentence(run(*train_command(copy, tmp_path, *options), ok=False))
    assert "has the classes 'zebra', which" in message
    assert "last.pth.tar does not know, and lacks 'class_0'" in message
    run(*train_command(folder, tmp_path, *options))


def test_a_new_run_on_other_classes_starts_with_a_fresh_head(
    copy: Path, trained: Path, tmp_path: Path
) -> None:
    for split in ("train", "val"):
        (copy / split / "class_0").rename(copy / split / "zebra")
    options = ["--epochs", 1, "--lr", 0, "--min-lr", 0, "--finetune", trained / "last.pth.tar"]
    done = run(*train_command(copy, tmp_path, *options, name="other"))
    assert "freshly initialised head.weight" in done.stderr
    assert "because the classes differ" in done.stderr
    before, after = (
        torch.load(path / "last.pth.tar", weights_only=True)["state_dict"]
        for path in (trained, tmp_path / "other")
    )
    assert not torch.equal(before["head.weight"], after["head.weight"])
    assert torch.equal(before["cls_token"], after["cls_token"])


def test_a_model_without_names_needs_as_many_classes(folder: Path, copy: Path, tmp_path: Path) -> None:
    lvt_core.save_checkpoint(timm.create_model("lvt_cls", num_classes=3), tmp_path / "a.pth")
    done = run("validate.py", folder, "--checkpoint", tmp_path / "a.pth", "--img-size", 32, *VALIDATE)
    assert "has no class names; the data set's classes are matched by their order" in done.stderr
    shutil.rmtree(copy / "val" / "class_1")
    command = ["validate.py", copy, "--checkpoint", tmp_path / "a.pth", "--img-size", 32, *VALIDATE]
    message = sentence(run(*command, ok=False))
    assert f"{copy}: has 2 classes, but {tmp_path / 'a.pth'} has 3 classes without names" in message


def test_folders_of_imagenet_are_matched_by_their_synsets(folder: Path, tmp_path: Path) -> None:
    lvt_core.save_checkpoint(timm.create_model("lvt_cls"), tmp_path / "a.pth")
    names = {"n01440764": 0, "n01484850": 2, "n15075141": 999}
    for split in ("train", "val"):
        for name, old in zip(names, ("class_0", "class_1", "class_2"), strict=True):
            shutil.copytree(folder / split / old, tmp_path / "data" / split / name)
    _, rows = validated(tmp_path / "data", tmp_path / "a.pth", tmp_path, "--img-size", 32)
    assert {row["label_name"]: int(row["label"]) for row in rows} == names
    out = train(tmp_path / "data", tmp_path, "--epochs", 1, "--num-classes", 1000)
    content = torch.load(out / "last.pth.tar", weights_only=True)
    assert {name: content["class_to_idx"][name] for name in names} == names


def test_label_maps_have_the_classes_of_their_teacher(folder: Path, trained: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    command = ["generate_labels.py", folder, "--labels", labels, "--workers", 0]
    run(*command, "--checkpoint", trained / "last.pth.tar")
    assert (labels / "classes.txt").read_text() == "class_0\nclass_1\nclass_2\n"
    options = ["--token-label", "--token-label-data", labels, "--epochs", 1]
    run(*train_command(folder, tmp_path, *options, name="good"))
    (tmp_path / "map.txt").write_text("class_1\nclass_0\nclass_2\n")
    message = sentence(
        run(*train_command(folder, tmp_path, *options, "--class-map", tmp_path / "map.txt"), ok=False)
    )
    assert "its maps give 'class_1' the index 1, this run 0; train with --class-map" in message


def test_a_teacher_of_other_classes_labels_nothing(folder: Path, trained: Path, tmp_path: Path) -> None:
    lvt_core.save_checkpoint(timm.create_model("lvt_cls"), tmp_path / "teacher.pth")
    two = write_folder(tmp_path / "two", classes=2)
    labels = tmp_path / "labels"
    command = ["generate_labels.py", two, "--labels", labels, "--workers", 0, "--img-size", 32]
    message = sentence(run(*command, "--checkpoint", tmp_path / "teacher.pth", ok=False))
    assert f"{two}: has 2 classes, but the teacher {tmp_path / 'teacher.pth'} has 1000 classes" in message
    assert "--class-map FILE" in message
    assert not list(labels.rglob("*.pt"))
    options = ["--token-label", "--token-label-teacher", "lvt_cls", "--epochs", 1]
    options += ["--teacher-checkpoint", tmp_path / "teacher.pth"]
    message = sentence(run(*train_command(two, tmp_path, *options), ok=False))
    assert "the teacher has 1000 classes, not 2" in message
    assert "--class-map FILE" in message
    options[-1] = trained / "last.pth.tar"
    (tmp_path / "map.txt").write_text("class_1\nclass_0\nclass_2\n")
    message = sentence(
        run(*train_command(folder, tmp_path, *options, "--class-map", tmp_path / "map.txt"), ok=False)
    )
    assert "the teacher gives 'class_1' the index 1, this run 0" in message


def test_label_maps_without_names_need_all_classes(folder: Path, tmp_path: Path) -> None:
    options = ["--token-label", "--token-label-data", folder / "labels", "--num-classes", 9]
    message = sentence(run(*train_command(folder, tmp_path, *options), ok=False))
    assert "its maps name classes by index; say which index each of the data set's 3 classes has" in message


def test_images_outside_of_class_folders_are_no_class(copy: Path, tmp_path: Path) -> None:
    image = next((copy / "train" / "class_0").iterdir())
    image.rename(copy / "train" / "stray.png")
    message = sentence(run(*train_command(copy, tmp_path), ok=False))
    assert message.endswith("stray.png: is in no class folder; the folder of an image is its class")


class _Touches:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_class_map_runs_no_code(folder: Path, tmp_path: Path) -> None:
    path, touched = tmp_path / "map.pkl", tmp_path / "touched"
    path.write_bytes(pickle.dumps({"class_0": 0, "class_1": _Touches(touched)}))
    done = run(*train_command(folder, tmp_path, "--class-map", path), ok=False)
    assert "which could run code" in sentence(done)
    assert not touched.exists()
