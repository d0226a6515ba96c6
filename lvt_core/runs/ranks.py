"""Processes of one run: all have the same data and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lvt_core.errors import UserError


def require_same_facts(everywhere: Sequence[Mapping[str, Any]]) -> None:
    """Reject processes that differ in what all must share: they would wait for each other for ever.

    Args:
        everywhere: Facts of each process, by their names for readers.

    Raises:
        UserError: A process has another value than the first one.
    """
    for rank, theirs in enumerate(everywhere):
        for name, value in everywhere[0].items():
            if theirs.get(name) != value:
                raise UserError(
                    f"process {rank} has {name} = {theirs.get(name)}, process 0 has {value}; "
                    "all processes need the same data and options"
                )
