"""The published size and cost."""

from __future__ import annotations

import timm

from lvt_core import LVT, complexity


def test_published_numbers() -> None:
    model = timm.create_model("lvt_cls")
    counted = complexity(model)
    assert counted.total_params == 5_521_844
    assert round(counted.total_macs / 1e9, 3) == 0.889
    assert counted.params["backbone"] == 3_429_092 == complexity(LVT(), 64).total_params
    assert next(model.parameters()).device.type == "cpu"


def test_modules_add_up_by_hand() -> None:
    counted = complexity(timm.create_model("lvt_cls"), (64, 96))
    stage = counted.macs["backbone.stages.0"]
    # 16 x 24 positions: 7x7x3 -> 64; per block 8 x 12 windows: 64 -> 162 weights, nine 64 x 64 matrices,
    # 2 heads x 81 x 32 mixing; per position the projection and the MLP 64 -> 256 -> 64
    block = 96 * (64 * 162 + 9 * 64 * 64 + 2 * 81 * 32) + 384 * (64 * 64 + 2 * 64 * 256)
    assert stage == 384 * 147 * 64 + 2 * block
    assert counted.total_macs == sum(
        value for name, value in counted.macs.items() if name and "." not in name
    )
    table = counted.table(1)
    assert table.splitlines()[1].split()[0] == "total"
    assert "aux_head" in table
