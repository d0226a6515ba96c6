"""The configuration rejects impossible networks."""

from __future__ import annotations

import pytest

from lvt_core import LVTConfig


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("in_chans", 0, "an integer >= 1"),
        ("num_classes", -1, "an integer >= 0"),
        ("num_classes", 1.5, "an integer >= 0"),
        ("depths", (2, 2, 2), "4 entries"),
        ("depths", (2, 2, 0, 2), "integers >= 1"),
        ("depths", 8, "a tuple or list"),
        ("embed_dims", (64, 64, 160, "256"), "integers >= 1"),
        ("num_heads", (2, 2, 3, 8), "a divisor of embed_dims"),
        ("mlp_ratios", (4, 4, 4, 0), "at least one channel"),
        ("mixers", ("csa", "rasa", "rasa", "conv"), "one of ('csa', 'rasa')"),
        ("sr_ratios", (1, 0, 1, 1), "integers >= 1"),
        ("atrous_rates", (0,), "None or integers >= 1"),
        ("num_recursions", 0, "an integer >= 1"),
        ("drop_rate", 1.0, "a number in [0, 1)"),
        ("attn_drop_rate", "0.1", "a number in [0, 1)"),
        ("drop_path_rate", -0.1, "a number in [0, 1)"),
    ],
)
def test_rejects_bad_values(name: str, value: object, allowed: str) -> None:
    with pytest.raises(ValueError, match="LVTConfig") as caught:
        LVTConfig(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"LVTConfig.{name}={value!r}: must be ")
    assert allowed in message


def test_no_rates_are_none() -> None:
    assert LVTConfig(atrous_rates=()) == LVTConfig(atrous_rates=None)


def test_lists_become_tuples_and_the_config_is_frozen() -> None:
    config = LVTConfig(depths=[1, 1, 1, 1])
    assert config.depths == (1, 1, 1, 1)
    with pytest.raises(AttributeError):
        config.depths = (2, 2, 2, 2)
