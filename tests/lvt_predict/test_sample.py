"""The self-check of an export: it passes where nothing changed, and rejects wrong records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lvt_core.errors import UserError
from lvt_predict.sample import main


def _sample(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["sample"].update(fields)


def _output(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["sample"]["outputs"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.update(precision="fp8"), 'precision is "fp8": must be one of fp32, fp16'),
        (lambda manifest: manifest.update(precision=["fp32"]), "precision is .*: must be one of fp32, fp16"),
        (lambda manifest: manifest.pop("precision"), "has no precision; `lvt export` writes it"),
        (lambda manifest: manifest.update(sample=None), "has no sample; `lvt export` writes it"),
        (lambda manifest: manifest.update(sample=[1]), "sample is .*: must be an object"),
        (lambda manifest: manifest["sample"].pop("outputs"), "has no sample.outputs"),
        (_sample(seed="a"), 'sample.seed is "a": must be a whole number'),
        (_sample(seed=-1), "sample.seed is -1: must be a whole number"),
        (_sample(input=[1, 3, 32]), "sample.input is .*: must be four positive whole numbers"),
        (_sample(input=[1, 3, 10**6, 10**6]), "images have height 1000000: this file supports 32"),
        (_sample(outputs=[]), "sample.outputs is .*: must be shape, largest and values"),
        (_output(shape=None), "sample.outputs is .*: must be shape"),
        (_output(largest=float("nan")), "sample.outputs is .*: must be shape"),
        (_output(values=[1.0]), "sample.outputs is .*: must be shape"),
        (_output(values=["a"] * 64), "sample.outputs is .*: must be shape"),
    ],
)
def test_rejects_wrong_records(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    main([str(folder)])
    manifest = json.loads((folder / "model.json").read_text())
    change(manifest)
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=message):
        main([str(folder)])
