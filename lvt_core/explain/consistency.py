"""How often neighbours have different classes, with a network as it is and without one of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvt_core.config import LVTConfig
from lvt_core.explain.attention import RecordedRecursion, mix_uniformly, rate_queries
from lvt_core.explain.walk import Mixer, Network, local_logits, unchanged, walk
from lvt_core.layers import CSA, RASA

WHOLE = "the network as it is"


@dataclass(frozen=True)
class Variant:
    """Predictions of a network, whole or without a part.

    Attributes:
        name: Name of the variant, for readers.
        classes: Class of each place, ``(h, w)``.
        disagreement: Share of neighbouring places whose classes differ; ``None`` for a single place.
        changed: Share of places whose class differs from the whole network's.
    """

    name: str
    classes: Tensor
    disagreement: float | None
    changed: float


def compare_variants(model: Network, images: Tensor) -> list[Variant]:
    """Predict with the whole network first, then without each part that it has."""
    variants: list[Variant] = []
    for name, mixer in mixers_of(model.config).items():
        maps = walk(model.backbone, images, mixer=mixer).maps
        classes = local_logits(model, maps)[0].argmax(dim=0)  # (h, w)
        whole = variants[0].classes if variants else classes
        changed = (classes != whole).float().mean().item()
        variants.append(Variant(name, classes, disagreement(classes), changed))
    return variants


def disagreement(classes: Tensor) -> float | None:
    """Return the share of pairs of neighbours, above or beside each other, that have different classes.

    Args:
        classes: Classes ``(h, w)``.
    """
    pairs = (classes[1:] != classes[:-1], classes[:, 1:] != classes[:, :-1])
    differ = torch.cat([pair.flatten() for pair in pairs])
    return differ.float().mean().item() if len(differ) else None


def mixers_of(config: LVTConfig) -> dict[str, Mixer]:
    """Return how the mixers work in each variant of an architecture; the whole network is the first."""
    mixers: dict[str, Mixer] = {WHOLE: unchanged}
    rates = config.atrous_rates or ()
    if "rasa" in config.mixers and config.num_recursions > 1:
        mixers[f"one recursion instead of {config.num_recursions}"] = _one_recursion
    if "rasa" in config.mixers and len(rates) > 1:
        listed = ", ".join(map(str, rates))
        mixers[f"only rate {min(rates)} instead of {listed}"] = partial(_one_rate, rate=min(rates))
    if "csa" in config.mixers:
        mixers["CSA with equal weights of 1/9"] = _equal_weights
    return mixers


def _one_recursion(layer: nn.Module, x: Tensor) -> Tensor:
    """Stop after the first step; its SiLU stays, because the weights were trained with it."""
    return F.silu(layer.step(x)) if isinstance(layer, RASA) else layer(x)


def _one_rate(layer: nn.Module, x: Tensor, *, rate: int) -> Tensor:
    if not isinstance(layer, RASA):
        return layer(x)
    rasa = layer
    return RecordedRecursion(rasa, lambda x: rate_queries(rasa, x)[rate])(x)


def _equal_weights(layer: nn.Module, x: Tensor) -> Tensor:
    return mix_uniformly(layer, x) if isinstance(layer, CSA) else layer(x)
