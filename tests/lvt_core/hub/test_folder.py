"""Hub folders: timm, our opener and `SegFormer.from_pretrained` read what `lvt hub` writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from timm.data import resolve_model_data_config

import lvt_core
import lvt_core.hub
from lvt_core import LVT, LVTConfig, SegFormer, cli
from lvt_core.errors import UserError
from lvt_core.hub import from_pretrained, push_to_hub
from lvt_predict.photo.prepare import Aligned
from tests.small import SMALL, attending

KWARGS: dict[str, Any] = {key: SMALL[key] for key in ("embed_dims", "num_heads", "depths")}
NAMES = ["cat", "dog", "bird", "cow", "horse"]
PICTURES = {"input_size": (3, 64, 64), "crop_pct": 0.9, "mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}
VALUES = [0, 2, 4, 6, 8]
X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def checkpoint(path: Path, name: str, **more: Any) -> Path:
    """Save a small classifier as a training run does."""
    torch.manual_seed(1)
    model = attending(timm.create_model(name, **SMALL, **more))
    content = {"state_dict": model.state_dict(), "arch": name, "model_kwargs": {**KWARGS, **more}}
    torch.save(content | {"data_config": PICTURES, "classes": NAMES}, path)
    return path


@pytest.mark.parametrize("name", ["lvt", "lvt_cls"])
@pytest.mark.parametrize("more", [{}, {"atrous_rates": (), "num_recursions": 1}])
def test_timm_loads_a_classifier(name: str, more: dict[str, Any], tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "a.pth", name, **more)
    cli.main(["hub", str(tmp_path / "hub"), str(file), "--license", "mit", "--metric", "top-1 12.5 %"])
    assert sorted(path.name for path in (tmp_path / "hub").iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip
    model = timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True).eval()
    expected = timm.create_model(name, **SMALL, **more).eval()
    lvt_core.load_checkpoint(expected, file)
    with torch.inference_mode():
        torch.testing.assert_close(model(X), expected(X), rtol=0, atol=0)
    config = resolve_model_data_config(model)
    assert (config["input_size"], config["crop_pct"], tuple(config["std"])) == ((3, 64, 64), 0.9, (0.2,) * 3)
    assert json.loads((tmp_path / "hub" / "config.json").read_text())["label_names"] == NAMES
    card = (tmp_path / "hub" / "README.md").read_text()
    assert (
        "license: mit" in card
        and "| Result | top-1 12.5 % |" in card
        and "| Training data | unknown |" in card
    )


def test_our_opener_reads_a_hub_folder_as_the_checkpoint(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "a.pth", "lvt_cls")
    lvt_core.hub.save_pretrained(file, tmp_path / "hub")
    photo = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    ours, theirs = (lvt_core.load(source) for source in (file, tmp_path / "hub"))
    assert ours.prepare == theirs.prepare and theirs.classes.names == NAMES and theirs.notes == ()
    np.testing.assert_array_equal(ours.predict(photo).scores, theirs.predict(photo).scores)  # type: ignore[attr-defined]


def test_a_segmentor(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = attending(SegFormer(LVTConfig(**SMALL, atrous_rates=None), embed_dim=16))
    meta = {
        "dataset_meta": {"classes": NAMES, "palette": [[i, i, i] for i in range(5)], "mask_values": VALUES},
        "cfg": "test_pipeline = [dict(type='AlignedResize', scale=(256, 64))]",
    }  # fmt: skip
    kwargs = {**KWARGS, "atrous_rates": None}
    torch.save({"state_dict": model.state_dict(), "model_kwargs": kwargs, "meta": meta}, tmp_path / "a.pth")
    cli.main(["hub", str(tmp_path / "hub"), str(tmp_path / "a.pth")])
    loaded = SegFormer.from_pretrained(str(tmp_path / "hub"))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(X), model(X), rtol=0, atol=0)
    predictor = lvt_core.load(tmp_path / "hub")
    assert predictor.prepare == Aligned(256, 64) and predictor.classes.names == NAMES
    assert list(predictor.classes.values) == VALUES and predictor.notes == ()
    loaded.save_pretrained(str(tmp_path / "again"))
    with torch.inference_mode():
        torch.testing.assert_close(from_pretrained(tmp_path / "again")(X), model(X), rtol=0, atol=0)


def test_pushing_uploads_the_folder_to_a_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []
    server = tmp_path / "server"

    class Hub:
        def create_repo(self, name: str, **options: Any) -> None:
            calls.append((name, options))

        def upload_folder(self, *, repo_id: str, folder_path: str, allow_patterns: list[str]) -> str:
            shutil.copytree(folder_path, server)
            return f"https://hub/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    file = checkpoint(tmp_path / "a.pth", "lvt_cls")
    cli.main(["hub", str(tmp_path / "hub"), str(file), "--push", "me/lvt", "--private"])
    assert calls == [("me/lvt", {"exist_ok": True, "private": True})]
    assert timm.create_model(f"local-dir:{server}", pretrained=True).num_classes == 5


def test_a_download_comes_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    SegFormer(LVTConfig(**SMALL), embed_dim=16).save_pretrained(str(tmp_path / "hub"))
    asked: list[Any] = []

    def download(name: str, **options: Any) -> str:
        asked.append((name, options))
        return str(tmp_path / "hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert from_pretrained("me/segformer", revision="v1").config.num_classes == 5
    assert asked == [
        ("me/segformer", {"allow_patterns": ["config.json", "model.safetensors"], "revision": "v1"})
    ]


def test_mistakes_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    file = checkpoint(tmp_path / "a.pth", "lvt_cls")
    torch.save({"neck.conv.weight": torch.zeros(1)}, tmp_path / "panoptic.pth")
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "resnet.pth")
    backbone = {"state_dict": LVT(LVTConfig(**SMALL)).state_dict(), "model_kwargs": KWARGS}
    torch.save(backbone, tmp_path / "lvt.pth")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    for words, message in (
        (
            ["hub", "panoptic.pth"],
            "panoptic.pth: has no settings of its run, which a panoptic hub",
        ),
        (["hub", "resnet.pth"], "resnet.pth: contains no LVT; use timm.models.save_for_hf"),
        (["hub", "lvt.pth"], "lvt.pth: contains a backbone without a task"),
        (["hub", "none.pth"], "none.pth: no such checkpoint"),
        (["full", "a.pth"], "full: already exists, and not only as a hub folder; choose another"),
        (["a.pth", "a.pth"], "a.pth: already exists, and not only as a hub folder"),
        (["a.pth/hub", "a.pth"], "cannot write into the output folder .*a.pth"),
    ):
        with pytest.raises(UserError, match=message):
            cli.main(["hub", *(str(tmp_path / word) for word in words)])
    assert not (tmp_path / "hub").exists() and (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    lvt_core.hub.save_pretrained(file, tmp_path / "hub")
    with pytest.raises(UserError, match="config.json: does not describe a segformer_lvt; lvt_core.load"):
        from_pretrained(tmp_path / "hub")
    with pytest.raises(UserError, match="me/none: no such folder, and not on the hub"):
        from_pretrained("me/none")
    (tmp_path / "hub" / "README.md").unlink()
    with pytest.raises(UserError, match="hub: has no README.md; `lvt hub` writes them"):
        push_to_hub(tmp_path / "hub", "me/lvt")


def test_an_earlier_hub_folder_is_replaced(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "a.pth", "lvt_cls")
    for name in ("mit", "apache-2.0"):
        cli.main(["hub", str(tmp_path / "hub"), str(file), "--license", name])
    assert "license: apache-2.0" in (tmp_path / "hub" / "README.md").read_text()
