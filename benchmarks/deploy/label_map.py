"""Label maps: resizing all logits and argmax against `label_map`, which interpolates where classes compete.

    OMP_NUM_THREADS=1 python -m benchmarks.deploy.label_map [--sizes 512x512 ...] [--repeats 7] [--json FILE]

Logits of 150 classes have a quarter of the size. Four kinds: those of a SegFormer that was trained for a
few steps on scenes of random regions; smooth random fields; rough ones, with a photograph's spectrum; and
noise, where nothing can be left out. The forms run in turns. Peak memory is what a call allocates beyond its
inputs.
"""

from __future__ import annotations

import tracemalloc
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.side_by_side import (
    Call,
    Row,
    benchmark_parser,
    line,
    peak_megabytes,
    record,
    side_by_side,
)
from lvt_core import SegFormer
from lvt_core.config import LVTConfig
from lvt_core.errors import run_command
from lvt_core.semantic.resized import Resizing, label_map
from lvt_core.timing import hardware
from lvt_predict.label_map import bilinear_matrix, label_map as label_map_of_arrays
from lvt_predict.sample import photograph

CLASSES, STRIDE = 150, 4
KINDS = ("trained", "smooth", "rough", "noise")
FORMS = ("PyTorch, channels last", "PyTorch, contiguous", "numpy")


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser("benchmarks.deploy.label_map", __doc__, repeats=7)
    parser.add_argument("--sizes", nargs="+", default=["512x512", "1024x2048"], metavar="HxW")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, help="kinds of logits")
    parser.add_argument("--steps", type=int, default=60, help="training steps of the SegFormer")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(hardware())
    model = trained_segformer(args.steps) if "trained" in args.kinds else None
    rows = []
    for size in args.sizes:
        height, width = map(int, size.split("x"))
        for kind in args.kinds:
            logits = make_logits(kind, (height, width), model)
            for form in FORMS:
                rows.append({"size": size, "kind": kind, "form": form})
                rows[-1] |= measure(form, logits, (height, width), repeats=args.repeats)
                print(line(f"{size} {kind}, {form}", rows[-1]), flush=True)
    record(args.json, parser.prog, rows, steps=args.steps)


def measure(form: str, logits: Tensor, size: tuple[int, int], *, repeats: int) -> Row:
    """Measure both ways in turns, after comparing their maps.

    Args:
        form: Entry of `FORMS`.
        logits: ``(1, C, H, W)``.
        size: Height and width of the map.
        repeats: Timed calls of each way.
    """
    calls = _calls(form, logits, size)
    different = int((np.asarray(calls["literal"]()) != np.asarray(calls["ours"]())).sum())
    result: Row = {"different_pixels": different}
    result |= side_by_side(calls, repeats=repeats, memory=False)
    for name, call in calls.items():
        result[name]["peak_mb"] = round(_peak(call), 3)
    return result


def make_logits(kind: str, size: tuple[int, int], model: SegFormer | None) -> Tensor:
    """Make logits ``(1, 150, H / 4, W / 4)`` of a kind for an image of a size."""
    height, width = (side // STRIDE for side in size)
    if kind == "trained":
        assert model is not None
        with torch.inference_mode():
            return model(scenes(1, size, seed=1)[0]).clone()
    generator = torch.Generator().manual_seed(0)
    if kind == "smooth":
        coarse = torch.randn(1, CLASSES, height // 16 + 1, width // 16 + 1, generator=generator)
        return F.interpolate(coarse, size=(height, width), mode="bicubic")
    if kind == "rough":
        return torch.from_numpy(photograph(1, height, width, seed=0, channels=CLASSES))
    return torch.randn(1, CLASSES, height, width, generator=generator)


def trained_segformer(steps: int) -> SegFormer:
    """Train SegFormer-LVT of 150 classes for a few steps on small scenes."""
    torch.manual_seed(0)
    model = SegFormer(LVTConfig(num_classes=CLASSES)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step in range(steps):
        images, labels = scenes(4, (128, 128), seed=100 + step)
        logits = F.interpolate(model(images), size=labels.shape[1:], mode="bilinear")
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"SegFormer, {steps} steps: cross-entropy {loss.item():.2f}")
    return model.eval()


def scenes(count: int, size: tuple[int, int], *, seed: int) -> tuple[Tensor, Tensor]:
    """Make images ``(B, 3, H, W)`` of regions, each with its class's colour and texture, and their labels."""
    rng = np.random.default_rng(seed)
    palette = np.random.default_rng(0).normal(size=(CLASSES, 3)).astype(np.float32) * 2
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    labels = np.empty((count, *size), np.int64)
    for out in labels:
        regions = max(size[0] * size[1] // 4096, 4)
        rows, columns = rng.uniform(0, size[0], regions), rng.uniform(0, size[1], regions)
        distance, owner = np.full(size, np.inf), np.zeros(size, np.int64)
        for region, (row, column) in enumerate(zip(rows, columns, strict=True)):
            new = (y - row) ** 2 + (x - column) ** 2
            owner[new < distance] = region
            np.minimum(distance, new, out=distance)
        out[:] = rng.integers(0, CLASSES, regions)[owner]
    images = palette[labels].transpose(0, 3, 1, 2) + photograph(count, *size, seed=seed) / 2
    return torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels)


def _calls(form: str, logits: Tensor, size: tuple[int, int]) -> dict[str, Call]:
    if form == "numpy":
        array = logits.contiguous().numpy()
        return {
            "literal": partial(literal_array, array, size),
            "ours": partial(label_map_of_arrays, array, size),
        }
    layout = torch.channels_last if form.endswith("last") else torch.contiguous_format
    logits, resizing = logits.contiguous(memory_format=layout), Resizing(size)
    return {
        "literal": lambda: resizing(logits).argmax(dim=1),
        "ours": lambda: label_map(logits, resizing),
    }


def literal_array(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize logits ``(1, C, H, W)`` in numpy one class at a time, and keep the largest."""
    down, across = (_pairs(bilinear_matrix(logits.shape[2 + i], size[i])) for i in (0, 1))
    largest, labels = np.full(size, -np.inf, np.float32), np.zeros(size, np.int64)
    for index, values in enumerate(logits[0]):
        (left, one), (right, other) = across
        values = values[:, left] * one + values[:, right] * other
        (top, one), (bottom, other) = down
        values = values[top] * one[:, None] + values[bottom] * other[:, None]
        labels[values > largest] = index
        np.maximum(largest, values, out=largest)
    return labels[None]


def _pairs(matrix: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split a matrix of linear interpolation into two pairs of places and weights."""
    first = np.minimum((matrix != 0).argmax(axis=1), matrix.shape[1] - 2)
    pixels = np.arange(len(matrix))
    return [(first + step, matrix[pixels, first + step]) for step in (0, 1)]


def _peak(call: Call) -> float:
    """Return the most MiB that PyTorch and numpy allocate during a call."""
    tracemalloc.start()
    call()
    arrays = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return arrays + peak_megabytes(call)


if __name__ == "__main__":
    run_command(main)
