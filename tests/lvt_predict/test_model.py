"""An export that a runtime cannot open or run ends in one sentence with the runtime's own reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES
from lvt_core.export.job import report_missing_packages
from lvt_predict.model import load, reason
from lvt_predict.runtimes import SESSIONS
from tests.lvt_predict.exports import BYTES, SIZE
from tests.small import check_rejected


def test_reports_openvinos_own_reason(folder: Path) -> None:
    weights, program = ((folder / name).read_bytes() for name in ("model.bin", "model.xml"))
    message = "model.xml: openvino rejects it: Incorrect weights in bin file!"
    check_rejected(folder, "model.bin", [b"", weights[:100]], message)
    (folder / "model.bin").write_bytes(weights)
    check_rejected(folder, "model.xml", [program[:1000]], "rejects it: .+ at offset")
    check_rejected(folder, "model.xml", [b""], "rejects it: Unable to read the model: ")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            RuntimeError("Exception from a.cpp:84:\nCheck 'x' failed at b.cpp:9:\n\nno weights\n"),
            "no weights",
        ),
        (RuntimeError("one thing\nand more"), "one thing"),
        (RuntimeError("Exception from a.cpp:84:"), "Exception from a.cpp:84:"),
        (RuntimeError(), "RuntimeError()"),
        (KeyError("items"), "KeyError('items')"),
    ],
)
def test_reports_the_first_informative_line(error: Exception, line: str) -> None:
    assert reason(error) == line


@pytest.mark.parametrize(
    "images", [None, [[0.0]], torch.zeros(1, 3, *SIZE), np.zeros((3, *SIZE), np.float32)]
)
def test_runs_only_float32_batches(exported: Path, images: Any) -> None:
    with pytest.raises(UserError, match=r"images are .*: they must be float32 \(batch, channels"):
        load(exported)(images)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rejects_values_that_are_not_finite(exported: Path, value: float) -> None:
    model = load(exported)
    images = model.normalize(BYTES)
    images[0, 1, 2, 3] = value
    with pytest.raises(UserError, match="images have values that are NaN or infinite"):
        model(images)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ImportError("libcuda.so.12: cannot open"),
            r"cannot import what it needs \(.*\): libcuda.so.12: can",
        ),
        (ImportError("b.so: undefined symbol: f", name="b", path="b.so"), "cannot import .*: undefined sym"),
        (ModuleNotFoundError("No module named 'b'", name="b"), "needs b: pip install .*openvino"),
    ],
)
def test_reports_why_an_import_failed(
    exported: Path, error: ImportError, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: Path) -> Any:
        raise error

    monkeypatch.setitem(SESSIONS, "openvino", fail)
    with pytest.raises(UserError, match=f"model.xml: {message}"):
        load(exported)
    with (
        pytest.raises(UserError, match=f"--to openvino: {message}"),
        report_missing_packages(RUNTIMES["openvino"]),
    ):
        raise error
