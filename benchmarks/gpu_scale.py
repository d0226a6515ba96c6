"""What the parts of `benchmarks.gpu` share: how large they are, how a form is called, what a row says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers import LVT, PEERS
from benchmarks.side_by_side import Call, Row
from lvt_core.timing import synchronize


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        batch: Images of a batch of 224 x 224 pixels.
        label_batch: Images whose token labels are made.
        peers: Models of timm, of `benchmarks.peers`.
        csa_maps: ``(B, H, W)`` of the maps that CSA is measured on alone.
        segmentation: Height and width of the image.
        panoptic: The same.
        repeats: Timed calls of each form, twice or four times as many of the quickest.
        warmup: Calls before them; a CUDA graph needs some.
        model: Keywords of ``timm.create_model("lvt_cls")`` and fields of `LVTConfig`.
        inductor: Compile to kernels; otherwise `torch.compile` only traces.
    """

    batch: int
    label_batch: int
    peers: tuple[str, ...]
    csa_maps: tuple[tuple[int, int, int], ...]
    segmentation: tuple[int, int]
    panoptic: tuple[int, int]
    repeats: int
    warmup: int
    model: Mapping[str, Any] = field(default_factory=dict)
    inductor: bool = True


FULL = Scale(
    batch=256,
    label_batch=128,
    peers=tuple(name for name in PEERS if name != LVT),
    csa_maps=((1, 56, 56), (32, 56, 56), (256, 56, 56), (1, 128, 128), (1, 200, 336), (64, 57, 77)),
    segmentation=(512, 512),
    panoptic=(800, 1333),
    repeats=15,
    warmup=5,
)
TINY = Scale(
    batch=2,
    label_batch=2,
    peers=("mobilenetv4_conv_small",),
    csa_maps=((1, 7, 9),),
    segmentation=(64, 64),
    panoptic=(64, 96),
    repeats=1,
    warmup=1,
    model={
        "embed_dims": (16, 16, 32, 32),
        "num_heads": (2, 2, 2, 2),
        "depths": (1, 1, 1, 1),
        "num_recursions": 1,
    },
    inductor=False,
)


def device() -> str:
    """Where the measurements run."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def autocast() -> torch.autocast:
    """bfloat16 mixed precision, under which all forms run."""
    return torch.autocast(device(), dtype=torch.bfloat16)


def inference(model: Callable[..., Any], image: Tensor) -> Call:
    """A call of a model in mixed precision, without gradients."""

    def call() -> object:
        with torch.no_grad(), autocast():
            return model(image)

    return call


def compiled(model: Callable[..., Any], scale: Scale, **options: Any) -> Any:
    """A model compiled for the size that it is called with."""
    if scale.inductor:
        return torch.compile(model, dynamic=False, **options)
    return torch.compile(model, dynamic=False, backend="eager")


def difference(models: Mapping[str, nn.Module], image: Tensor) -> float:
    """How far the outputs of ``literal`` and ``ours`` are apart, relative to the largest one."""
    literal, ours = (inference(models[form], image)() for form in ("literal", "ours"))
    assert isinstance(literal, Tensor) and isinstance(ours, Tensor)
    return ((literal - ours).abs().max() / literal.abs().max()).item()


def target(name: str, forms: Mapping[str, Row], bound: float, *, key: str = "ms", to: str = "literal") -> Row:
    """The best of our forms held against a target.

    Args:
        name: What is compared.
        forms: Results of `side_by_side`; the names of ours begin with ``ours``.
        bound: How many times less than the other form ours must take.
        key: Of what: ``ms`` or ``peak_mb``.
        to: The other form.
    """
    best = min((form for form in forms if form.startswith("ours")), key=lambda form: forms[form][key])
    # A form that fits into what is there already needs no memory of its own.
    factor = forms[to][key] / max(forms[best][key], 1e-3)
    return {"name": name, "best": best, "times_less": factor, "bound": bound, "met": factor >= bound}


def finish() -> None:
    """Release what a part's compiled graphs hold before the next one is measured."""
    torch.compiler.reset()
    synchronize()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


Part = Callable[[Scale], Iterator[Row]]
