"""One reader for pictures: training, validation, label maps and the gate see the same upright pixels."""

from __future__ import annotations

import io
import random
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lvt_classify.data.dataset import open_dataset
from lvt_classify.data.decode import prepare, resized_crop, upright_size
from lvt_classify.data.loader import data_config, train_loader, validation_loader
from lvt_classify.data.transforms import TrainTransform
from lvt_classify.generate_labels import View
from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options
from lvt_classify.runtime import Runtime
from lvt_core.export.gate.labelled import ClassifiedImages
from lvt_predict.pictures import EXIF_ORIENTATION, SUFFIXES, read_picture
from tests.commands import run, train, train_command
from tests.lvt_classify.data.test_decode import MEAN, photo

CPU = torch.device("cpu")
SIDE = 64
KINDS = ("rgb", "grey16", "grey", "palette", "one_bit", "alpha", "animated", "cmyk", "exif_jpg", "exif_png")


def write_picture(folder: Path, kind: str, seed: int) -> Path:
    """Write a picture of a kind."""
    rng = np.random.default_rng(seed)
    pixels = np.kron(rng.integers(0, 256, (6, 9, 3)), np.ones((12, 12, 1))).astype(np.uint8)
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}{seed}.png"
    if kind == "grey16":
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 256 + 77).save(path)
    elif kind == "animated":
        path = path.with_suffix(".gif")
        image.save(path, save_all=True, append_images=[Image.new("RGB", image.size)])
    elif kind in ("cmyk", "exif_jpg"):
        path = path.with_suffix(".jpg")
        image.convert("CMYK" if kind == "cmyk" else "RGB").save(path, exif=exif, quality=95)
    elif kind == "exif_png":
        image.save(path, exif=exif)
    elif kind in SUFFIXES:
        path = path.with_suffix(kind)
        (image.convert("L") if kind == ".pgm" else image).save(path)
    else:
        modes = {"rgb": "RGB", "grey": "L", "palette": "P", "one_bit": "1", "alpha": "RGBA"}
        image.convert(modes[kind]).save(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("kinds")
    for split in ("train", "val"):
        for index, kind in enumerate((*KINDS, *SUFFIXES)):
            write_picture(root / split / f"class_{index % 2}", kind, index)
    return root


def options(folder: Path, *argv: str) -> TrainOptions:
    words = [str(folder), "--img-size", str(SIDE), "--workers", "0", "-b", "1", *argv]
    return parse_options(TrainOptions, words, shared=option_names())


def validation_images(o: TrainOptions) -> list[torch.Tensor]:
    dataset = open_dataset(o, "validation", training=False)
    config = data_config(o, torch.nn.Identity())
    images = validation_loader(o, Runtime(CPU, 0, 1, None), dataset, config).dataset
    return [images[index].image for index in range(len(dataset))]  # type: ignore[index, union-attr]


@pytest.mark.parametrize("exif", [True, False])
def test_validation_and_gate_see_the_same_pixels(data: Path, exif: bool) -> None:
    o = options(data, "--crop-pct", "1", *([] if exif else ["--no-exif"]))
    ours = validation_images(o)
    gate = ClassifiedImages(
        data, (SIDE, SIDE), num_classes=2, crop_pct=1.0, mean=(0,) * 3, std=(1,) * 3, exif=exif
    )
    theirs = [image for image, _ in gate]
    assert len(ours) == len(theirs) == len(KINDS) + len(SUFFIXES)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy() / 255, b[0], atol=1e-6)


@pytest.mark.parametrize("kind", (*KINDS, *SUFFIXES))
def test_training_and_label_maps_see_what_a_viewer_shows(kind: str, tmp_path: Path) -> None:
    path = write_picture(tmp_path, kind, 1)
    shown = read_picture(path)
    whole = ["--scale", "1", "1", "--hflip", "0", "--color-jitter", "0", "--train-interpolation", "bilinear"]
    ratio = shown.width / shown.height
    transform = TrainTransform(options(tmp_path, *whole, "--ratio", str(ratio), str(ratio)), mean=MEAN)
    expected = np.asarray(shown.resize((SIDE, SIDE), Image.Resampling.BILINEAR)).astype(int)
    image, _ = transform(Image.open(path))
    assert np.abs(image.permute(1, 2, 0).numpy() - expected).mean() < 1
    seen = View(SIDE, "full", "bilinear")(Image.open(path)).permute(1, 2, 0).numpy()
    assert np.abs(seen - expected).max() <= 1


