"""``lvt predict`` from photos to tables, pictures and masks, and ``lvt-predict`` without PyTorch."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lvt_core
from lvt_core import cli
from lvt_core.errors import UserError
from lvt_core.panoptic.annotations import read_images
from lvt_core.panoptic.quality import read_map
from lvt_predict.photo import command as exported_command
from tests.lvt_core.predict.conftest import NAMES, STUFF, THINGS
from tests.lvt_predict.photo.test_sources import write_video
from tests.small import run_without

Files = dict[str, Path]


@pytest.fixture(scope="session")
def exported(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Folders that `lvt export` wrote, for OpenVINO, which converts quickly."""
    made = {}
    for name, size in (("lvt_cls", ()), ("segformer", ("--size", "64"))):
        made[name] = tmp_path_factory.mktemp("exports") / name
        cli.main(["export", str(files[name]), "--to", "openvino", *size, "--output", str(made[name])])
    return made


def predict(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[str, str]:
    """Run ``lvt predict``; return what it prints and what it notes."""
    capsys.readouterr()
    cli.main(["predict", *map(str, words)])
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_a_table_a_picture_and_json(files: Files, photo: Path, tmp_path: Path, capsys) -> None:
    out, _ = predict(capsys, photo, "--with", files["lvt_cls"], "--save", tmp_path / "out", "--top", 2)
    lines = out.splitlines()
    assert lines[0] == str(photo) and len(lines) == 3
    assert lines[1].split()[-1] in NAMES
    with Image.open(tmp_path / "out" / "photo.png") as picture:
        assert picture.height > 121
    out, _ = predict(capsys, photo, photo, "--with", files["lvt_cls"], "--json", "--batch-size", 2)
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 2 and rows[0]["source"] == str(photo) and len(rows[0]["classes"]) == 5


def test_masks_of_a_segmentor(files: Files, photo: Path, tmp_path: Path, capsys) -> None:
    predict(capsys, photo, "--with", files["segformer"], "--masks", tmp_path / "masks")
    mask = np.asarray(Image.open(tmp_path / "masks" / "photo.png"))
    result = lvt_core.load(files["segformer"]).predict(photo)
    np.testing.assert_array_equal(mask, result.labels)  # type: ignore[attr-defined]


def test_masks_have_the_values_of_the_training_masks(
    files: Files, photo: Path, tmp_path: Path, capsys
) -> None:
    content = torch.load(files["segformer"])
    content["meta"]["dataset_meta"]["mask_values"] = [0, 50, 100, 150, 255]
    torch.save(content, tmp_path / "own.pth")
    words = ["export", str(tmp_path / "own.pth"), "--to", "pt2", "--size", "64"]
    cli.main([*words, "--output", str(tmp_path / "export")])
    for name, trust in (("own.pth", ()), ("export", ("--trust",))):
        predict(capsys, photo, *trust, "--with", tmp_path / name, "--masks", tmp_path / "masks")
        values = set(np.unique(np.asarray(Image.open(tmp_path / "masks" / "photo.png"))))
        assert len(values) > 1 and values <= {0, 50, 100, 150, 255}


def test_masks_of_a_panoptic_network_are_cocos(files: Files, photo: Path, tmp_path: Path, capsys) -> None:
    out, _ = predict(capsys, photo, "--with", files["panoptic"], "--masks", tmp_path, "--json")
    segments = json.loads(out)["segments"]
    assert len(segments) > 2
    (image,) = read_images(tmp_path / "panoptic.json", (*THINGS, *STUFF), THINGS)
    assert (image.width, image.height, image.file_name) == (150, 121, "photo.png")
    ids = read_map(tmp_path / str(image.map_name))
    pixels = {segment["id"]: segment["pixels"] for segment in segments}
    assert {int(i): int((ids == i).sum()) for i in np.unique(ids) if i} == pixels


def test_an_exported_folder_gives_the_same(
    files: Files, exported: Files, photo: Path, tmp_path: Path, capsys
) -> None:
    for name, more in (("lvt_cls", ()), ("segformer", ("--size", 64))):
        ours, _ = predict(capsys, photo, "--with", files[name], "--json", *more)
        theirs, _ = predict(capsys, photo, "--with", exported[name], "--json")
        capsys.readouterr()
        exported_command.main([str(photo), "--with", str(exported[name]), "--json"])
        assert capsys.readouterr().out == theirs
        rows = [json.loads(each)["classes"] for each in (ours, theirs)]
        assert [row["class"] for row in rows[0]] == [row["class"] for row in rows[1]]
        kind = "score" if name == "lvt_cls" else "pixels"
        values = [[row[kind] for row in each] for each in rows]
        np.testing.assert_allclose(values[1], values[0], rtol=1e-3 if name == "lvt_cls" else 0)


def test_an_exported_folder_needs_no_pytorch(exported: Files, photo: Path) -> None:
    script = (
        "from lvt_predict.photo.command import main\nmain([sys.argv[1], '--with', sys.argv[2], '--json'])\n"
        "import lvt_predict\nassert str(lvt_predict.load(sys.argv[2]).predict(sys.argv[1]))\n"
    )
    printed = run_without(("torch", "timm", "torchvision", "lvt_core"), script, photo, exported["segformer"])
    assert json.loads(printed)["height"] == 121


def test_a_broken_picture_is_reported_and_the_rest_goes_on(
    files: Files, photo: Path, tmp_path: Path, capsys
) -> None:
    shutil.copy(photo, tmp_path / "a.png")
    (tmp_path / "b.jpg").write_text("no picture")
    shutil.copy(photo, tmp_path / "c.png")
    (tmp_path / "notes.txt").write_text("")
    for size in ("1", "8"):
        with pytest.raises(SystemExit) as stopped:
            predict(capsys, tmp_path, "--with", files["lvt_cls"], "--json", "--batch-size", size)
        assert stopped.value.code == 1
        printed = capsys.readouterr()
        assert [Path(json.loads(line)["source"]).name for line in printed.out.splitlines()] == [
            "a.png",
            "c.png",
        ]
        assert "b.jpg: cannot be read as a picture" in printed.err
        assert "note: left out 1 other files: 1 with .txt" in printed.err
        assert "1 of 3 could not be predicted" in printed.err


def test_a_photo_that_the_network_rejects_spares_the_others(
    files: Files, photo: Path, tmp_path: Path, capsys
) -> None:
    shutil.copy(photo, tmp_path / "a.png")
    Image.new("RGB", (2000, 1)).save(tmp_path / "b.png")
    shutil.copy(photo, tmp_path / "c.png")
    with pytest.raises(SystemExit):
        predict(capsys, tmp_path, "--with", files["lvt_cls"], "--size", 16, "--json", "--batch-size", 4)
    assert capsys.readouterr().err.count("input of 16 x 16 pixels: LVT supports images of at least") == 3


def test_a_video(files: Files, tmp_path: Path, capsys) -> None:
    video = write_video(tmp_path / "v.mp4", 4)
    out, _ = predict(
        capsys,
        video,
        "--with",
        files["segformer"],
        "--save",
        tmp_path / "o",
        "--masks",
        tmp_path / "m",
        "--json",
    )
    assert [json.loads(line)["frame"] for line in out.splitlines()] == [0, 1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "m" / "v").iterdir())[-1] == "000003.png"
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["v.mp4"]
    predict(capsys, tmp_path / "o" / "v.mp4", "--with", files["lvt_cls"], "--json")


