"""The classifier, as the formulas are written against ours, in one run: inference and training.

    python -m benchmarks.network [--batches 1 16] [--repeats 9] [--json FILE]

224 x 224, float32, random images; both forms have the same weights and run in turns. Training is forward and
backward of class and token logits. Beside the times stands the matrix-product limit: what the multiply-adds
of an image would take at the speed of ``torch.mm``, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import timm
import torch
from torch import nn

import lvt_core  # noqa: F401  (registers lvt_cls)
from benchmarks.literal import literal_copy
from benchmarks.peak import peak_megabytes
from lvt_core import complexity
from lvt_core.files import write_text
from lvt_core.timing import hardware, seconds_of

SIZE = 224
MM_SIDE = 1024
MODES = ("inference", "training")
BOX = torch.tensor([1, 2, 5, 6])  # of MixToken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16], metavar="N")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    print(hardware())
    speed = mm_speed()
    limit = complexity(timm.create_model("lvt_cls"), SIZE).total_macs / speed
    print(f"torch.mm: {2 * speed / 1e9:.1f} GFLOP/s; limit {1e3 * limit:.1f} ms an image")
    rows = []
    for mode in MODES:
        for batch in args.batches:
            rows.append(measure(mode, batch, repeats=args.repeats))
            print(_line(rows[-1], limit), flush=True)
    if args.json:
        content = {
            "hardware": hardware(),
            "mm_gflops": 2 * speed / 1e9,
            "limit_ms": 1e3 * limit,
            "rows": rows,
        }
        write_text(args.json, json.dumps(content, indent=2) + "\n")


def mm_speed() -> float:
    """Multiply-adds a second of a large matrix product, the best of several."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = torch.randn(2, MM_SIDE, MM_SIDE, device=device)
    best = min(seconds_of(partial(torch.mm, a, b)) for _ in range(10))
    return MM_SIDE**3 / best


def measure(mode: str, batch: int, *, repeats: int) -> dict:
    """Both forms in turns: median, all times, peak memory, and how far their outputs differ.

    Args:
        mode: ``inference`` or ``training``.
        batch: Images.
        repeats: Timed calls of each form, after one that is not counted.
    """
    models, image = _models(mode), _images(batch)
    calls = {form: _call(model, image, mode) for form, model in models.items()}
    seconds: dict[str, list[float]] = {form: [] for form in calls}
    for repeat in range(repeats + 1):
        for form, call in calls.items():
            elapsed = seconds_of(call)
            if repeat:
                seconds[form].append(elapsed)
    row: dict = {"mode": mode, "batch": batch, "difference": _difference(models, image)}
    for form, call in calls.items():
        times = [1e3 * s for s in seconds[form]]
        row[form] = {"ms": statistics.median(times), "ms_all": times, "peak_mb": peak_megabytes(call)}
    return row


def _models(mode: str) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    ours = timm.create_model("lvt_cls").to(device).train(mode == "training")
    return {"literal": literal_copy(ours), "ours": ours}


def _images(batch: int) -> torch.Tensor:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.randn(batch, 3, SIZE, SIZE, device=device)


def _call(model: nn.Module, image: torch.Tensor, mode: str) -> Callable[[], object]:
    if mode == "inference":
        return partial(torch.inference_mode()(model), image)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        output = model.forward_tokens(image, BOX)  # type: ignore[operator]
        (output.cls.square().mean() + output.tokens.square().mean()).backward()

    return step


@torch.inference_mode()
def _difference(models: dict[str, nn.Module], image: torch.Tensor) -> float:
    """The largest difference of the logits, relative to the largest logit."""
    literal, ours = (models[form].eval()(image) for form in ("literal", "ours"))
    return ((literal - ours).abs().max() / literal.abs().max()).item()


def _line(row: dict, limit: float) -> str:
    literal, ours = row["literal"], row["ours"]
    text = f"{row['mode']}, batch {row['batch']}:"
    for key, unit in (("ms", "ms"), ("peak_mb", "MiB")):
        text += f"  {literal[key]:.1f} -> {ours[key]:.1f} {unit} ({ours[key] / literal[key]:.2f})"
    if row["mode"] == "inference":
        text += f"  {ours['ms'] / row['batch'] / 1e3 / limit:.2f} x the limit"
    return f"{text}  largest difference {row['difference']:.1e}"


if __name__ == "__main__":
    main()
