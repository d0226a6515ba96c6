"""Every runtime exports every allowed size, or rejects it in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lvt_core import cli
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, export_model
from lvt_predict.model import load
from lvt_predict.sample import photograph
from tests.small import small_models

# A side of 32 gives a last map of one pixel; the other is odd and oblong.
SIZES = [(32, 32), (96, 33)]
ONE_PIXEL_WIDE = [(32, 32)]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["lvt_cls", "segformer"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_runtime_exports_any_size(runtime: str, name: str, size: tuple[int, int], tmp_path: Path) -> None:
    for package in RUNTIMES[runtime].packages:
        pytest.importorskip(package.replace("-", "_"))
    model, folder = small_models()[name], tmp_path / "file"
    if runtime == "litert" and size in ONE_PIXEL_WIDE:
        with pytest.raises(UserError, match=f"--size {size[0]} {size[1]}: litert's converter fails"):
            export_model(model, Export(name, size), RUNTIMES[runtime], folder)
        assert not folder.exists()
        return
    export_model(model, Export(name, size), RUNTIMES[runtime], folder)
    images = photograph(1, *size, seed=3)
    with torch.inference_mode():
        outputs = model(torch.from_numpy(images))
    expected = outputs if isinstance(outputs, list) else [outputs]
    for ours, theirs in zip(load(folder, trust=True)(images), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_command_says_which_sizes_litert_rejects(tmp_path: Path) -> None:
    pytest.importorskip("litert_torch")
    folder = tmp_path / "out"
    with pytest.raises(
        UserError, match="--size 32 32: litert's converter fails.* choose a width of more than 32"
    ):
        cli.main(["export", "lvt_cls", "--to", "litert", "--size", "32", "--output", str(folder)])
    assert not folder.exists()
