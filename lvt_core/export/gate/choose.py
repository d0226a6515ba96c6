"""The choice of the gate that an export must pass."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from lvt_core.errors import UserError
from lvt_core.export.forms.graph import Outputs
from lvt_core.export.gate.labelled import JudgedImages
from lvt_core.export.gate.parity import Parity, ParityGate, Size
from lvt_core.export.gate.scores import ScoreGate, Scores
from lvt_core.export.job import Export, Runtime
from lvt_predict.model import ExportedModel

Checked = Parity | Scores
Gate = Callable[[nn.Module, ExportedModel], Checked]  # the model and the opened file; raises UserError


def choose_gate(
    export: Export, runtime: Runtime, *, data: JudgedImages | None = None, before: nn.Module | None = None
) -> Gate:
    """Choose parity for float32, the task's score for lower precisions.

    Args:
        export: Description of the export.
        runtime: Runtime of the file.
        data: Labelled images.
        before: Network before its fine-tuning for int8.

    Raises:
        UserError: A lower precision has no labelled images to be judged on.
    """
    if export.precision == "fp32":
        return ParityGate(sizes_of(export, runtime.largest), data, export.channels)
    if data is None:
        raise UserError(f"--precision {export.precision}: requires --data FOLDER, which judges it")
    sizes = sizes_of(export, runtime.largest) if export.any_batch else ()
    return ScoreGate(data, sizes, export.channels, before and Outputs(before.eval()))


def sizes_of(export: Export, largest: tuple[int, int]) -> list[Size]:
    """List batches and sizes to run; free sizes run from small to large to small, odd ones among them."""
    height, width = export.size
    most, longest = largest
    if not export.dynamic:
        batches = (1, min(3, most), 1) if export.free_batch else (export.batch,)
        return [(batch, height, width) for batch in batches]

    def fit(batch: int, height: int, width: int) -> Size:
        sides = (min(max(side, export.min_size), longest) for side in (height, width))
        return (min(batch, most), *sides)  # type: ignore[return-value]

    smallest = (1, export.min_size, export.min_size)
    drawn = [(1, height, width), (3, height + 27, width - 13), (2, height // 2, width + 1)]
    return [smallest, *(fit(*size) for size in drawn), smallest]
