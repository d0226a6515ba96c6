"""Tests of the token labels' benchmark: both forms agree, rows have times and memory."""

from __future__ import annotations

import torch

from benchmarks.network.token_labels import CLASSES, SIDE, inputs, literal_targets, measure
from lvt_classify.token_labels.sparse import number_classes, sparse_targets


def test_both_forms_agree() -> None:
    maps, geometry, boxes, truth = inputs(4, "cpu")
    sparse = sparse_targets(
        number_classes(maps, geometry), geometry, truth, num_classes=CLASSES, size=SIDE, smoothing=0.1
    )
    torch.testing.assert_close(sparse.dense(), literal_targets(maps, boxes, truth), rtol=1e-4, atol=1e-6)


def test_rows_have_times_and_memory() -> None:
    rows = measure(2, 2)
    assert [row["part"] for row in rows] == ["target", "loss"]
    for row in rows:
        for form in ("literal", "ours"):
            assert row[form]["ms"] > 0 and len(row[form]["ms_all"]) == 2 and row[form]["peak_mb"] > 0
    # The literal form stores a value for every class, ours only for the named ones.
    assert rows[0]["literal"]["peak_mb"] > 4 * rows[0]["ours"]["peak_mb"]
