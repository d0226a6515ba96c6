"""The train and test commands, run on a tiny data set as a user runs them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lvt_core import LVT, LVTConfig, save_checkpoint
from lvt_core.checkpoint.names import to_lvt, to_original
from lvt_core.checkpoint.read import read_checkpoint
from lvt_core.panoptic.annotations import read_images
from lvt_core.panoptic.quality import Segment, check_map, count_matches, read_map
from lvt_det.metrics import summarize
from tests.commands import run, sentence
from tests.det_commands import CATEGORIES, TASK, det, tiny_file, train

META = {"classes": ("square", "box", "grass", "sky"), "thing_classes": ("square", "box")}


def test_train_resume_test_and_format(config: Path, tmp_path: Path, splits) -> None:
    run_a, run_b = tmp_path / "a", tmp_path / "b"
    done = train(config, run_a)
    assert "PQ_th" in done.stdout + done.stderr
    assert read_checkpoint(run_a / "epoch_2.pth")["meta"]["epoch"] == 2
    train(config, run_b, "--no-validate", "--cfg-options", "train_cfg.max_epochs=1")
    done = train(config, run_b, "--no-validate", "--resume")
    assert "resumed epoch: 1, iter: 2" in done.stdout + done.stderr
    longer = ["--cfg-options", "train_cfg.max_epochs=9", "param_scheduler.1.end=9"]
    done = train(config, run_b, "--no-validate", "--resume", *longer, ok=False)
    assert "has param_scheduler.1.end=2, the config 9; a run keeps its schedule" in sentence(done)
    for run_dir in (run_a, run_b):  # both optimizers have made four steps
        steps = read_checkpoint(run_dir / "epoch_2.pth")["optimizer"]["state"]
        assert {float(state["step"]) for state in steps.values()} == {4.0}

    results, show, name = tmp_path / "results.json", tmp_path / "show", tmp_path / "panoptic_val_lvt_results"
    options = ["--results-file", results, "--out", name, "--show-dir", show, "--work-dir", tmp_path / "t"]
    done = det("tools/test.py", config, run_a / "epoch_2.pth", "--eval", "PQ", *options)
    found = json.loads(results.read_text())
    assert set(found["classes"]) == set(META["classes"]) and "grass" in done.stdout + done.stderr
    listed = json.loads(Path(f"{name}.json").read_text())["annotations"]
    # The files for the server, read back and counted again, have the reported quality.
    label = {entry["id"]: META["classes"].index(entry["name"]) for entry in CATEGORIES}
    counts = 0
    for image, entry in zip(
        read_images(splits[1].annotations, META["classes"], META["thing_classes"]), listed, strict=True
    ):
        assert entry["image_id"] == image.id
        ids = read_map(name / entry["file_name"])
        check_map(ids, [s["id"] for s in entry["segments_info"]], entry["file_name"])
        for segment in entry["segments_info"]:
            assert segment["area"] == (ids == segment["id"]).sum() > 0
        segments = [Segment(s["id"], label[s["category_id"]]) for s in entry["segments_info"]]
        truth = read_map(Path(splits[1].maps) / image.map_name)
        counts = counts + count_matches(truth, image.segments, ids, segments, 4)
        assert Image.open(show / entry["file_name"]).width == 3 * 96 + 2 * 6
    metrics, _ = summarize(counts, META)
    for key, value in metrics.items():
        assert found[key] == pytest.approx(value) or (found[key] is None and np.isnan(value)), key
    with zipfile.ZipFile(f"{name}.zip") as archive:
        assert set(archive.namelist()) == {
            f"{name.name}.json", *(f"{name.name}/p0{i}.png" for i in range(3))
        }  # fmt: skip
        assert json.loads(archive.read(f"{name.name}.json"))["annotations"] == listed


def test_format_only_needs_no_truth(config: Path, tmp_path: Path, splits) -> None:
    checkpoint = tiny_file(config, tmp_path / "ours.pth")
    path = Path(splits[1].annotations)
    content = json.loads(path.read_text())
    del content["annotations"]  # as in image_info_test-dev2017.json
    path.write_text(json.dumps(content))
    for file in Path(splits[1].maps).iterdir():
        file.unlink()
    options = [config, checkpoint, "--work-dir", tmp_path / "t"]
    assert "val.json has no annotation of image 7" in sentence(det("tools/test.py", *options, ok=False))
    det(
        "tools/test.py", *options, "--format-only", "--out", tmp_path / "res", "--show-dir", tmp_path / "show"
    )
    listed = json.loads((tmp_path / "res.json").read_text())["annotations"]
    assert [entry["image_id"] for entry in listed] == [7, 8, 9]
    assert Image.open(tmp_path / "show/p00.png").width == 2 * 96 + 6


@pytest.mark.slow
def test_images_of_another_file_and_in_folders(config: Path, tmp_path: Path, splits) -> None:
    """As for COCO's test-dev: categories from the annotations, images from a file that has nothing else."""
    checkpoint = tiny_file(config, tmp_path / "ours.pth")
    images = []
    for i, folder in enumerate(("cam1", "cam2")):
        (tmp_path / "new" / folder).mkdir(parents=True)
        Image.new("RGB", (96, 64), (90 * i, 80, 70)).save(tmp_path / "new" / folder / "x.jpg")
        images.append({"id": 50 + i, "file_name": f"{folder}/x.jpg", "height": 64, "width": 96})
    info = tmp_path / "image_info.json"
    info.write_text(json.dumps({"images": images, "categories": [{"id": 5, "name": "square"}]}))
    options = ["--image-info", info, "--work-dir", tmp_path / "t", "--out", tmp_path / "res"]
    folder = ["--cfg-options", f"test_dataloader.dataset.data_prefix.img={tmp_path}/new"]
    done = det("tools/test.py", config, checkpoint, *options, *folder, ok=False)
    assert "--image-info: requires --format-only" in sentence(done)
    show = ["--show-dir", tmp_path / "show"]
    det("tools/test.py", config, checkpoint, "--format-only", *options, *show, *folder)
    listed = json.loads((tmp_path / "res.json").read_text())["annotations"]
    assert [(e["image_id"], e["file_name"]) for e in listed] == [(50, "cam1/x.png"), (51, "cam2/x.png")]
    for name in ("cam1/x.png", "cam2/x.png"):
        assert (tmp_path / "res" / name).is_file() and (tmp_path / "show" / name).is_file()
    with zipfile.ZipFile(tmp_path / "res.zip") as archive:
        assert set(archive.namelist()) == {"res.json", "res/cam1/x.png", "res/cam2/x.png"}


