"""What an accelerator's delegate takes of a graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Delegation:
    """How a graph is shared between a delegate and its runtime.

    Attributes:
        partitions: How many pieces the delegate takes.
        outside: Operators that it leaves to the runtime, by name, and how many there are.
    """

    partitions: int
    outside: dict[str, int]

    def __str__(self) -> str:
        pieces = "1 piece" if self.partitions == 1 else f"{self.partitions} pieces"
        names = sorted(self.outside, key=lambda name: (-self.outside[name], name))
        left = ", ".join(f"{self.outside[name]} {name}" for name in names)
        return f"takes {pieces}" + (f"; leaves {left}" if left else " and all operators")
