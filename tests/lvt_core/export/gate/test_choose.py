"""The gate runs free sizes from small to large to small, in every runtime."""

from __future__ import annotations

import pytest

from lvt_core.export import RUNTIMES, Export
from lvt_core.export.gate.choose import sizes_of

DYNAMIC = [runtime for runtime in RUNTIMES.values() if runtime.dynamic]


@pytest.mark.parametrize("runtime", DYNAMIC, ids=lambda runtime: runtime.name)
@pytest.mark.parametrize("size", [(224, 224), (512, 512), (64, 96)])
def test_free_sizes_run_small_large_small(runtime, size: tuple[int, int]) -> None:
    sizes = sizes_of(Export("lvt_cls", size, dynamic=True), runtime.largest)
    assert sizes[0] == sizes[-1] == (1, 32, 32)
    areas = [height * width for _, height, width in sizes]
    assert max(areas[1:-1]) >= size[0] * size[1] > areas[0]
    most, longest = runtime.largest
    assert all(batch <= most and max(height, width) <= longest for batch, height, width in sizes)
    assert any(side % 2 for _, *sides in sizes for side in sides)


@pytest.mark.parametrize("runtime", DYNAMIC, ids=lambda runtime: runtime.name)
def test_a_free_batch_runs_few_many_few(runtime) -> None:
    sizes = sizes_of(Export("lvt_cls", (64, 96), free_batch=True), runtime.largest)
    assert sizes == [(1, 64, 96), (3, 64, 96), (1, 64, 96)]
    assert sizes_of(Export("lvt_cls", (64, 96), batch=2), runtime.largest) == [(2, 64, 96)]
