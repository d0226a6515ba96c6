"""One opener for all networks: what a file says is used, what it does not say is named."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from mmengine.registry import DefaultScope, init_default_scope
from mmseg.apis import inference_model, init_model
from PIL import Image
from timm.data import create_transform

import lvt_core
from lvt_core import cli
from lvt_core.errors import UserError
from lvt_core.export.panoptic.gate import predict_as_trained
from lvt_core.hub import save_pretrained
from lvt_core.predict.open_panoptic import open_panoptic
from lvt_core.predict.preparation import read_preparation
from lvt_predict.images import normalize
from lvt_predict.photo.predictors import PanopticPredictor, Predictor
from lvt_predict.photo.prepare import Aligned, Crop, Inside, Proportional, Stretch, Unchanged, pad
from lvt_predict.photo.results import Classification, Panoptic, Segmentation
from tests.lvt_core.predict.conftest import NAMES, STUFF, THINGS
from tests.small import SMALL, attending


def load(files: dict[str, Path], name: str, **options: Any) -> Predictor:
    return lvt_core.load(files[name], **options)


def test_a_classifier_is_prepared_as_it_was_validated(files: dict[str, Path], photo: Path) -> None:
    predictor = load(files, "lvt_cls")
    result = predictor.predict(photo)
    assert isinstance(result, Classification) and predictor.notes == ()
    assert predictor.prepare == Crop((64, 64), 0.9, "bicubic")
    transform = create_transform((3, 64, 64), is_training=False, interpolation="bicubic", crop_pct=0.9)
    images = transform(Image.open(photo))[None].numpy()
    (expected,) = predictor.network(images)  # type: ignore[attr-defined]
    np.testing.assert_allclose(result.scores, torch.from_numpy(expected[0]).softmax(0), rtol=1e-5)
    assert result.classes.names == list(NAMES) and result.scores.max() > 0.3
    assert str(result).splitlines()[0].endswith(NAMES[int(expected[0].argmax())])


def test_a_segmentor_predicts_what_mmsegmentation_does(
    files: dict[str, Path], photo: Path, tmp_path: Path
) -> None:
    result = load(files, "segformer").predict(photo)
    assert isinstance(result, Segmentation) and result.labels.shape == (121, 150)
    base = Path(lvt_core.__file__).parents[1] / "configs/segmentation/lvt/segformer.lvt.512x512.ade.160k.py"
    (tmp_path / "config.py").write_text(
        f'_base_ = "{base}"\n'
        "test_pipeline = [dict(type='LoadImageFromFile'), dict(type='AlignedResize', scale=(256, 64)),\n"
        "    dict(type='LoadAnnotations'), dict(type='PackSegInputs')]\n"
        "model = dict(backbone=dict(embed_dims=(16, 16, 32, 32), num_heads=(2, 2, 2, 2),\n"
        "    depths=(1, 1, 1, 1), init_cfg=None),\n"
        "    decode_head=dict(in_channels=(16, 16, 32, 32), channels=16, num_classes=5))\n"
    )
    model = init_model(str(tmp_path / "config.py"), device="cpu")
    lvt_core.load_checkpoint(model, files["segformer"])
    expected = inference_model(model, str(photo)).pred_sem_seg.data[0].numpy()
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(result.labels, expected)


def test_a_panoptic_network_is_built_from_the_settings_in_its_file(
    files: dict[str, Path], photo: Path
) -> None:
    predictor = load(files, "panoptic")
    assert isinstance(predictor, PanopticPredictor) and predictor.notes == ()
    assert predictor.prepare == Proportional(96, 64)
    result = predictor.predict(photo)
    assert isinstance(result, Panoptic) and result.classes.names == (*THINGS, *STUFF)
    network = open_panoptic(files["panoptic"].with_name("tiny.py"), files["panoptic"])
    pixels = predictor.prepare(Image.open(photo))
    images = pad(normalize(pixels[None], predictor.mean, predictor.std), None, -2)
    expected = predict_as_trained(network, images, pixels.shape[:2], (121, 150))
    assert len(expected.segments) > 2 and any(segment.is_thing for segment in expected.segments)
    assert [s.label for s in result.map.segments] == [s.label for s in expected.segments]
    assert (result.map.ids == expected.ids).mean() > 0.999


def test_options(files: dict[str, Path], photo: Path) -> None:
    assert load(files, "lvt_cls", size=(96, 64)).prepare == Crop((96, 64), 0.9, "bicubic")
    assert load(files, "segformer").prepare == Aligned(256, 64)
    assert load(files, "segformer", size=(64, 64)).prepare == Stretch((64, 64))
    predictor = load(files, "panoptic", size=(64, 96), config=files["panoptic"].with_name("tiny.py"))
    assert predictor.prepare == Inside((64, 96)) and predictor.predict(photo).photo.shape == (121, 150, 3)
    for name in ("lvt_cls", "segformer"):
        half = load(files, name, amp=True, device="cpu").predict(photo)
        assert type(half) is type(load(files, name).predict(photo))


def test_all_forms_of_a_photo_are_equal(files: dict[str, Path], photo: Path) -> None:
    predictor = load(files, "lvt_cls")
    image = Image.open(photo)
    pixels = np.asarray(image)
    forms = [
        str(photo), photo, io.BytesIO(photo.read_bytes()), image, pixels, torch.from_numpy(pixels.copy()),
        torch.from_numpy(pixels.copy()).permute(2, 0, 1),
    ]  # fmt: skip
    for form in forms:
        np.testing.assert_array_equal(predictor.predict(form).scores, predictor.predict(photo).scores)  # type: ignore[attr-defined]
    batch = list(predictor.predict_all(forms, batch_size=3))
    assert len(batch) == 7
    np.testing.assert_allclose(batch[5].scores, batch[0].scores, rtol=1e-4)  # type: ignore[attr-defined]
    grey = np.full((40, 50), 99, np.uint8)
    np.testing.assert_array_equal(predictor.predict(grey).photo, np.full((40, 50, 3), 99))


def test_exif_is_respected(files: dict[str, Path], photo: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.open(photo).save(tmp_path / "turned.png", exif=exif)
    predictor = load(files, "segformer")
    assert predictor.predict(tmp_path / "turned.png").photo.shape == (150, 121, 3)
    assert predictor.predict(tmp_path / "turned.png", exif=False).photo.shape == (121, 150, 3)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((4, 4, 3)), "photo: is float64; must be a path, a PIL image, or uint8 values"),
        (5, "photo: is int; must be"),
        (np.zeros((4, 4, 4), np.uint8), r"photo: has the shape \(4, 4, 4\); must be \(height, width, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"photo: has the shape \(0, 4, 3\)"),
        ("nowhere.png", "nowhere.png: no such picture"),
        (torch.zeros(3, 4, 4), "photo: is float32"),
    ],
)
def test_wrong_photos_are_sentences(files: dict[str, Path], photo: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(files, "lvt_cls").predict(photo)


def test_a_bare_original_file_says_what_is_assumed(tmp_path: Path) -> None:
    lvt_core.save_checkpoint(timm.create_model("lvt_cls"), tmp_path / "bare.pth", layout="original")
    predictor = lvt_core.load(tmp_path / "bare.pth")
    assert predictor.classes.names[0] == "tench" and predictor.prepare == Crop((224, 224), 0.96, "bicubic")
    assert "ImageNet's names are used" in predictor.notes[0]
    assert "the published recipe is used" in predictor.notes[1]


def test_a_timm_classifier_of_a_training_run(tmp_path: Path, photo: Path) -> None:
    model = timm.create_model("resnet10t", num_classes=3)
    content = {"state_dict": model.state_dict(), "arch": "resnet10t", "classes": ["a", "b", "c"]}
    torch.save(content, tmp_path / "a.pth")
    result = lvt_core.load(tmp_path / "a.pth").predict(photo)
    assert isinstance(result, Classification) and len(result.scores) == 3
    torch.save({"state_dict": model.state_dict()}, tmp_path / "b.pth")
    with pytest.raises(UserError, match="b.pth: contains no LVT, and does not name a model of timm"):
        lvt_core.load(tmp_path / "b.pth")


def test_wrong_networks_are_sentences(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    for source, options, message in (
        (files["lvt"], {}, "lvt.pth: contains a backbone, which has no task; name a checkpoint with a head"),
        (tmp_path / "no.pth", {}, "no.pth: no such checkpoint"),
        (tmp_path / "text.pth", {}, "text.pth: not a readable checkpoint"),
        (tmp_path, {}, "is a folder without model.json; name a checkpoint"),
        (files["lvt_cls"], {"config": "a.py"}, "--config: does not apply to .*lvt_cls.pth"),
        (files["lvt_cls"], {"device": "tpu9"}, "--device tpu9: is unavailable here; choose cpu or auto"),
        (files["lvt_cls"], {"size": (16, 16)}, None),
    ):
        if message:
            with pytest.raises(UserError, match=message):
                lvt_core.load(source, **options)
        else:
            with pytest.raises(UserError, match="input of 16 x 16 pixels: LVT supports images of at least"):
                lvt_core.load(source, **options).predict(np.zeros((40, 40, 3), np.uint8))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="--device cuda: is unavailable here"):
            load(files, "lvt_cls", device="cuda")


def test_settings_in_a_file_run_no_code(files: dict[str, Path], tmp_path: Path, photo: Path) -> None:
    """A hostile config in a checkpoint neither runs nor chooses classes."""
    content = torch.load(files["panoptic"])
    trap = tmp_path / "trap"
    text = content["meta"]["cfg"]
    assert "type='LVT'" in text
    attack = (
        f"import os; os.system('touch {trap}')\n__import__('os').system('touch {trap}')\n{text}\n"
        f"x = __import__('pathlib').Path('{trap}').touch()\n"
    ).replace("type='LVT'", f"type='os.mkdir', path='{trap}'")
    torch.save(content | {"meta": {**content["meta"], "cfg": attack}}, tmp_path / "bad.pth")
    message = r"bad.pth: its run had model.backbone.type='os.mkdir', not 'LVT'; pass --config FILE"
    with pytest.raises(UserError, match=message):
        lvt_core.load(tmp_path / "bad.pth")
    attack = attack.replace("'os.mkdir'", "'LVT'").replace(f", path='{trap}'", "")
    torch.save(content | {"meta": {**content["meta"], "cfg": attack}}, tmp_path / "bad.pth")
    result = lvt_core.load(tmp_path / "bad.pth").predict(photo)
    assert json.loads(result.to_json())["height"] == 121 and not trap.exists()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([{"type": "LoadImageFromFile"}, {"type": "PackSegInputs"}], Unchanged()),
        ([{"type": "Resize", "scale_factor": 1.0}], Unchanged()),
        ([{"type": "Resize", "scale": (300, 100), "keep_ratio": True}], Proportional(300, 100)),
        ([{"type": "AlignedResize", "scale": [100, 300]}], Aligned(300, 100)),
        (
            [
                {
                    "type": "MultiScaleFlipAug",
                    "img_scale": (900, 90),
                    "transforms": [{"type": "AlignedResize"}],
                }
            ],
            Aligned(900, 90),
        ),
        ([], Aligned()),
    ],
)
def test_the_size_of_tests_comes_from_the_settings(steps: list[dict[str, Any]], expected: Any) -> None:
    prepare, note = read_preparation({"test_pipeline": steps}, Aligned(), file="a.pth")
    assert prepare == expected and bool(note) == (not steps)


@pytest.mark.parametrize(
    "step",
    [
        {"type": "Resize", "scale": (300, 100)},
        {"type": "Resize", "scale_factor": 0.5},
        {"type": "ResizeShortestEdge", "scale": 400},
    ],
)
def test_another_resizing_is_rejected(step: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="a.pth: its run resized photos by .*not supported; pass --size"):
        read_preparation({"test_pipeline": [step]}, Aligned(), file="a.pth")


def test_a_panoptic_network_leaves_the_callers_scope(files: dict[str, Path]) -> None:
    """Names in configs of mmsegmentation must be found after a network of mmdetection was opened."""
    init_default_scope("mmseg")
    load(files, "panoptic")
    assert DefaultScope.get_current_instance().scope_name == "mmseg"


@pytest.mark.parametrize("trained", [True, False])
def test_pictures_are_turned_as_in_training(
    trained: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hub folder and an export have the fact too; a command line has the last word."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    torch.manual_seed(0)
    model = attending(timm.create_model("lvt_cls", **SMALL))
    kwargs = {key: SMALL[key] for key in ("embed_dims", "num_heads", "depths")}
    facts = {
        "arch": "lvt_cls",
        "model_kwargs": kwargs,
        "data_config": {"input_size": (3, 64, 64), "exif": trained},
    }
    torch.save({"state_dict": model.state_dict(), **facts}, tmp_path / "a.pth")
    save_pretrained(tmp_path / "a.pth", tmp_path / "hub")
    cli.main(["export", str(tmp_path / "a.pth"), "--to", "onnx", "--output", str(tmp_path / "onnx")])
    stored = lvt_core.load(tmp_path / "a.pth").predict(pixels).scores  # type: ignore[attr-defined]
    turned = lvt_core.load(tmp_path / "a.pth").predict(np.rot90(pixels, -1).copy()).scores  # type: ignore[attr-defined]
    for name in ("a.pth", "hub", "onnx"):
        predictor = lvt_core.load(tmp_path / name)
        for option, expected in (
            (None, turned if trained else stored),
            (not trained, stored if trained else turned),
        ):
            scores = predictor.predict(tmp_path / "a.png", exif=option).scores  # type: ignore[attr-defined]
            np.testing.assert_allclose(scores, expected, rtol=1e-4)
        for words, expected in (
            ([], turned if trained else stored),
            (["--exif"], turned),
            (["--no-exif"], stored),
        ):
            capsys.readouterr()
            cli.main(["predict", str(tmp_path / "a.png"), "--with", str(tmp_path / name), "--json", *words])
            first = json.loads(capsys.readouterr().out)["classes"][0]
            assert first["score"] == pytest.approx(float(expected.max()), abs=2e-6), (name, words)
