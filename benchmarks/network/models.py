"""Whole models, the literal form against ours: inference, compiled, training.

    python -m benchmarks.network [--cases CASE ...] [--repeats 9] [--json FILE]

Float32, random images; all forms have the same weights and run in turns. ``compiled`` is ours under
``torch.compile`` with its weights frozen, ``packaged`` ours as an AOTInductor package. Training is
forward and backward of class and token logits. Beside the times stands the matrix-product limit: the time of
an image's multiply-adds at the speed of ``torch.mm``, which is measured in the same run.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import timm
import torch
from torch import nn

import lvt_core  # noqa: F401  (registers lvt_cls)
from benchmarks.literal import literal_copy
from benchmarks.side_by_side import (
    Call,
    Row,
    benchmark_parser,
    device,
    line,
    record,
    relative_difference,
    side_by_side,
)
from lvt_core import SegFormer, SegFormerHead, complexity
from lvt_core.timing import hardware, seconds_of

MM_SIDE = 1024
BUILT = ("compiled", "packaged")  # PyTorch's profiler does not see their memory
MIX_BOX = torch.tensor([1, 2, 5, 6])  # the box of tokens that MixToken exchanges


@dataclass(frozen=True)
class Case:
    """One model, image size, batch and mode.

    Attributes:
        model: ``lvt_cls`` or ``segformer``.
        size: Side of the images, in pixels.
        batch: Number of images.
        mode: ``inference``, ``compiled``, ``packaged`` or ``training``.
    """

    model: str
    size: int
    batch: int
    mode: str

    def __str__(self) -> str:
        return f"{self.model} {self.size}, {self.mode}, batch {self.batch}"


CASES = {
    "eager1": Case("lvt_cls", 224, 1, "inference"),
    "eager16": Case("lvt_cls", 224, 16, "inference"),
    "compiled1": Case("lvt_cls", 224, 1, "compiled"),
    "packaged1": Case("lvt_cls", 224, 1, "packaged"),
    "training16": Case("lvt_cls", 224, 16, "training"),
    "segformer": Case("segformer", 512, 1, "inference"),
}


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser("benchmarks.network", __doc__, repeats=9)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES, metavar="CASE")
    args = parser.parse_args()
    print(hardware())
    rows = []
    for name in args.cases:
        rows.append(measure(CASES[name], repeats=args.repeats))
        text = line(str(CASES[name]), rows[-1])
        if "limit_ms" in rows[-1]:
            limit = rows[-1]["limit_ms"]
            text += f"  {rows[-1]['ours']['ms'] / limit:.2f} x the limit of {limit:.1f} ms"
        print(text, flush=True)
    record(args.json, parser.prog, rows)


def mm_speed(clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the multiply-adds a second of a large matrix product, the best of ten."""
    a, b = torch.randn(2, MM_SIDE, MM_SIDE, device=device())
    best = min(seconds_of(partial(torch.mm, a, b), clock) for _ in range(10))
    return MM_SIDE**3 / best


def measure(case: Case, *, repeats: int) -> Row:
    """Measure the literal form and ours in turns: times, peak memory, and how far their outputs differ.

    Args:
        case: Model, size, batch and mode.
        repeats: Timed calls of each form.
    """
    training = case.mode == "training"
    image = torch.randn(case.batch, 3, case.size, case.size, device=device())
    forms = models(case, image)
    call = _training_call if training else _inference_call
    calls = {form: call(model, image) for form, model in forms.items()}
    row: Row = {"case": str(case), "difference": _difference(forms, image)}
    if not training:
        macs = case.batch * complexity(_new(case.model), case.size).total_macs
        row["limit_ms"] = 1e3 * macs / mm_speed()
    return row | side_by_side(calls, repeats=repeats, warmup=2, memory=case.mode not in BUILT)


def models(case: Case, image: torch.Tensor) -> dict[str, nn.Module]:
    """Make both forms of the case's model, with equal weights.

    Args:
        case: Model and mode.
        image: Batch that ``compiled`` and ``packaged`` models are built for.
    """
    model = _new(case.model).to(device()).train(case.mode == "training")
    literal, ours = literal_copy(model), model
    if case.mode != "training":
        for name, head in copy.deepcopy(model).named_children():
            if isinstance(head, SegFormerHead):
                setattr(ours, name, head.fold())
    if case.mode in BUILT:
        import torch._inductor.config as inductor

        inductor.freezing = True  # weights become constants, as in a deployed program
        compiled: Any = partial(torch.compile, fullgraph=True)
        ours = packaged(ours, image) if case.mode == "packaged" else compiled(ours)
    return {"literal": literal, "ours": ours}


def packaged(model: nn.Module, image: torch.Tensor) -> nn.Module:
    """Write a model as an AOTInductor package and load it."""
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        program = torch.export.export(model.eval(), (image,))
        file = torch._inductor.aoti_compile_and_package(program, package_path=f"{folder}/model.pt2")
        return _Package(torch._inductor.aoti_load_package(file))


class _Package(nn.Module):
    def __init__(self, package: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.package = package

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.package(x)


def _new(model: str) -> nn.Module:
    torch.manual_seed(0)
    return SegFormer() if model == "segformer" else timm.create_model(model)


def _inference_call(model: nn.Module, image: torch.Tensor) -> Call:
    return partial(torch.inference_mode()(model), image)


def _training_call(model: nn.Module, image: torch.Tensor) -> Call:
    def step() -> None:
        model.zero_grad(set_to_none=True)
        output = model.forward_tokens(image, MIX_BOX)  # type: ignore[operator]
        (output.cls.square().mean() + output.tokens.square().mean()).backward()

    return step


@torch.inference_mode()
def _difference(forms: dict[str, nn.Module], image: torch.Tensor) -> float:
    """Return the largest difference of the outputs in evaluation, relative to the largest output."""
    modes = {form: model.training for form, model in forms.items()}
    literal, ours = (forms[form].eval()(image) for form in ("literal", "ours"))
    for form, model in forms.items():
        model.train(modes[form])
    return relative_difference(literal, ours)
