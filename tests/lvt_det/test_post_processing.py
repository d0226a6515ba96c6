"""From the network's outputs to a panoptic map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.models.seg_heads import PanopticFPNHead
from mmdet.models.seg_heads.panoptic_fusion_heads import HeuristicFusionHead
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from lvt_core.openmmlab.commands import load_config
from lvt_det.metrics import to_segments
from lvt_det.models.fusion import PanopticFusionHead
from lvt_det.models.semantic_head import DirectPanopticFPNHead
from tests.det_commands import CONFIGS

PUBLISHED = ConfigDict(mask_overlap=0.5, stuff_area_limit=4096)
SIZE = (160, 200)
NUM_THINGS, NUM_STUFF = 80, 53


def random_instances(seed: int, count: int) -> InstanceData:
    """Boxes that overlap much, some empty masks, some equal scores."""
    generator = np.random.default_rng(seed)
    masks = np.zeros((count, *SIZE), bool)
    for mask in masks:
        height, width = generator.integers(0, 90, 2)
        top, left = generator.integers(0, SIZE[0] - height), generator.integers(0, SIZE[1] - width)
        mask[top : top + height, left : left + width] = generator.random((height, width)) < 0.8
    return InstanceData(
        masks=torch.from_numpy(masks),
        scores=torch.from_numpy(generator.integers(1, 1000, count) / 1000).float(),
        labels=torch.from_numpy(generator.integers(0, NUM_THINGS, count)),
        bboxes=torch.zeros(count, 4),
    )


def random_stuff(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, NUM_STUFF + 1, 4, 5, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=SIZE, mode="bilinear")[0]


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("limit", [1, 4096])
def test_fusion_equals_mmdetections(count: int, limit: int) -> None:
    thresholds = ConfigDict(mask_overlap=0.5, stuff_area_limit=limit)
    ours = PanopticFusionHead(NUM_THINGS, NUM_STUFF, test_cfg=thresholds)
    theirs = HeuristicFusionHead(NUM_THINGS, NUM_STUFF, test_cfg=thresholds)
    for seed in range(5):
        instances, stuff = random_instances(seed, count), random_stuff(seed)
        found, wanted = (head.predict([instances], [stuff])[0].sem_seg for head in (ours, theirs))
        assert found.dtype == wanted.dtype
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("seed", range(5))
def test_properties_of_the_published_fusion(seed: int) -> None:
    instances, stuff = random_instances(seed, 30), random_stuff(seed)
    head = PanopticFusionHead(NUM_THINGS, NUM_STUFF, test_cfg=PUBLISHED)
    fused = head.predict([instances], [stuff])[0].sem_seg[0].numpy()
    num_classes = NUM_THINGS + NUM_STUFF
    ids, segments = to_segments(fused, num_classes)
    # One value a pixel: segments cannot overlap. Instances are numbered 1, 2, …, each once.
    values = [v for v in np.unique(fused).tolist() if v % 1000 != num_classes]
    numbers = [v // 1000 for v in values if v >= 1000]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert len(segments) == len(values)
    areas = {(v % 1000, int((fused == v).sum())) for v in values}
    assert areas == {(s.label, int((ids == s.id).sum())) for s in segments}
    np.testing.assert_array_equal(ids == 0, fused % 1000 == num_classes)
    stuff_labels = [s.label for s in segments if s.label >= NUM_THINGS]
    assert len(set(stuff_labels)) == len(stuff_labels)
    things = [s for s in segments if s.label < NUM_THINGS]
    assert things
    masks = instances.masks.numpy()
    for segment in things:
        area = ids == segment.id
        # Every instance is a part of a mask of its class, at least half of it.
        inside = [
            m for m, label in zip(masks, instances.labels.tolist(), strict=True)
            if label == segment.label and not (area & ~m).any() and area.sum() >= 0.5 * m.sum()
        ]  # fmt: skip
        assert inside
    winner = stuff.argmax(0).numpy()
    bare = fused < 1000
    for label in range(NUM_STUFF):
        expected = bare & (winner == label)
        if expected.sum() < 4096:
            assert (fused[expected] == num_classes).all()  # void
        else:
            assert (fused[expected] == NUM_THINGS + label).all()
    # "Some thing" without an instance is void.
    assert (fused[bare & (winner == NUM_STUFF)] == num_classes).all()


def test_the_better_instance_lies_on_top() -> None:
    masks = torch.zeros(3, *SIZE, dtype=torch.bool)
    masks[0, 10:50, 10:50] = masks[1, 25:65, 25:65] = True
    masks[2, 12:40, 12:40] = True  # inside of the first: covered by more than half
    instances = InstanceData(
        masks=masks,
        scores=torch.tensor([0.9, 0.7, 0.8]),
        labels=torch.tensor([3, 4, 5]),
        bboxes=torch.zeros(3, 4),
    )
    head = PanopticFusionHead(NUM_THINGS, NUM_STUFF, test_cfg=PUBLISHED)
    fused = head.predict([instances], [random_stuff(0)])[0].sem_seg[0]
    assert (fused[10:50, 10:50] == 1003).all() and (fused[50:65, 50:65] == 2004).all()
    assert 5 not in fused.unique() % 1000


@pytest.mark.parametrize("sizes", [((160, 224), (160, 213), (120, 160)), ((96, 64), (96, 64), (300, 200))])
def test_stuff_in_one_step_equals_mmdetections_steps(sizes) -> None:
    padded, cut, own = sizes
    options = dict(in_channels=6, inner_channels=6, norm_cfg=dict(type="GN", num_groups=2), end_level=4)
    torch.manual_seed(0)
    ours, theirs = DirectPanopticFPNHead(**options), PanopticFPNHead(**options)
    theirs.load_state_dict(ours.state_dict())
    maps = [torch.randn(2, 6, padded[0] // s, padded[1] // s) for s in (4, 8, 16, 32)]
    meta = {"batch_input_shape": padded, "img_shape": cut, "ori_shape": own}
    for rescale in (True, False):
        with torch.no_grad():
            found, wanted = (head.predict(maps, [meta] * 2, rescale) for head in (ours, theirs))
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape and a.shape[1:] == (own if rescale else padded)
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_thresholds_are_the_published_ones() -> None:
    cfg = load_config(CONFIGS / "lvt/panoptic_fpn_lvt_fpn_3x_coco.py").model.test_cfg
    assert cfg.panoptic == dict(PUBLISHED)
    assert cfg.rcnn.score_thr == 0.6 and cfg.rcnn.max_per_img == 100 and cfg.rcnn.mask_thr_binary == 0.5
    assert cfg.rcnn.nms == {"type": "nms", "iou_threshold": 0.5, "class_agnostic": True}