def test_mistakes_are_sentences(files: Files, exported: Files, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    network = ["--with", files["lvt_cls"]]
    for words, message in (
        ([photo, *network, "--masks", tmp_path], "--masks: a classifier has no masks; --json prints"),
        ([photo, *network, "--save", tmp_path / "file"], "cannot write into the output folder .*file"),
        (
            [photo, "--with", files["segformer"], "--save", tmp_path, "--masks", tmp_path],
            "is the folder of --save",
        ),
        ([photo, *network, "--size", 1, 2, 3], "--size 1 2 3: must be a side, or height and width"),
        ([photo, "--with", exported["lvt_cls"], "--size", 64], "--size: does not apply to .*lvt_cls"),
        ([photo, "--with", tmp_path / "none.pth"], "none.pth: no such checkpoint"),
        ([tmp_path / "none.jpg", *network], "none.jpg: no such picture, folder or pattern"),
        ([photo, *network, "--batch-size", 0], "--batch-size: 0: must be a positive whole number"),
    ):
        with pytest.raises(UserError, match=message):
            cli.main(["predict", *map(str, words)])
    for name, why in (("none", "no such folder"), ("file", "name the folder that lvt export wrote")):
        with pytest.raises(UserError, match=f"--with .*{name}: {why}"):
            exported_command.main([str(photo), "--with", str(tmp_path / name)])


def test_panoptic_networks_cannot_be_explained(files: Files, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains a panoptic network, which lvt explain does not support"):
        cli.main(
            ["explain", str(photo), "--with", str(files["panoptic"]), "--save", str(tmp_path / "a.html")]
        )


def test_the_memory_of_a_long_video_stays_flat(files: Files, tmp_path: Path, capsys) -> None:
    words = ("--with", files["segformer"], "--save", tmp_path / "o", "--masks", tmp_path / "m", "--json")
    peaks = []
    for frames in (20, 20, 120):  # the first one fills caches
        video = write_video(tmp_path / f"{frames}.mp4", frames, size=(320, 240))
        tracemalloc.start()
        predict(capsys, video, *words)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.05 * peaks[1], peaks


def test_a_panoptic_hub_folder_is_the_checkpoint(
    files: Files, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["hub", str(tmp_path / "hub"), str(files["panoptic"])])
    assert "Panoptic FPN with LVT" in (tmp_path / "hub" / "README.md").read_text()
    ours, theirs = (
        predict(capsys, photo, "--with", it, "--json") for it in (files["panoptic"], tmp_path / "hub")
    )
    assert json.loads(ours[0]) == json.loads(theirs[0]) and "note" not in theirs[1]
