"""The self-check of an export: it computes the outputs that were recorded at the export once more.

    python -m lvt_predict.sample exports/lvt_cls-onnx-fp32

It needs numpy and the runtime.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvt_predict.command import CommandParser, run_command
from lvt_predict.errors import UserError
from lvt_predict.images import require_size
from lvt_predict.manifest import MANIFEST, Rule, is_list, is_number, is_whole, read_manifest, require_rules
from lvt_predict.model import ExportedModel
from lvt_predict.panoptic.manifest import PARTS

VALUES = 64  # recorded values of each output
# Allowed difference, relative to an output's largest value: processors round int8 and float16 differently.
TOLERANCES = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 5e-2, "int8": 1e-1}
RULES = {
    "sample.seed": Rule(lambda value: is_whole(value, 0), "a whole number of at least 0"),
    "sample.input": Rule(lambda value: is_list(value, is_whole, 4), "four positive whole numbers"),
    "sample.outputs": Rule(
        lambda value: is_list(value, _is_output), "shape, largest and values of each output"
    ),
    "precision": Rule(lambda value: value in list(TOLERANCES), f"one of {', '.join(TOLERANCES)}"),
}


def _is_output(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and is_list(value.get("shape"), is_whole)
        and is_number(value.get("largest"), 0)
        and is_list(value.get("values"), is_number, min(math.prod(value["shape"]), VALUES))
    )


def record_sample(model: ExportedModel, shape: Sequence[int]) -> dict[str, Any]:
    """Record an input, by its seed and shape, and some values of each output for it.

    Args:
        model: Exported network.
        shape: Shape of the input.
    """
    return {"seed": 0, "input": list(shape), "outputs": _outputs(model, 0, shape)}


def check_sample(model: ExportedModel) -> float:
    """Compute the recorded outputs again and compare.

    Returns:
        Largest difference, relative to the largest value of its output.

    Raises:
        UserError: The manifest has no sample, or the outputs differ by more than `TOLERANCES`.
    """
    sample = model.manifest.get("sample")
    if not sample:
        raise UserError(f"{model.folder / MANIFEST}: has no sample; `lvt export` writes it")
    require_rules(model.folder / MANIFEST, RULES, model.manifest)
    require_size(sample["input"], model.manifest["input"])  # before noise of that size is made
    outputs = _outputs(model, sample["seed"], sample["input"])
    shapes, recorded = ([output["shape"] for output in each] for each in (outputs, sample["outputs"]))
    if shapes != recorded:
        raise UserError(f"{model.folder}: gives outputs of shapes {shapes}, recorded are {recorded}")
    worst = 0.0
    for output, expected in zip(outputs, sample["outputs"], strict=True):
        differences = np.abs(np.subtract(output["values"], expected["values"]))
        difference = float(differences.max()) / max(expected["largest"], 1e-30)
        worst = max(worst, difference if np.isfinite(difference) else float("inf"))
    allowed = TOLERANCES[model.manifest["precision"]]
    if worst > allowed:
        raise UserError(
            f"{model.folder}: differs from the recorded outputs by {worst:.1e} of the largest value, "
            f"allowed is {allowed:.0e}"
        )
    return worst


def photograph(batch: int, height: int, width: int, *, seed: int, channels: int = 3) -> np.ndarray:
    """Make noise with the spectrum of a photograph, normalised: ``(B, C, H, W)``, float32."""
    rng = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    falloff = 1 / np.maximum(np.hypot(x, y), 1 / width)
    planes = np.fft.irfft2(
        np.fft.rfft2(rng.normal(size=(batch, channels, height, width))) * falloff, (height, width)
    )
    return (planes / planes.std(axis=(2, 3), keepdims=True)).astype(np.float32)


def _outputs(model: ExportedModel, seed: int, shape: Sequence[int]) -> list[dict[str, Any]]:
    batch, channels, height, width = shape
    return [
        {
            "shape": list(value.shape),
            "largest": float(np.abs(value).max()),
            "values": _spread(value).tolist(),
        }
        for value in model(photograph(batch, height, width, seed=seed, channels=channels))
    ]


def _spread(value: np.ndarray) -> np.ndarray:
    """Pick `VALUES` values at even distances."""
    flat = value.ravel()
    return flat[np.linspace(0, flat.size - 1, min(flat.size, VALUES)).astype(np.int64)]


def main(argv: Sequence[str] | None = None) -> None:
    """Check the folders that the arguments name.

    Raises:
        UserError: An argument is wrong, or a folder fails the check.
    """
    parser = CommandParser(
        prog="python -m lvt_predict.sample",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="folder that lvt export wrote"
    )
    parser.add_argument(
        "--trust", action="store_true", help="open an exported .pt2 program, which can run any code"
    )
    arguments = parser.parse_args(argv)
    for folder in arguments.folders:
        is_whole_network = read_manifest(folder).get("task") != "panoptic"
        parts = [folder] if is_whole_network else [folder / name for name in PARTS]
        worst = max(check_sample(ExportedModel(part, trust=arguments.trust)) for part in parts)
        print(f"{folder}: gives the recorded outputs (largest difference {worst:.1e})")


if __name__ == "__main__":
    run_command(main)
