"""Small trained networks of each task, as files, and a photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lvt_core import SegFormer
from lvt_det.own_config import OwnData, Split, write_own_config
from lvt_predict.sample import photograph
from tests.det_commands import TINY_MODEL, build
from tests.small import attending, small_models

NAMES = ("cat", "dog", "bird", "cow", "horse")
THINGS, STUFF = ("square", "box"), ("grass", "sky")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of a classifier, a segmentor and a panoptic network."""
    folder = tmp_path_factory.mktemp("networks")
    models = small_models()
    made = {name: folder / f"{name}.pth" for name in ("lvt_cls", "segformer", "lvt", "panoptic")}
    pictures = {"input_size": (3, 64, 64), "crop_pct": 0.9, "interpolation": "bicubic"}
    kwargs = {"embed_dims": (16, 16, 32, 32), "num_heads": (2, 2, 2, 2)}
    state = {name: models[name].state_dict() for name in ("lvt_cls", "segformer")}
    state["lvt_cls"]["head.weight"] *= 30
    torch.save(
        {"state_dict": state["lvt_cls"], "model_kwargs": kwargs, "data_config": pictures, "classes": NAMES},
        made["lvt_cls"],
    )
    _spread_classes(models["segformer"])
    meta = {
        "dataset_meta": {"classes": NAMES, "palette": [[40 * i, 0, 0] for i in range(5)]},
        "cfg": "test_pipeline = [dict(type='AlignedResize', scale=(256, 64))]\n",
    }
    torch.save({"state_dict": state["segformer"], "model_kwargs": kwargs, "meta": meta}, made["segformer"])
    torch.save({"state_dict": models["lvt"].state_dict(), "model_kwargs": kwargs}, made["lvt"])
    _save_panoptic(folder, made["panoptic"])
    return made


def _spread_classes(model: SegFormer) -> None:
    """Let every class win somewhere: logits of noise vary around 0."""
    layer: Any = model.decode_head.classifier
    with torch.no_grad():
        torch.nn.init.normal_(layer.weight, std=2.0)
        logits = model(torch.from_numpy(photograph(1, 64, 64, seed=0)))
        layer.bias.copy_(layer.bias - logits.mean(dim=(0, 2, 3)))


def _save_panoptic(folder: Path, file: Path) -> None:
    """Save a panoptic network that finds things, as mmengine's runner saves it."""
    split = Split("images", "maps.json", "maps")
    own = OwnData(
        things=THINGS, stuff=STUFF, train=split, val=split, short_side=64, long_side=96,
        stuff_area_limit=80, epochs=1, batch_size=1, lr=1e-3, workers=0, pretrained=None,
    )  # fmt: skip
    write_own_config(folder / "own.py", own)
    (folder / "tiny.py").write_text(f'_base_ = "own.py"\n{TINY_MODEL}')
    cfg, model = build(folder / "tiny.py")
    attending(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and any(part in name for part in ("rpn_", "fc_", "conv_logits")):
                parameter.mul_(12)
    dataset = cfg.test_dataloader.dataset.metainfo.to_dict()
    meta = {"cfg": cfg.pretty_text, "dataset_meta": dataset}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, file)


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a photo of an odd size, with large and small areas."""
    rng = np.random.default_rng(1)
    pixels = np.kron(rng.integers(0, 256, (7, 9, 3)), np.ones((19, 17, 1)))[:121, :150]
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray((pixels * 0.9 + rng.integers(0, 25, pixels.shape)).astype(np.uint8)).save(path)
    return path
