"""Hub folders: timm, our opener and `SegFormer.from_pretrained` read what `lvt hub` writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
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
def test_timm_loads_a_classifier(
    name: str, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    code = card.split("```python\n")[1].split("print(")[0]  # as a reader pastes it, beside the folder
    monkeypatch.chdir(tmp_path)
    pasted: dict[str, Any] = {}
    exec(code, pasted)
    with torch.inference_mode():
        torch.testing.assert_close(pasted["model"](X), expected(X), rtol=0, atol=0)
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
        (["full", "a.pth"], "full: already exists, and not only as a hub folder of LVT; choose another"),
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


def test_timm_loads_from_the_hubs_cache(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "a.pth", "lvt_cls")
    lvt_core.hub.save_pretrained(file, tmp_path / "hub")
    stored = tmp_path / "home" / "hub" / "models--me--lvt"  # the cache's layout after a download
    shutil.copytree(tmp_path / "hub", stored / "snapshots" / ("0" * 40))
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text("0" * 40)
    script = (
        "import sys, timm, torch, lvt_core\n"
        "model = timm.create_model('hf-hub:me/lvt', pretrained=True)\n"
        "torch.save(model.state_dict(), sys.argv[1])"
    )
    settings = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    settings.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "b.pth")], env=settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ours = torch.load(file, weights_only=True)["state_dict"]
    torch.testing.assert_close(torch.load(tmp_path / "b.pth", weights_only=True), ours, rtol=0, atol=0)


@pytest.mark.parametrize("names", [["README.md"], ["README.md", "config.json", "model.safetensors"]])
def test_a_folder_of_another_model_stays(names: list[str], tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "a.pth", "lvt_cls")
    (tmp_path / "bert").mkdir()
    for name in names:
        (tmp_path / "bert" / name).write_text('{"architecture": "bert"}')
    with pytest.raises(UserError, match="bert: already exists, and not only as a hub folder of LVT"):
        cli.main(["hub", str(tmp_path / "bert"), str(file)])
    assert sorted(path.name for path in (tmp_path / "bert").iterdir()) == names
    assert (tmp_path / "bert" / "README.md").read_text() == '{"architecture": "bert"}'


def test_links_folders_inside_and_the_current_folder_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = checkpoint(tmp_path / "a.pth", "lvt_cls")
    lvt_core.hub.save_pretrained(file, tmp_path / "hub")
    (tmp_path / "link").symlink_to("hub")
    with pytest.raises(UserError, match="link: is a link; name the folder itself"):
        lvt_core.hub.save_pretrained(file, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "tree" / "README.md").mkdir(parents=True)
    (tmp_path / "tree" / "README.md" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="tree: already exists"):
        lvt_core.hub.save_pretrained(file, tmp_path / "tree")
    assert (tmp_path / "tree" / "README.md" / "thesis.txt").read_text() == "mine"
    monkeypatch.chdir(tmp_path / "hub")
    with pytest.raises(UserError, match=r"^\.: contains the current folder; name another one"):
        lvt_core.hub.save_pretrained(file, ".")


def test_options_of_the_card_cannot_break_it(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "a.pth", "lvt_cls")
    words = ["hub", str(tmp_path / "hub"), str(file)]
    with pytest.raises(UserError, match="--license 'a: b': must be one word; give the hub's name"):
        cli.main([*words, "--license", "a: b"])
    with pytest.raises(UserError, match="--private: only applies with --push; add --push USER/NAME"):
        cli.main([*words, "--private"])
    assert not (tmp_path / "hub").exists()
    cli.main([*words, "--metric", "top-1 | 1 %", "--data-name", "two\nlines"])
    card = (tmp_path / "hub" / "README.md").read_text()
    assert "| Result | top-1 \\| 1 % |" in card and "| Training data | two lines |" in card


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depths": [1, 1, 1, 10**9]}, "depths must be at most"),
        ({"num_recursions": 10**9}, "num_recursions must be at most 1000"),
        ({"embed_dims": [16, 16, 32, 10**7]}, "model.safetensors does not fit SegFormer"),
        ({"embed_dim": -1}, "config.json: model_args: embed_dim=-1: must be an integer"),
        ({"colour": 1}, "config.json: model_args colour: segformer supports "),
        ({"num_classes": 4}, "model.safetensors does not fit SegFormer"),
    ],
)
def test_a_config_of_another_network_is_rejected(changes: Any, message: str, tmp_path: Path) -> None:
    SegFormer(LVTConfig(**SMALL), embed_dim=16).save_pretrained(str(tmp_path / "hub"))
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    (config if "num_classes" in changes else config["model_args"]).update(changes)
    (tmp_path / "hub" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        from_pretrained(tmp_path / "hub")


def test_unknown_arguments_of_a_checkpoint_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = checkpoint(tmp_path / "a.pth", "lvt_cls")
    content = torch.load(file, weights_only=True)
    content["model_kwargs"]["colour"] = 1
    torch.save(content, file)
    lvt_core.load(file)
    assert "lvt_cls does not support its arguments colour" in caplog.text


def test_the_moving_average_is_written_unless_the_user_declines(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "a.pth", "lvt_cls")
    content = torch.load(file, weights_only=True)
    average = {key: value + 1 for key, value in content["state_dict"].items()}
    torch.save(content | {"state_dict_ema": average}, file)
    for words, expected in (([], average), (["--no-use-ema"], content["state_dict"])):
        cli.main(["hub", str(tmp_path / "hub"), str(file), *words])
        model = timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True)
        torch.testing.assert_close(model.state_dict(), expected, rtol=0, atol=0)


def test_a_checkpoint_of_the_original_release(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = attending(timm.create_model("lvt_cls"))
    lvt_core.save_checkpoint(model, tmp_path / "ours.pth")
    cli.main(["convert", str(tmp_path / "ours.pth"), str(tmp_path / "theirs.pth.tar"), "--to", "original"])
    cli.main(["hub", str(tmp_path / "hub"), str(tmp_path / "theirs.pth.tar")])
    loaded = timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True)
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