@pytest.mark.parametrize("number", range(1, 9))
def test_a_turned_jpeg_is_cropped_where_it_is_shown(number: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = number
    Image.open(io.BytesIO(photo(1001, 803))).save(tmp_path / "a.jpg", exif=exif, quality=95)
    shown = read_picture(tmp_path / "a.jpg")
    scales = set()
    for box in ((0, 0, shown.height, shown.width), (333, 101, 402, 568), (77, 9, 50, 90)):
        image, turned = prepare(Image.open(tmp_path / "a.jpg"))
        assert upright_size(image, turned) == (shown.height, shown.width)
        width = image.width
        crop = resized_crop(image, box, (48, 64), "bilinear", turned)
        scales.add(round(width / image.width))
        top, left, h, w = box
        wanted = shown.crop((left, top, left + w, top + h)).resize((64, 48), Image.Resampling.BILINEAR)
        difference = np.abs(np.asarray(crop).astype(int) - np.asarray(wanted))
        assert difference.mean() < 2
        other = np.asarray(wanted.transpose(Image.Transpose.ROTATE_180)).astype(int)
        assert difference.mean() < np.abs(other - np.asarray(wanted)).mean() / 4
    assert {1, 8} <= scales  # also the JPEGs that are decoded at a part of their size


def test_the_draws_are_those_of_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 8
    Image.open(io.BytesIO(photo(901, 403))).save(tmp_path / "a.jpg", exif=exif)
    transform = TrainTransform(options(tmp_path), mean=MEAN)
    geometries = []
    for image in (Image.open(tmp_path / "a.jpg"), read_picture(tmp_path / "a.jpg")):
        random.seed(3)
        if image.format is None:
            image.info.pop("exif", None)
        geometries.append(transform(image)[1])
    assert torch.equal(*geometries)


def test_all_formats_are_taken_and_the_rest_is_named(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for index, suffix in enumerate(SUFFIXES):
            write_picture(tmp_path / split / "mixed", suffix, index)
        for index in range(4):
            write_picture(tmp_path / split / "only_webp", ".webp", index)
        (tmp_path / split / "mixed" / "notes.txt").write_text("no picture")
        (tmp_path / split / "mixed" / ".hidden").write_text("no picture")
    done = run(*train_command(tmp_path, tmp_path / "out", "--epochs", 1))
    count = len(SUFFIXES) + 4
    assert f"{count} training and {count} validation images" in done.stderr
    assert "val: left out, because they are not pictures: 1 .txt" in done.stderr
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        tar.add(tmp_path / "train", arcname="train")
    assert len(open_dataset(options(tmp_path / "train.tar"), "train", training=True)) == count


@pytest.mark.parametrize("dataset", ["torch/image_folder", ""])
def test_every_reader_turns_pictures(dataset: str, tmp_path: Path) -> None:
    path = write_picture(tmp_path / "val" / "a", "exif_jpg", 1)
    write_picture(tmp_path / "val" / "b", "grey16", 2)
    (image, grey) = validation_images(options(tmp_path, "--crop-pct", "1", "--dataset", dataset))
    shown = read_picture(path)
    short = min(shown.size)
    left, top = (shown.width - short) // 2, (shown.height - short) // 2
    square = shown.crop((left, top, left + short, top + short)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    assert np.abs(image.permute(1, 2, 0).numpy().astype(int) - np.asarray(square)).mean() < 6
    assert grey.float().std() > 30  # not all white


def test_shards_turn_pictures(tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    path = write_picture(tmp_path, "exif_jpg", 1)
    with tarfile.open(tmp_path / "val-0000.tar", "w") as tar:
        tar.add(path, arcname="a.jpg")
        label = tarfile.TarInfo("a.cls")
        label.size = 1
        tar.addfile(label, io.BytesIO(b"0"))
    seen = []
    for name, root in (("wds/x", tmp_path), ("", tmp_path / "folder")):
        if not name:
            (root / "val" / "a").mkdir(parents=True)
            shutil.copy(path, root / "val" / "a")
        o = options(root, "--dataset", name, "--num-classes", "1")
        dataset = open_dataset(o, "val-{0000..0000}.tar|1" if name else "val", training=False)
        config = data_config(o, torch.nn.Identity())
        ((images, _),) = validation_loader(o, Runtime(CPU, 0, 1, None), dataset, config)
        seen.append(images)
    assert torch.equal(*seen)


def test_the_published_recipe_reads_files_as_they_are() -> None:
    from tests.commands import TASK

    recipe = TASK / "configs" / "lvt_imagenet.py"
    assert not options(Path("x"), "--cfg", str(recipe)).exif
    assert options(Path("x")).exif
    assert "# the published evaluation reads files as they are" in recipe.read_text()


def test_turned_scans_are_as_good_as_upright_ones(folder: Path, tmp_path: Path) -> None:
    """Training and validation see the same images however they are stored."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 3
    for path in folder.rglob("*.png"):
        target = tmp_path / "data" / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).transpose(Image.Transpose.ROTATE_180).save(target, exif=exif)
    runs = [
        train(data, tmp_path, "--epochs", 1, "--train-interpolation", "bilinear", name=str(index))
        for index, data in enumerate((folder, tmp_path / "data"))
    ]
    first, second = (torch.load(path / "last.pth.tar", weights_only=True) for path in runs)
    rows = [content["position"]["history"][0] for content in (first, second)]
    assert rows[0]["eval_loss"] == rows[1]["eval_loss"]
    assert rows[0]["train_loss"] == rows[1]["train_loss"]


def test_a_loader_trains_on_every_kind(data: Path) -> None:
    o = options(data, "-b", "7")
    dataset = open_dataset(o, "train", training=True)
    config = data_config(o, torch.nn.Identity())
    batches = list(train_loader(o, Runtime(CPU, 0, 1, None), dataset, config))
    assert len(batches) == (len(KINDS) + len(SUFFIXES)) // 7
