"""Every runtime gives the same outputs in any order of sizes and from any number of threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from lvt_core.export import RUNTIMES, Export, export_model
from lvt_predict.model import ExportedModel
from lvt_predict.sample import photograph
from tests.small import SMALL

SIDE = 64
THREADS, CALLS = 8, 80
DYNAMIC = [name for name, runtime in RUNTIMES.items() if runtime.dynamic]


@cache
def network() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("lvt_cls", **SMALL | {"num_classes": 20}).eval()


def export(runtime: str, folder: Path, *, dynamic: bool = False) -> ExportedModel:
    shown = Export("lvt_cls", (SIDE, SIDE), dynamic=dynamic)
    export_model(network(), shown, RUNTIMES[runtime], folder)
    return ExportedModel(folder, trust=True)


def expected(images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network()(torch.from_numpy(images)).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("runtime", DYNAMIC)
def test_any_order_of_sizes_gives_the_models_outputs(runtime: str, tmp_path: Path) -> None:
    model = export(runtime, tmp_path / "file", dynamic=True)
    for side in (32, 224, 48, 33, 224, 56, 32, 160):
        images = photograph(1, side, side + 7, seed=side)
        np.testing.assert_allclose(
            model(images)[0], expected(images), rtol=1e-3, atol=1e-4, err_msg=str(side)
        )


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_eight_threads_get_their_own_outputs(runtime: str, tmp_path: Path) -> None:
    model = export(runtime, tmp_path / "file")
    images = [photograph(1, SIDE, SIDE, seed=seed) for seed in range(THREADS)]
    alone = [model(image)[0].copy() for image in images]
    with ThreadPoolExecutor(THREADS) as pool:
        outputs = list(pool.map(lambda call: model(images[call % THREADS])[0], range(CALLS)))
    for call, output in enumerate(outputs):
        np.testing.assert_allclose(output, alone[call % THREADS], rtol=1e-4, atol=1e-5)
