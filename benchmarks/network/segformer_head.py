"""The SegFormer head, literal form against ours: multiply-adds, time and memory.

    python -m benchmarks.network.segformer_head [--sizes 512x512 1024x2048] [--repeats 9] [--json FILE]

Both forms have the same weights and run in turns. Training is forward and backward of the head, without the
backbone, in training mode, batch 1; inference is the folded head. Peak memory is what the form allocates
beyond its inputs and weights, measured in a separate process.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.literal import LiteralSegFormerHead
from benchmarks.side_by_side import (
    Call,
    Row,
    benchmark_parser,
    device,
    line,
    peak_megabytes,
    record,
    relative_difference,
    side_by_side,
)
from lvt_core import LVTConfig, SegFormerHead
from lvt_core.errors import run_command
from lvt_core.timing import hardware

MODULE = "benchmarks.network.segformer_head"
FORMS = ("literal", "ours")
MODES = ("inference", "training")


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(MODULE, __doc__, repeats=9)
    parser.add_argument("--sizes", nargs="+", default=["512x512", "1024x2048"], metavar="HxW")
    parser.add_argument("--peak", nargs=3, metavar=("MODE", "FORM", "HxW"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        mode, form, size = args.peak
        print(peak_megabytes(head_calls(size, mode)[form]))
        return
    print(hardware())
    rows = []
    for size in args.sizes:
        for mode in MODES:
            rows.append(measure(size, mode, repeats=args.repeats))
            print(line(f"{size} {mode}", rows[-1]), flush=True)
    record(args.json, parser.prog, rows)


def measure(size: str, mode: str, *, repeats: int) -> Row:
    """Measure both forms in turns, at one image size.

    Args:
        size: ``HxW`` of the image, in pixels.
        mode: ``inference`` or ``training``.
        repeats: Timed calls of each form, after one that is not counted.
    """
    result: Row = {"size": size, "mode": mode, "difference": largest_difference(size, mode)}
    result |= side_by_side(head_calls(size, mode), repeats=repeats, memory=False)
    for form in FORMS:
        result[form]["gmacs"] = gmacs(size, mode, form)
        result[form]["peak_mb"] = _peak_in_own_process(size, mode, form)
    return result


def head_calls(size: str, mode: str) -> dict[str, Call]:
    """Make one call of each form, on random maps of an image of a size."""
    maps = _maps(size, mode, device())

    def call(head: nn.Module) -> object:
        if mode == "inference":
            with torch.inference_mode():
                return head(maps)
        return head(maps).square().mean().backward()

    return {form: partial(call, head) for form, head in _heads(mode).items()}


def largest_difference(size: str, mode: str) -> float:
    """Return the largest difference of the outputs, relative to the largest output."""
    heads, maps = _heads(mode), _maps(size, "inference", device())
    with torch.inference_mode():
        return relative_difference(heads["literal"](maps), heads["ours"](maps))


def gmacs(size: str, mode: str, form: str) -> float:
    """Count the multiply-adds of one call, in 10^9; in training the backward pass counts too."""
    maps = [x.detach().to("meta").requires_grad_(mode == "training") for x in _maps(size, mode, "cpu")]
    head = _heads(mode)[form].to("meta")
    with FlopCounterMode(display=False) as counter:
        output = head(maps)
        if mode == "training":
            output.sum().backward()
    return counter.get_total_flops() / 2e9


def _heads(mode: str) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    head = SegFormerHead(LVTConfig().embed_dims, num_classes=150)
    variance: Any = head.norm.running_var
    variance.uniform_(0.5, 2.0)
    head.dropout.p = 0.0  # random dropout would make the two forms differ
    head.train(mode == "training")
    ours = head if mode == "training" else head.fold()
    literal = LiteralSegFormerHead(copy.deepcopy(head)).train(mode == "training")
    return {"literal": literal.to(device()), "ours": ours.to(device())}


def _maps(size: str, mode: str, target: str) -> list[Tensor]:
    """Make random maps with the strides and the memory layout of LVT's own."""
    height, width = map(int, size.split("x"))
    maps = []
    for i, dim in enumerate(LVTConfig().embed_dims):
        stride = 4 * 2**i
        x = torch.randn(1, -(-height // stride), -(-width // stride), dim, device=target)
        maps.append(x.permute(0, 3, 1, 2).requires_grad_(mode == "training"))
    return maps


def _peak_in_own_process(size: str, mode: str, form: str) -> float:
    """Measure the peak memory in a new process, where the other form left nothing in the allocator."""
    words = [sys.executable, "-m", MODULE, "--peak", mode, form, size]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    run_command(main)