@pytest.mark.slow
def test_the_originals_file_tests_like_ours(config: Path, tmp_path: Path) -> None:
    ours = tiny_file(config, tmp_path / "ours.pth")
    original = tmp_path / "original.pth"
    save_checkpoint(to_original(torch.load(ours, weights_only=True)), original)
    assert any(key.startswith("backbone.backbone.0.0.") for key in torch.load(original, weights_only=True))
    found = []
    for path in (ours, original):
        results = tmp_path / f"{path.stem}.json"
        det("tools/test.py", config, path, "--results-file", results, "--work-dir", tmp_path / "t")
        found.append(json.loads(results.read_text()))
    assert found[0] == found[1]


@pytest.mark.slow
def test_backbone_weights_and_fine_tuning(config: Path, tmp_path: Path) -> None:
    small = LVTConfig(embed_dims=(8, 8, 16, 16), num_heads=(2, 2, 2, 2), depths=(1, 1, 1, 1))
    save_checkpoint(LVT(small), tmp_path / "backbone.pth")
    with config.open("a") as file:
        named = f'dict(_delete_=True, type="Pretrained", checkpoint="{tmp_path}/backbone.pth")'
        file.write(f'model["backbone"]["init_cfg"] = {named}\nmodel["backbone"]["frozen_stages"] = 4\n')
    options = ["--no-validate", "--cfg-options", "train_cfg.max_epochs=1"]
    train(config, tmp_path / "run", *options)
    trained = to_lvt(read_checkpoint(tmp_path / "run/epoch_1.pth")["state_dict"])
    for key, value in read_checkpoint(tmp_path / "backbone.pth").items():
        assert torch.equal(trained[f"backbone.{key}"], value), key
    # A model of other classes: what fits is kept, if one asks for it.
    with config.open("a") as file:
        file.write('model["semantic_head"]["inner_channels"] = 8\n')
    start = ["--load-from", tmp_path / "run/epoch_1.pth", *options]
    assert "semantic_head" in sentence(train(config, tmp_path / "b", *start, ok=False))
    done = train(config, tmp_path / "b", "--reset-head", *start)
    assert "freshly initialised semantic_head" in done.stdout + done.stderr


def test_mixed_precision_and_many_scales(config: Path, tmp_path: Path) -> None:
    with config.open("a") as file:
        file.write("train_scales = [(120, 48), (160, 96)]\n")
    train(config, tmp_path / "run", "--amp", "--no-validate", "--cfg-options", "train_cfg.max_epochs=1")


@pytest.mark.slow
def test_two_processes_test_as_one(config: Path, tmp_path: Path, monkeypatch) -> None:
    """Three images over two processes: the one that fills up the second does not count twice."""
    monkeypatch.setenv("PORT", "29873")
    checkpoint = tiny_file(config, tmp_path / "model.pth")
    found = []
    for words in (["tools/test.py", config, checkpoint], ["./tools/dist_test.sh", config, checkpoint, 2]):
        results, out = tmp_path / f"{len(found)}.json", tmp_path / f"out{len(found)}"
        options = ["--work-dir", tmp_path / "t", "--results-file", results, "--out", out, "--eval", "PQ"]
        run(*words, *options, task=TASK)
        found.append((json.loads(results.read_text()), json.loads(Path(f"{out}.json").read_text())))
    assert found[0] == found[1]


@pytest.mark.slow
def test_two_processes_train(config: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PORT", "29874")
    options = ["--work-dir", tmp_path / "run", "--cfg-options", "train_dataloader.batch_size=1"]
    run("./tools/dist_train.sh", config, 2, *options, task=TASK)
    assert read_checkpoint(tmp_path / "run/epoch_2.pth")["meta"]["iter"] == 4


def test_speed_and_cost(config: Path, tmp_path: Path) -> None:
    options = ["--num-images", 3, "--warmup", 1, "--cost-size", 64, 96]
    many = ["--cfg-options", "model.test_cfg.rcnn.score_thr=0.0"]
    done = det("tools/fps.py", config, *options, *many)
    for part in (
        "network: ",
        "with post-processing: ",
        "fusion (post-processing)",
        "GMACs  semantic",
        " 3 images)",
    ):
        assert part in done.stdout
    done = det("tools/fps.py", config, "--num-images", 1, ok=False)
    assert "--num-images must be at least 2" in sentence(done)
