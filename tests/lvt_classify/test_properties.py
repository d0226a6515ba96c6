"""Properties of random label sets and random folders of pictures."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from lvt_classify.data.classes import index_classes, read_class_map
from lvt_classify.data.dataset import Images, Sample, open_dataset
from lvt_classify.data.loader import data_config, validation_loader
from lvt_classify.data.transforms import TrainTransform
from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options
from lvt_classify.runtime import Runtime
from lvt_core.errors import UserError
from lvt_core.export.gate.labelled import ClassifiedImages
from lvt_predict.pictures import EXIF_ORIENTATION, SUFFIXES
from tests.lvt_classify.data.test_decode import MEAN

NAMES = st.text(min_size=1, max_size=6)
FOLDERS = (
    st.text("abcÄ雨0129 ._-", min_size=1, max_size=5)
    .map(str.strip)
    .filter(lambda name: name.strip(".") and not name.startswith("."))
)
SIDE = 32


def index(names: list[str], known: dict[str, int] | None, num_classes: int) -> Any:
    reader = SimpleNamespace(class_to_idx={name: place for place, name in enumerate(names)})
    dataset = SimpleNamespace(reader=reader)
    return index_classes(dataset, known, num_classes=num_classes, class_map="", data="DATA", model="MODEL")


@pytest.mark.slow
@settings(max_examples=6000, deadline=None)
@given(st.data(), st.lists(NAMES, min_size=1, max_size=8, unique=True))
def test_any_label_set_maps_by_name(data: st.DataObject, names: list[str]) -> None:
    places = st.lists(st.integers(0, 40), min_size=len(names), max_size=len(names))
    known = dict(zip(names, data.draw(places), strict=True))
    num_classes = max(known.values()) + 1 + data.draw(st.integers(0, 3))
    others = data.draw(st.lists(NAMES, max_size=2))
    drawn = data.draw(st.lists(st.sampled_from([*names, *others]), min_size=1, max_size=8, unique=True))
    if set(drawn) <= set(names):
        found = index(drawn, known, num_classes)
        assert [found(place) for place in range(len(drawn))] == [known[name] for name in drawn]
        return
    with pytest.raises(UserError) as caught:
        index(drawn, known, num_classes)
    unknown = next(name for name in drawn if name not in known)
    assert repr(unknown) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(st.lists(FOLDERS, min_size=1, max_size=6), st.booleans())
def test_any_class_map_is_read_as_its_lines_say(names: list[str], mark: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.txt"
        path.write_text("\n".join(names), encoding="utf-8-sig" if mark else "utf-8")
        if len(set(names)) == len(names):
            assert read_class_map(str(path), "") == {name: line for line, name in enumerate(names)}
        else:
            with pytest.raises(UserError, match="in the lines"):
                read_class_map(str(path), "")


@st.composite
def pictures(draw: Any) -> tuple[str, bytes]:
    """Draw a suffix and the bytes of a picture of any kind, turned or damaged."""
    width, height = draw(st.integers(1, 50)), draw(st.integers(1, 50))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    mode = draw(st.sampled_from(("RGB", "L", "P", "1", "RGBA", "LA", "CMYK", "I;16", "I", "F")))
    kind = draw(st.sampled_from(("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")))
    if mode in ("I;16", "I", "F"):
        kinds = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
        image = Image.fromarray(
            rng.integers(-9 if mode == "I" else 0, 65536, (height, width)).astype(kinds[mode])
        )
    else:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = draw(st.integers(0, 9))
    file = io.BytesIO()
    try:
        image.save(file, kind, exif=exif)
    except (OSError, ValueError):  # the format does not have this mode
        file = io.BytesIO()
        image.convert("RGB").save(file, kind, exif=exif)
    content = file.getvalue()
    cut = draw(st.sampled_from((None, None, None, None, 0.0, 0.3, 0.9)))
    if cut is not None:
        content = content[: int(cut * len(content))]
    return draw(st.sampled_from(SUFFIXES)), content  # a suffix may lie


def options(folder: str, *argv: str) -> TrainOptions:
    words = [folder, "--img-size", str(SIDE), "--workers", "0", "-b", "1", *argv]
    return parse_options(TrainOptions, words, shared=option_names())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(FOLDERS, pictures()), min_size=1, max_size=4), st.booleans())
def test_any_folder_is_read_alike_or_rejected_in_a_sentence(
    files: list[tuple[str, tuple[str, bytes]]], exif: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, (name, (suffix, content)) in enumerate(files):
            for split in ("train", "val"):
                path = root / split / name / f"{number}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        o = options(folder, "--crop-pct", "1", *([] if exif else ["--no-exif"]))
        training = Images(open_dataset(o, "train", training=True), TrainTransform(o, mean=MEAN))
        config = data_config(o, torch.nn.Identity())
        val = open_dataset(o, "val", training=False)
        validation: Any = validation_loader(o, Runtime(torch.device("cpu"), 0, 1, None), val, config).dataset
        classes = len({name for name, _ in files})
        shape: Any = {"num_classes": classes, "crop_pct": 1.0, "mean": (0,) * 3, "std": (1,) * 3}
        gate = ClassifiedImages(root, (SIDE, SIDE), exif=exif, **shape)
        assert len(training) == len(validation) == len(gate._judging) == len(files)
        for place, (path, label) in enumerate(gate._judging):
            trained, judged = training[0, place], validation[place]
            if isinstance(judged, Sample):
                assert isinstance(trained, Sample)
                assert judged.target == trained.target == label
                np.testing.assert_allclose(judged.image.numpy() / 255, gate._image(path)[0], atol=1e-6)
                continue
            for error in (trained, judged):
                assert isinstance(error, UserError)
                assert "not a readable image" in str(error)
                assert "\n" not in str(error)
            with pytest.raises(UserError):
                gate._image(path)
