"""mmcv's operators by torchvision, against torchvision and against literal loops."""

from __future__ import annotations

import importlib.util
import math
import sys
from types import ModuleType

import pytest
import torch
import torchvision
from mmcv.utils import ext_loader

from lvt_core.errors import UserError
from lvt_core.openmmlab.ops import NAME, provide_compiled_operators

SPEC = importlib.util.find_spec(NAME)
COMPILED = SPEC is not None and SPEC.loader is not None  # the stand-in is not loaded from anywhere
PROVIDED = provide_compiled_operators()
needs_stand_in = pytest.mark.skipif(COMPILED, reason="mmcv has its own compiled operators here")
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def boxes_and_scores(count: int = 60):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(count, 2, generator=generator) * 60
    sides = torch.rand(count, 2, generator=generator) * 30 + 1
    return torch.cat((corners, corners + sides), 1), torch.rand(count, generator=generator)


def literal_nms(boxes, scores, threshold: float, offset: int) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda k: -float(scores[k])):
        ax0, ay0, ax1, ay1 = boxes[i].tolist()
        free = True
        for j in kept:
            bx0, by0, bx1, by1 = boxes[j].tolist()
            width = max(0.0, min(ax1, bx1) - max(ax0, bx0) + offset)
            height = max(0.0, min(ay1, by1) - max(ay0, by0) + offset)
            areas = [
                (x1 - x0 + offset) * (y1 - y0 + offset)
                for x0, y0, x1, y1 in ((ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1))
            ]
            if width * height / (sum(areas) - width * height) > threshold:
                free = False
        if free:
            kept.append(i)
    return kept


def literal_roi_align(x, roi, size: int, scale: float, ratio: int, aligned: bool):
    """One box, one bin and one sample at a time (Mask R-CNN, section 3)."""
    image, shift = x[int(roi[0])], 0.5 if aligned else 0.0
    height, width = image.shape[-2:]
    x0, y0, x1, y1 = (float(v) * scale - shift for v in roi[1:])
    w, h = x1 - x0, y1 - y0
    if not aligned:
        w, h = max(w, 1.0), max(h, 1.0)
    rows = ratio or math.ceil(h / size)
    columns = ratio or math.ceil(w / size)
    out = torch.zeros(len(image), size, size, dtype=x.dtype)
    for i in range(size):
        for j in range(size):
            total = torch.zeros(len(image), dtype=x.dtype)
            for a in range(rows):
                for b in range(columns):
                    sy = y0 + (i + (a + 0.5) / rows) * h / size
                    sx = x0 + (j + (b + 0.5) / columns) * w / size
                    if sy < -1 or sy > height or sx < -1 or sx > width:
                        continue
                    sy, sx = min(max(sy, 0), height - 1), min(max(sx, 0), width - 1)
                    for yy in {int(sy), min(int(sy) + 1, height - 1)}:
                        for xx in {int(sx), min(int(sx) + 1, width - 1)}:
                            total += image[:, yy, xx] * (1 - abs(sy - yy)) * (1 - abs(sx - xx))
            out[:, i, j] = total / (rows * columns)
    return out


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_nms(device: str, offset: int, threshold: float) -> None:
    from mmcv.ops import nms

    boxes, scores = boxes_and_scores()
    dets, kept = nms(boxes.to(device), scores.to(device), threshold, offset=offset)
    assert kept.tolist() == literal_nms(boxes, scores, threshold, offset)
    assert 1 < len(kept) < len(boxes)
    torch.testing.assert_close(dets.cpu(), torch.cat((boxes, scores[:, None]), 1)[kept.cpu()])
    if offset == 0:
        assert kept.tolist() == torchvision.ops.nms(boxes, scores, threshold).tolist()


