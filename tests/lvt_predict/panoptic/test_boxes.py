"""Boxes and masks in numpy equal torchvision's and mmdetection's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms, nms, roi_align

from lvt_predict.panoptic import boxes as ops


def random_boxes(count: int, *, size: tuple[int, int] = (200, 300), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-0.2, 1.2, (count, 2, 2)) * size[::-1]
    boxes = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    return np.clip(boxes, 0, [size[1], size[0]] * 2).astype(np.float32)


@pytest.mark.parametrize(("ratio", "bins", "stride"), [(0, 7, 4), (0, 14, 16), (2, 7, 8)])
def test_roi_align_is_torchvisions(ratio: int, bins: int, stride: int) -> None:
    features = torch.randn(1, 5, 200 // stride, 300 // stride)
    boxes = random_boxes(60)
    boxes[0] = [10, 10, 10, 40]  # without area
    boxes[1] = [-300, -40, 900, 500]  # farther out than a pixel
    boxes[2] = [0, 0, 300, 200]
    boxes[3] = [299.5, 199.5, 300, 200]
    rois = torch.cat((torch.zeros(len(boxes), 1), torch.from_numpy(boxes)), dim=1)
    expected = roi_align(features, rois, bins, 1 / stride, ratio, aligned=True)
    actual = ops.roi_align(features[0].numpy(), boxes, bins, 1 / stride, ratio)
    assert expected[2].abs().max() > 0.1
    np.testing.assert_allclose(actual, expected.numpy(), atol=2e-5)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_suppression_is_torchvisions(threshold: float) -> None:
    boxes = np.concatenate(
        (random_boxes(150), random_boxes(50, seed=1).round(), np.zeros((3, 4), np.float32))
    )
    scores = np.random.default_rng(2).integers(1, 40, len(boxes)).astype(np.float32) / 40  # many equal
    groups = np.arange(len(boxes)) % 3
    expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold).numpy()
    assert 10 < len(expected) < len(boxes)
    np.testing.assert_array_equal(ops.suppress(boxes, scores, threshold), expected)
    tensors = (torch.from_numpy(value) for value in (boxes, scores, groups))
    actual = ops.suppress_groups(boxes, scores, groups, threshold, len(boxes))
    assert set(actual) == set(batched_nms(*tensors, threshold).tolist()) and len(actual) > len(expected)
    assert (np.diff(scores[actual]) <= 0).all()
    np.testing.assert_array_equal(ops.suppress_groups(boxes, scores, groups, threshold, 7), actual[:7])
    assert len(ops.suppress_groups(boxes[:0], scores[:0], groups[:0], threshold, 7)) == 0


def test_the_best_are_those_of_a_stable_sort() -> None:
    scores = np.random.default_rng(0).integers(0, 9, 200).astype(np.float32)
    for count in (1, 50, 199):
        np.testing.assert_array_equal(ops.best(scores, count), np.argsort(-scores, kind="stable")[:count])
    np.testing.assert_array_equal(ops.best(scores, 200), np.arange(200))


def test_anchors_and_boxes_are_mmdetections() -> None:
    from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder  # after lvt_det, which prepares it
    from mmdet.models.task_modules.prior_generators import AnchorGenerator

    generator = AnchorGenerator(strides=[4, 8], ratios=[0.5, 1.0, 2.0], scales=[8])
    expected = generator.grid_priors([(5, 7), (3, 4)], device="cpu")
    for level, (height, width) in enumerate(((5, 7), (3, 4))):
        base = generator.base_anchors[level].numpy()
        actual = ops.grid_anchors(base, generator.strides[level], height, width)
        np.testing.assert_array_equal(actual, expected[level].numpy())
    coder = DeltaXYWHBBoxCoder(target_means=(0.1, 0, 0, 0), target_stds=(0.1, 0.1, 0.2, 0.2))
    boxes, deltas = torch.from_numpy(random_boxes(200)), 6 * torch.randn(200, 4)
    wanted = coder.decode(boxes, deltas, max_shape=(190, 280)).numpy()
    actual = ops.decode(boxes.numpy(), deltas.numpy(), means=coder.means, stds=coder.stds, size=(190, 280))
    np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-4)
    assert wanted.max() == 280 and (wanted[:, 3] == 190).any()


@pytest.mark.parametrize(
    "box", [(3.2, 5.7, 60.1, 33.3), (0, 0, 90, 60), (80.5, 40, 90, 60), (7, 7, 7, 20), (9.5, 9, 9.5, 9)]
)
def test_masks_are_pasted_as_mmdetection_does(box: tuple[float, ...]) -> None:
    from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

    mask = torch.rand(28, 28)
    wanted, places = _do_paste_mask(mask[None, None], torch.tensor([box]), 60, 90, skip_empty=True)
    rows, columns, actual = ops.paste(mask.numpy(), np.array(box, np.float32), (60, 90))
    assert (rows, columns) == tuple(slice(int(place.start), int(place.stop)) for place in places)
    # A pixel in the very middle of a box without extent is 0 / 0 there: below every threshold.
    np.testing.assert_allclose(actual, wanted[0].nan_to_num(0).numpy(), atol=2e-5)
