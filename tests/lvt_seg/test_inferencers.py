"""mmsegmentation's own ways to run a network work with our configs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmseg.apis import MMSegInferencer, inference_model, init_model
from PIL import Image

import lvt_seg  # noqa: F401  (registers)
from tests.commands import ROOT
from tests.seg_commands import content, tiny_file


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """Return a checkpoint as a training run writes it, with the data set's classes."""
    path = tiny_file(tmp_path / "tiny.pth")
    meta = {"dataset_meta": {"classes": ("a", "b", "c"), "palette": [[0, 0, 0], [9, 9, 9], [99, 99, 99]]}}
    torch.save({**content(path), "meta": meta}, path)
    return str(path)


def test_inference_model(config: Path, checkpoint: str, photo: Path) -> None:
    model = init_model(str(config), checkpoint, device="cpu")
    for source in (str(photo), np.asarray(Image.open(photo))[..., ::-1]):
        labels = inference_model(model, source).pred_sem_seg.data
        assert labels.shape == (1, 50, 70) and 0 <= labels.min() <= labels.max() < 3


def test_the_inferencer(config: Path, checkpoint: str, photo: Path, tmp_path: Path) -> None:
    inferencer = MMSegInferencer(str(config), checkpoint, device="cpu")
    result = inferencer(str(photo), out_dir=str(tmp_path / "out"))
    assert np.asarray(result["predictions"]).shape == (50, 70)
    assert list((tmp_path / "out").rglob("*.jpg"))


def test_the_demos_config_has_a_pipeline_of_its_own() -> None:
    from lvt_core.openmmlab.commands import load_config

    cfg = load_config(ROOT / "demo" / "segmentation" / "config.py")
    for name in ("train", "test"):
        assert cfg[f"{name}_pipeline"] == cfg[f"{name}_dataloader"].dataset.pipeline
