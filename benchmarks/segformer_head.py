"""The SegFormer head, as published against ours: multiply-adds, time and memory, in one run.

    python -m benchmarks.segformer_head [--sizes 512x512 1024x2048] [--repeats 9] [--json FILE]

Both forms have the same weights and run in turns. Training is forward and backward of the head alone, in
training mode, batch 1; inference is the folded head. Peak memory is what the form allocates beyond its inputs
and weights, measured in a separate pass.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.literal import LiteralSegFormerHead
from benchmarks.peak import peak_megabytes
from benchmarks.side_by_side import Row, line, record, side_by_side
from lvt_core import LVTConfig, SegFormerHead
from lvt_core.timing import hardware

FORMS = ("literal", "ours")
MODES = ("inference", "training")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["512x512", "1024x2048"], metavar="HxW")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--peak", nargs=3, metavar=("MODE", "FORM", "HxW"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        mode, form, size = args.peak
        print(peak_megabytes(_calls(size, mode)[form]))
        return
    print(hardware())
    rows = []
    for size in args.sizes:
        for mode in MODES:
            rows.append(measure(size, mode, repeats=args.repeats))
            print(line(f"{size} {mode}", rows[-1]), flush=True)
    record(args.json, "python -m benchmarks.segformer_head", rows)


def measure(size: str, mode: str, *, repeats: int) -> Row:
    """Both forms in turns, at one image size.

    Args:
        size: ``HxW`` of the image, in pixels.
        mode: ``inference`` or ``training``.
        repeats: Timed calls of each form, after one that is not counted.
    """
    result: Row = {"size": size, "mode": mode, "difference": _difference(size, mode)}
    result |= side_by_side(_calls(size, mode), repeats=repeats, memory=False)
    for form in FORMS:
        result[form]["gmacs"] = _gmacs(size, mode, form)
        result[form]["peak_mb"] = _peak_in_own_process(size, mode, form)
    return result


def _heads(mode: str) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    head = SegFormerHead(LVTConfig().embed_dims, num_classes=150)
    variance: Any = head.norm.running_var
    variance.uniform_(0.5, 2.0)
    head.dropout.p = 0.0  # both forms see the same
    head.train(mode == "training")
    ours = head if mode == "training" else head.fold()
    device = _device()
    literal = LiteralSegFormerHead(copy.deepcopy(head)).train(mode == "training")
    return {"literal": literal.to(device), "ours": ours.to(device)}


def _maps(size: str, mode: str, device: str) -> list[Tensor]:
    """Random maps laid out as LVT gives them."""
    height, width = map(int, size.split("x"))
    maps = []
    for i, dim in enumerate(LVTConfig().embed_dims):
        stride = 4 * 2**i
        x = torch.randn(1, -(-height // stride), -(-width // stride), dim, device=device)
        maps.append(x.permute(0, 3, 1, 2).requires_grad_(mode == "training"))
    return maps


def _calls(size: str, mode: str) -> dict[str, Callable[[], object]]:
    maps = _maps(size, mode, _device())

    def call(head: nn.Module) -> object:
        if mode == "inference":
            with torch.inference_mode():
                return head(maps)
        return head(maps).square().mean().backward()

    return {form: partial(call, head) for form, head in _heads(mode).items()}


def _difference(size: str, mode: str) -> float:
    """The largest difference of the outputs, relative to the largest output."""
    heads, maps = _heads(mode), _maps(size, "inference", _device())
    with torch.inference_mode():
        literal, ours = heads["literal"](maps), heads["ours"](maps)
    return ((literal - ours).abs().max() / literal.abs().max()).item()


def _gmacs(size: str, mode: str, form: str) -> float:
    """Multiply-adds of one call; in training with those of the backward pass."""
    maps = [x.detach().to("meta").requires_grad_(mode == "training") for x in _maps(size, mode, "cpu")]
    head = _heads(mode)[form].to("meta")
    with FlopCounterMode(display=False) as counter:
        output = head(maps)
        if mode == "training":
            output.sum().backward()
    return counter.get_total_flops() / 2e9


def _peak_in_own_process(size: str, mode: str, form: str) -> float:
    """A process of its own: what one form leaves in the allocator is no gift to the other."""
    words = [sys.executable, "-m", "benchmarks.segformer_head", "--peak", mode, form, size]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
