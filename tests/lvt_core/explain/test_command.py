"""``lvt explain`` writes one page that needs no other file, and rejects mistakes in one sentence."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image

from lvt_core import LVT, LVTConfig, SegFormer
from lvt_core.checkpoint import save_checkpoint
from lvt_core.cli import main
from lvt_core.errors import UserError
from tests.small import SMALL, attending

FACTS: dict[str, Any] = {"data_config": {"input_size": (3, 65, 90)}}


def save(model: torch.nn.Module, path: Path, **facts: Any) -> str:
    fields = {key: value for key, value in SMALL.items() if key != "num_classes"}
    model_kwargs = fields | facts.pop("model_kwargs", {})
    save_checkpoint(attending(model), path, **FACTS | {"model_kwargs": model_kwargs} | facts)
    return str(path)


@pytest.fixture
def classifier(tmp_path: Path) -> str:
    return save(timm.create_model("lvt_cls", **SMALL), tmp_path / "cls.pth", classes=["<b>", *"abcd"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


class Reader(HTMLParser):
    """A reader that checks that elements close, and collects images and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in ("img", "meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(path: Path) -> Reader:
    html, reader = path.read_text(encoding="utf-8"), Reader()
    reader.feed(html)
    assert not reader.open
    links = re.findall(r"(?:src|href)=\"([^\"]*)\"|url\(([^)]*)\)", html)
    assert all("".join(link).startswith("data:") for link in links)
    assert "<script" not in html
    for image in reader.images:
        uri = image["src"] or ""
        Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))).load()
        assert image["alt"]
    return reader


def test_a_classifiers_page(classifier: str, photo: Path, here: Path, capsys) -> None:
    main(["explain", str(photo), "--with", classifier, "--at", "40,30"])
    page = read_page(here / "photo-explained.html")
    assert [path.name for path in here.iterdir()] == ["photo-explained.html"]
    assert "from the point 40,30" in capsys.readouterr().out
    assert len(page.images) == 2 + 4 + 3 * 5 + 4  # prediction, CSA, three RASA stages, variants
    for words in ("Point: 40,30", "3 x 3 places", "Step 2", "Query, rate 5", "only at test time"):
        assert words in page.text
    assert re.search(r"Predicted class of the photo: (<b>|[abcd]), [\d.]+ %", page.text)


def test_a_segformers_page(photo: Path, here: Path) -> None:
    network = save(SegFormer(LVTConfig(**SMALL), embed_dim=16), here / "seg.pth")
    main(["explain", str(photo), "--with", network, "--save", "page.html", "--block", "3.1"])
    page = read_page(here / "page.html")
    assert "CSA mixes" not in page.text
    assert len(page.images) == 2 + 5 + 4
    assert "128 x 184 places" in page.text  # 512 x 736 pixels


def test_a_network_without_recursion_and_rates(photo: Path, here: Path) -> None:
    plain: dict[str, Any] = {"mixers": ("rasa",) * 4, "atrous_rates": None, "num_recursions": 1}
    model = SegFormer(LVTConfig(**SMALL, **plain), embed_dim=16)
    main(["explain", str(photo), "--with", save(model, here / "a.pth", model_kwargs=plain)])
    page = read_page(here / "photo-explained.html")
    assert len(page.images) == 2 + 4 + 1
    assert "Query" not in page.text and "CSA mixes" not in page.text


def test_the_point_is_the_most_certain_token(classifier: str, photo: Path, here: Path, capsys) -> None:
    main(["explain", str(photo), "--with", classifier, "--save", "a.html"])
    x, y = map(int, re.findall(r"from the point (\d+),(\d+)", capsys.readouterr().out)[0])
    main(["explain", str(photo), "--with", classifier, "--save", "b.html", "--at", f"{x},{y}"])
    certain, given = (read_page(here / name) for name in ("a.html", "b.html"))
    assert certain.text == given.text
    assert f"the largest value is at {x},{y}" in (certain.images[1]["alt"] or "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--at", "12"], r"--at 12: must be two whole numbers; pass X,Y in pixels, such as 120,80$"),
        (["--at", "70,3"], r"--at 70,3: lies outside of the photo of 70 x 50 pixels; pass X from 0 to 69"),
        (["--at", "0,3"], r"--at 0,3: lies outside of the crop"),
        (["--block", "5.1"], r"--block 5.1: does not exist; the network has 1.1, 2.1, 3.1, 4.1$"),
        (["--save", "page.png"], r"--save page.png: must end in .html"),
        (["--save", "file/page.html"], r"--save file/page.html: cannot write .*; pass a file"),
        (
            ["--save", "folder.html"],
            r"--save folder.html: cannot write .*: it is a folder; pass a file",
        ),
        (["--with", "lvt_cls"], r"--with lvt_cls: names an untrained network; pass a checkpoint$"),
        (["--with", "none.pth"], r"none.pth: no such checkpoint"),
    ],
)
def test_mistakes_are_sentences(
    classifier: str, photo: Path, here: Path, words: list[str], message: str
) -> None:
    (here / "file").touch()
    (here / "folder.html").mkdir()
    with pytest.raises(UserError, match=message):
        main(["explain", str(photo), "--with", classifier, *words])
    assert sorted(path.name for path in here.iterdir()) == ["file", "folder.html"]


def test_wrong_photos_are_sentences(classifier: str, here: Path) -> None:
    with pytest.raises(UserError, match="none.jpg: no such picture"):
        main(["explain", "none.jpg", "--with", classifier])
    Path("text.jpg").write_text("no picture")
    with pytest.raises(UserError, match="text.jpg: cannot be read as a picture"):
        main(["explain", "text.jpg", "--with", classifier])


def test_networks_that_cannot_be_explained(photo: Path, here: Path) -> None:
    save(LVT(LVTConfig(**SMALL)), here / "backbone.pth")
    four = {"in_chans": 4}
    save(timm.create_model("lvt_cls", **SMALL, **four), here / "four.pth", model_kwargs=four)
    broken = timm.create_model("lvt_cls", **SMALL)
    torch.nn.init.constant_(broken.aux_head.bias, float("nan"))
    save(broken, here / "broken.pth")
    for name, message in {
        "backbone": "contains a backbone, which has no task",
        "four": "takes 4 channels",
        "broken": "aux_head.bias has values that are NaN or infinite",
    }.items():
        with pytest.raises(UserError, match=f"--with.*{message}"):
            main(["explain", str(photo), "--with", f"{name}.pth"])
    assert not list(here.glob("*.html"))
