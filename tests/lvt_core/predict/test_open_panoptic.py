"""Configs without a panoptic network that can be exported end in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvt_core.errors import UserError
from lvt_core.predict.open_panoptic import PanopticNetwork, open_panoptic
from lvt_core.predict.panoptic_parts import settings_of
from lvt_det.own_config import OwnData, Split, write_own_config
from tests.det_commands import TINY_MODEL, build

CLASSES = ("square", "box", "grass", "sky")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a config of a tiny network, whose data need not be there."""
    folder = tmp_path_factory.mktemp("configs")
    split = Split("images", "maps.json", "maps")
    own = OwnData(
        things=CLASSES[:2], stuff=CLASSES[2:], train=split, val=split, short_side=64, long_side=96,
        stuff_area_limit=80, epochs=1, batch_size=1, lr=1e-3, workers=0, pretrained=None,
    )  # fmt: skip
    write_own_config(folder / "own.py", own)
    (folder / "tiny.py").write_text(f'_base_ = "own.py"\n{TINY_MODEL}')
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("model = dict(rpn_head=dict(nope=1))", "a.py: model: TypeError: .*nope"),
        ("model = dict(rpn_head=dict(type='Nope'))", "a.py: model: KeyError: .*Nope"),
        ("test_dataloader = None", "a.py: test_dataloader=None: must be a dict"),
        ("test_dataloader = dict(dataset=None)", "a.py: test_dataloader: dataset=None: must be a dict"),
    ],
)
def test_configs_that_build_no_network(folder: Path, words: str, message: str) -> None:
    (folder / "a.py").write_text(f'_base_ = "tiny.py"\n{words}\n')
    with pytest.raises(UserError, match=message):
        open_panoptic(folder / "a.py", folder / "nowhere.pth")


def test_files_that_are_no_config(folder: Path) -> None:
    loader = "test_dataloader = dict(dataset=dict(type='CocoPanopticDataset'))"
    for content, message in (
        (f"default_scope = 'mmdet'\nmodel = 5\n{loader}", "b.py: model=5: must be a dict"),
        (f"default_scope = 'mmdet'\n{loader}", "b.py: model=None: must be a dict"),
        ("raise RuntimeError", "b.py: RuntimeError: not a readable config"),
    ):
        (folder / "b.py").write_text(content)
        with pytest.raises(UserError, match=message):
            open_panoptic(folder / "b.py", folder / "nowhere.pth")


@pytest.mark.parametrize(
    ("option", "missing"),
    [
        ("model.test_cfg.rcnn", "test_cfg.rcnn"),
        ("model.test_cfg.rpn.nms", "test_cfg.rpn.nms"),
        ("model.panoptic_fusion_head", "panoptic_fusion_head"),
        ("model.semantic_head", "semantic_head"),
    ],
)
def test_networks_that_lack_a_part(folder: Path, option: str, missing: str) -> None:
    model = build(folder / "tiny.py", **{option: None})[1]
    with pytest.raises(UserError, match=f"cannot be exported: a Panoptic FPN must have {missing}"):
        settings_of(PanopticNetwork(model, CLASSES, 2), (64, 96))