def test_nms_of_nothing_and_by_class() -> None:
    from mmcv.ops import batched_nms, nms

    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5)[1].shape == (0,)
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 4)
    scores, classes = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 1, 0, 1])
    _, kept = batched_nms(boxes, scores, classes, {"type": "nms", "iou_threshold": 0.5})
    assert kept.tolist() == [0, 1]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align(device: str, aligned: bool, ratio: int) -> None:
    from mmcv.ops import RoIAlign

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 12, 15, generator=generator, dtype=torch.float64, device="cpu").to(device)
    rois = torch.tensor(
        [[0, 4.0, 4, 50, 40], [1, -6, 2, 30, 60], [1, 10, 10, 11, 10.5]], dtype=torch.float64, device=device
    )
    x.requires_grad_()
    layer = RoIAlign(output_size=4, spatial_scale=0.25, sampling_ratio=ratio, aligned=aligned)
    pooled = layer(x, rois)
    wanted = torch.stack(
        [literal_roi_align(x.detach().cpu(), roi, 4, 0.25, ratio, aligned) for roi in rois.cpu()]
    )
    torch.testing.assert_close(pooled.detach().cpu(), wanted)
    copy = x.detach().clone().requires_grad_()
    ours = torchvision.ops.roi_align(copy, rois, 4, 0.25, ratio, aligned)
    torch.testing.assert_close(pooled, ours)
    weights = torch.randn(pooled.shape, generator=generator, dtype=torch.float64).to(device)
    (pooled * weights).sum().backward()
    (ours * weights).sum().backward()
    torch.testing.assert_close(x.grad, copy.grad)
    assert torch.autograd.gradcheck(lambda v: layer(v, rois), x.detach().requires_grad_(), nondet_tol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
def test_deterministic_gradients_are_the_same(device: str) -> None:
    from mmcv.ops import RoIAlign

    rois = torch.tensor([[0, 4.0, 4, 50, 40], [1, -6, 2, 30, 60]], device=device)
    gradients = []
    for deterministic in (False, True):
        x = torch.randn(2, 3, 12, 15, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
        torch.use_deterministic_algorithms(deterministic)
        try:
            RoIAlign(4, 0.25)(x, rois).square().sum().backward()
        finally:
            torch.use_deterministic_algorithms(False)
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].any()


@pytest.mark.parametrize("device", DEVICES)
def test_roi_align_in_half_precision(device: str) -> None:
    from mmcv.ops import RoIAlign

    x = torch.randn(1, 2, 12, 15, generator=torch.Generator().manual_seed(0)).to(device)
    rois = torch.tensor([[0, 4.0, 4, 50, 40]], device=device)
    layer = RoIAlign(output_size=4, spatial_scale=0.25, sampling_ratio=0)
    wanted = layer(x, rois)
    with torch.autocast(device, dtype=torch.bfloat16):
        half = x.bfloat16().requires_grad_()
        pooled = layer(half, rois)
        pooled.sum().backward()
    assert pooled.dtype == half.grad.dtype == torch.bfloat16
    torch.testing.assert_close(pooled.float(), wanted, atol=0.02, rtol=0.02)
    assert half.grad.float().sum() == pytest.approx(pooled.numel(), rel=0.02)


def test_roi_align_of_no_boxes() -> None:
    from mmcv.ops import RoIAlign

    x = torch.randn(1, 2, 12, 15, requires_grad=True)
    pooled = RoIAlign(4, 0.25)(x, torch.zeros(0, 5))
    assert pooled.shape == (0, 2, 4, 4)
    pooled.sum().backward()
    assert not x.grad.any()


def test_the_stand_in_is_there_unless_mmcv_is_compiled() -> None:
    assert PROVIDED is not COMPILED


@needs_stand_in
def test_other_operators_name_themselves() -> None:
    module = ext_loader.load_ext("_ext", ["softnms", "deform_conv_forward"])
    with pytest.raises(UserError, match="operator softnms is not here: only nms and roi_align are"):
        module.softnms(1, x=2)
    from mmcv.ops import RoIAlign, soft_nms

    with pytest.raises(UserError, match="softnms"):
        soft_nms(*boxes_and_scores())
    with pytest.raises(UserError, match="pool_mode: must be 'avg'"):
        RoIAlign(4, pool_mode="max")(torch.zeros(1, 1, 8, 8), torch.zeros(1, 5))


@needs_stand_in
def test_the_stand_in_looks_like_a_module() -> None:
    assert importlib.util.find_spec(NAME) is sys.modules[NAME].__spec__
    assert not hasattr(sys.modules[NAME], "__path__")
    from mmengine.model import revert_sync_batchnorm

    model = torch.nn.Sequential(torch.nn.SyncBatchNorm(3))
    assert isinstance(revert_sync_batchnorm(model)[0], torch.nn.modules.batchnorm._BatchNorm)


def test_a_compiled_module_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = ModuleType(NAME)
    monkeypatch.setitem(sys.modules, NAME, compiled)
    assert provide_compiled_operators() is False
    assert sys.modules[NAME] is compiled
