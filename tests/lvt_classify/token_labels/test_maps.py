"""Token-label maps: equal to the original release and to RoIAlign, and they follow the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from lvt_classify.data.geometry import FLIP_X, crop_matrix, transposed
from lvt_classify.token_labels.maps import (
    crop_span,
    image_targets,
    read_label_map,
    region_weights,
)
from lvt_classify.token_labels.sparse import number_classes, sparse_targets
from lvt_core.errors import UserError
from tests.golden_values import assert_close, case, expected
from tests.lvt_classify.token_labels.dense import dense_logits, token_targets


def golden_maps() -> torch.Tensor:
    scores, indices = expected("token_label_scores"), expected("token_label_indices")
    return torch.stack((scores, indices.half()), dim=1)


@pytest.mark.parametrize("crop", ["upright", "original"])
def test_golden_targets(crop: str) -> None:
    entry = case("token_label")
    boxes = [crop_matrix(*box) for box in entry["crop_top_left_height_width"]]
    if crop == "original":
        boxes = [transposed(box) for box in boxes]
    maps, geometry = golden_maps(), torch.from_numpy(np.stack(boxes)[:, :2]).float()
    truth = torch.tensor(entry["ground_truth"])
    options = {
        "num_classes": entry["classes"],
        "size": entry["label_size"],
        "smoothing": entry["smoothing"],
    }
    dense = token_targets(maps, geometry, truth, **options)
    sparse = sparse_targets(number_classes(maps, geometry), geometry, truth, **options).dense()
    for targets in (dense, sparse):
        assert_close(targets[:, :: entry["class_stride"]], f"token_label_target_{crop}")


@pytest.mark.parametrize(("h", "w", "size"), [(18, 18, 7), (9, 13, 1), (12, 5, 2)])
def test_upright_boxes_equal_roi_align(h: int, w: int, size: int) -> None:
    rng = np.random.default_rng(0)
    maps = torch.from_numpy(rng.standard_normal((6, 1, h, w))).float()
    boxes, matrices = [], []
    for i in range(6):
        height, width = rng.uniform(0.25, 1.0, 2)
        top, left = rng.uniform(0, 1 - height), rng.uniform(0, 1 - width)
        x0, y0 = left * w - 0.5, top * h - 0.5
        boxes.append([i, x0, y0, x0 + width * w, y0 + height * h])
        matrices.append(crop_matrix(top, left, height, width)[:2])
    wanted = roi_align(maps, torch.tensor(boxes, dtype=torch.float32), size, aligned=False)
    geometry = torch.from_numpy(np.stack(matrices)).float()
    weights = region_weights((h, w), geometry, size, crop_span((h, w), geometry))
    regions = (weights @ maps.flatten(2).transpose(1, 2)).view(6, 1, size, size)
    torch.testing.assert_close(regions, wanted, rtol=1e-4, atol=1e-4)


def test_a_flip_mirrors_the_tokens() -> None:
    maps = golden_maps()
    arguments = {"num_classes": 1000, "size": 3, "smoothing": 0.0}
    crop = crop_matrix(0.1, 0.2, 0.7, 0.6)
    truth = torch.tensor([0, 1])
    plain, flipped = (
        token_targets(maps, torch.from_numpy(np.stack([m[:2]] * 2)).float(), truth, **arguments)
        for m in (crop, crop @ FLIP_X)
    )
    grid = plain[:, :, 2:].unflatten(2, (3, 3))
    torch.testing.assert_close(flipped[:, :, 2:].unflatten(2, (3, 3)), grid.flip(-1))


def test_places_outside_of_the_image_have_logit_0() -> None:
    maps = torch.zeros(1, 2, 5, 4, 4)
    maps[:, 0, 0] = 9.0  # class 0 everywhere
    shifted = torch.tensor([[[1.0, 0, 1.5], [0, 1, 0]]])  # the crop lies right of the image
    logits = dense_logits(maps, region_weights((4, 4), shifted, 2, 4.0), 10)
    assert logits.abs().max() == 0


def test_size_one_gives_the_image_label() -> None:
    crop = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]] * 2)
    arguments = {"num_classes": 1000, "smoothing": 0.1}
    one = token_targets(golden_maps(), crop, torch.tensor([0, 1]), size=1, **arguments)
    many = token_targets(golden_maps(), crop, torch.tensor([0, 1]), size=7, **arguments)
    torch.testing.assert_close(one, many[:, :, 1])


def test_image_targets() -> None:
    target = image_targets(torch.tensor([2]), 4, 0.2)
    torch.testing.assert_close(target, torch.tensor([[0.05, 0.05, 0.85, 0.05]]))


def test_rejects_bad_label_files(tmp_path) -> None:
    def message(path) -> str:
        with pytest.raises(UserError) as caught:
            read_label_map(path, 10)
        return str(caught.value)

    assert message(tmp_path / "a.pt").endswith("a.pt: no such token-label file")
    torch.save(torch.zeros(3, 5, 4, 4), tmp_path / "b.pt")
    assert "(2, 5, height, width)" in message(tmp_path / "b.pt")
    torch.save(torch.full((2, 5, 4, 4), 12.0), tmp_path / "c.pt")
    assert "names class 12, but the data set has 10 classes" in message(tmp_path / "c.pt")
    torch.save(torch.full((2, 5, 4, 4), -1.0), tmp_path / "e.pt")
    assert "names class -1, but the data set has 10 classes" in message(tmp_path / "e.pt")
    torch.save(torch.full((2, 5, 4, 4), torch.nan), tmp_path / "f.pt")
    assert "holds NaN or infinity" in message(tmp_path / "f.pt")
    (tmp_path / "d.pt").write_bytes((tmp_path / "c.pt").read_bytes()[:200])
    assert "not a readable token-label file" in message(tmp_path / "d.pt")
