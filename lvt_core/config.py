"""The architecture's numbers, declared and checked in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

NUM_STAGES = 4
MIXERS = ("csa", "rasa")
MIN_INPUT_SIZE = 32


@dataclass(frozen=True)
class LVTConfig:
    """Architecture of LVT; the defaults are the published network (paper, table 1).

    Every tuple has one entry per stage. Sequences are accepted and stored as tuples.

    Attributes:
        in_chans: Channels of the input image.
        num_classes: Classes of the classifier; 0 means no head (features only).
        depths: Blocks per stage.
        embed_dims: Channels per stage.
        num_heads: Attention heads per stage; each must divide the stage's channels.
        mlp_ratios: Hidden width of the MLP over the stage's channels.
        mixers: ``'csa'`` (with a plain MLP) or ``'rasa'`` (with a depthwise MLP) per stage.
        sr_ratios: Side of the key/value reduction per stage; not used in CSA stages.
        atrous_rates: Dilations of RASA's query; ``None`` or ``()`` turns the atrous query off. timm drops
            keywords with ``None``, so pass ``()`` to `timm.create_model`.
        num_recursions: Steps of RASA's recursion; 1 means no recursion.
        drop_rate: Dropout after every projection and MLP layer, and before the classifier's head.
        attn_drop_rate: Dropout on the attention weights.
        drop_path_rate: Stochastic depth of the last block; it rises linearly from 0.

    Raises:
        ValueError: A field has a wrong value; the message names the field, the value and what is allowed.
    """

    in_chans: int = 3
    num_classes: int = 1000
    depths: tuple[int, ...] = (2, 2, 2, 2)
    embed_dims: tuple[int, ...] = (64, 64, 160, 256)
    num_heads: tuple[int, ...] = (2, 2, 5, 8)
    mlp_ratios: tuple[float, ...] = (4, 8, 4, 4)
    mixers: tuple[str, ...] = ("csa", "rasa", "rasa", "rasa")
    sr_ratios: tuple[int, ...] = (8, 4, 2, 1)
    atrous_rates: tuple[int, ...] | None = (1, 3, 5)
    num_recursions: int = 2
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.0

    def __post_init__(self) -> None:
        self._check_int("in_chans", 1)
        self._check_int("num_classes", 0)
        self._check_int("num_recursions", 1)
        for name in ("depths", "embed_dims", "num_heads", "sr_ratios"):
            self._check_per_stage(name)
            for value in getattr(self, name):
                _require(_is_int(value) and value >= 1, name, getattr(self, name), "integers >= 1")
        self._check_per_stage("mlp_ratios")
        for ratio, dim in zip(self.mlp_ratios, self.embed_dims, strict=True):
            ok = _is_number(ratio) and int(dim * ratio) >= 1
            _require(ok, "mlp_ratios", self.mlp_ratios, "numbers that give at least one channel")
        self._check_per_stage("mixers")
        for mixer in self.mixers:
            _require(mixer in MIXERS, "mixers", self.mixers, f"one of {MIXERS} per stage")
        for dim, heads in zip(self.embed_dims, self.num_heads, strict=True):
            allowed = f"a divisor of embed_dims={self.embed_dims} per stage"
            _require(dim % heads == 0, "num_heads", self.num_heads, allowed)
        if self.atrous_rates is not None:
            self._to_tuple("atrous_rates")
            ok = all(_is_int(r) and r >= 1 for r in self.atrous_rates)
            _require(ok, "atrous_rates", self.atrous_rates, "None or integers >= 1")
            object.__setattr__(self, "atrous_rates", self.atrous_rates or None)
        for name in ("drop_rate", "attn_drop_rate", "drop_path_rate"):
            value = getattr(self, name)
            _require(_is_number(value) and 0 <= value < 1, name, value, "a number in [0, 1)")

    def _check_int(self, name: str, low: int) -> None:
        value = getattr(self, name)
        _require(_is_int(value) and value >= low, name, value, f"an integer >= {low}")

    def _check_per_stage(self, name: str) -> None:
        self._to_tuple(name)
        value = getattr(self, name)
        _require(len(value) == NUM_STAGES, name, value, f"{NUM_STAGES} entries, one per stage")

    def _to_tuple(self, name: str) -> None:
        value = getattr(self, name)
        ok = isinstance(value, Sequence) and not isinstance(value, str)
        _require(ok, name, value, "a tuple or list")
        object.__setattr__(self, name, tuple(value))  # the dataclass is frozen

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """Return the names of all fields, in order."""
        return tuple(field.name for field in fields(cls))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _require(ok: bool, name: str, value: Any, allowed: str) -> None:
    if not ok:
        raise ValueError(f"LVTConfig.{name}={value!r}: must be {allowed}")
