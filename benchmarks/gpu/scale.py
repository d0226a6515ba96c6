"""Sizes, calls and targets that the parts of `benchmarks.gpu` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.network.peers import LVT, PEERS
from benchmarks.side_by_side import Call, Row, device, relative_difference
from lvt_core.timing import synchronize


@dataclass(frozen=True)
class Scale:
    """Sizes of all parts.

    Attributes:
        batch: Images per batch; their size is 224 x 224 pixels.
        label_batch: Images per batch of the part ``labels``.
        peers: Names of models in timm, keys of `benchmarks.network.peers.PEERS`.
        csa_maps: Shapes ``(B, H, W)`` of the maps of the part ``csa``.
        segmentation: Height and width of the image of the part ``segmentation``.
        panoptic: Height and width of the image of the part ``panoptic``.
        repeats: Timed calls of each form; parts with quick calls take two or four times as many.
        warmup: Calls of each form before the timed ones; a CUDA graph needs several.
        model: Keywords of ``timm.create_model("lvt_cls")`` and fields of `LVTConfig`.
        inductor: Compile to kernels; if False, `torch.compile` only traces.
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


def autocast() -> torch.autocast:
    """Enter the bfloat16 mixed precision that all forms run in."""
    return torch.autocast(device(), dtype=torch.bfloat16)


def inference(model: Callable[..., Any], image: Tensor) -> Call:
    """Make a call of a model in mixed precision, without gradients."""

    def call() -> object:
        with torch.no_grad(), autocast():
            return model(image)

    return call


def compiled(model: Callable[..., Any], scale: Scale, **options: Any) -> Any:
    """Compile a model for the image size that it is called with."""
    if scale.inductor:
        return torch.compile(model, dynamic=False, **options)
    return torch.compile(model, dynamic=False, backend="eager")


def difference(models: Mapping[str, nn.Module], image: Tensor) -> float:
    """Compare the outputs of ``literal`` and ``ours``: largest difference, relative to the largest output."""
    literal, ours = (inference(models[form], image)() for form in ("literal", "ours"))
    assert isinstance(literal, Tensor) and isinstance(ours, Tensor)
    return relative_difference(literal, ours)


def target(name: str, forms: Mapping[str, Row], bound: float, *, key: str = "ms", to: str = "literal") -> Row:
    """Compare the best of our forms with a target.

    Args:
        name: Name of the compared quantity.
        forms: Result of `side_by_side`; names of our forms begin with ``ours``.
        bound: Smallest ratio of the other form's figure to ours that meets the target.
        key: Figure to compare: ``ms`` or ``peak_mb``.
        to: Name of the other form.
    """
    best = min((form for form in forms if form.startswith("ours")), key=lambda form: forms[form][key])
    # A form may need no memory beyond its inputs: avoid a division by zero.
    factor = forms[to][key] / max(forms[best][key], 1e-3)
    return {"name": name, "best": best, "times_less": factor, "bound": bound, "met": factor >= bound}


def finish() -> None:
    """Release the memory of a part's compiled graphs, before the next one is measured."""
    torch.compiler.reset()
    synchronize()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


Part = Callable[[Scale], Iterator[Row]]
