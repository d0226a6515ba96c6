"""Tests of the split of the scans."""

import pytest

from demo.scenes.scans import load_scans, split_scans


def test_splits_share_no_scan_and_keep_the_balance() -> None:
    train, val = split_scans("train"), split_scans("val")
    assert not set(train) & set(val)
    assert sorted(train + val) == list(range(1797))
    for digit in range(10):
        counts = [int((load_scans().digit[list(scans)] == digit).sum()) for scans in (train, val)]
        assert 0.19 < counts[1] / sum(counts) < 0.22


def test_a_stepped_split_is_a_part_of_the_whole_with_every_class() -> None:
    few = split_scans("val", step=30)
    assert set(few) < set(split_scans("val"))
    assert set(load_scans().digit[list(few)].tolist()) == set(range(10))


def test_rejects_an_unknown_split() -> None:
    with pytest.raises(ValueError, match="split='test': must be one of"):
        split_scans("test")
