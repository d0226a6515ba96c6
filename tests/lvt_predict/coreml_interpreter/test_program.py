"""Core ML programs in numpy: what one may say, what becomes of its values, and where Core ML itself runs it.

The programs of whole networks are run by `test_export_coreml.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lvt_core.errors import UserError
from lvt_predict.coreml_interpreter.program import Operation, Program, Value
from lvt_predict.runtimes import SESSIONS


def test_rejects_a_shape_that_the_program_does_not_declare() -> None:
    operations = [Operation("relu", {"x": ["x"]}, [Value("y", (1, 2), np.float32)])]
    program = Program(Path("a.mlpackage"), "x", ["y"], {}, operations)
    with pytest.raises(UserError, match=r"a.mlpackage: relu 'y' gives \(1, 3\), the program declares \(1, 2"):
        program(np.ones((1, 3), np.float32))


def test_stores_values_as_declared_and_frees_them() -> None:
    half, full = (Value(name, (3,), kind) for name, kind in (("y", np.float16), ("z", np.float32)))
    operations = [
        Operation("cast", {"x": ["x"], "dtype": ["fp16"]}, [half]),
        Operation("add", {"x": ["y"], "y": ["y"]}, [full]),
    ]
    program = Program(Path("a"), "x", ["z"], {"fp16": "fp16"}, operations)
    assert [each.unused for each in program.operations] == [["x"], ["y"]]
    (found,) = program(np.array([1 / 3, 1e6, 1e-9], np.float32))
    assert found.tolist() == [2 * float(np.float16(1 / 3)), np.inf, 0]


def test_uses_core_ml_on_apples_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    class MLModel:
        def __init__(self, file: str) -> None:
            self.file = file

        def get_spec(self) -> SimpleNamespace:
            names = [SimpleNamespace(name=name) for name in ("output_0", "output_1")]
            inputs = [SimpleNamespace(name="x")]
            return SimpleNamespace(description=SimpleNamespace(input=inputs, output=names))

        def predict(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"output_1": values["x"] + 1, "output_0": values["x"]}

    pytest.importorskip("coremltools")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("coremltools.models.MLModel", MLModel)
    zero, one = SESSIONS["coreml"](Path("model.mlpackage"))(np.zeros(2, np.float32))
    assert zero.tolist() == [0, 0] and one.tolist() == [1, 1]
