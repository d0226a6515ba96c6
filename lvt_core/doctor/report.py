"""The report on a data set: what it contains, what is odd, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SHOWN = 20  # defects of a kind that the table shows; JSON has all


@dataclass
class Report:
    """Facts, notes and defects of a data set.

    Attributes:
        kind: Layout of the data set.
        facts: Facts by their names, in the order of the table.
        notes: Sentences on what is odd, but does not stop a training.
        defects: Sentences on what is wrong, by kind.
    """

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    defects: dict[str, list[str]] = field(default_factory=dict)

    def add_defect(self, kind: str, text: str) -> None:
        """Add a defect."""
        self.defects.setdefault(kind, []).append(text)

    @property
    def count(self) -> int:
        """Number of defects."""
        return sum(map(len, self.defects.values()))

    def to_json(self) -> str:
        """Return everything as one line of JSON."""
        content = {"layout": self.kind, "facts": self.facts, "notes": self.notes, "defects": self.defects}
        return json.dumps(content, ensure_ascii=False)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the table."""
        yield f"layout: {self.kind}"
        width = max(map(len, self.facts), default=0)
        for name, value in self.facts.items():
            yield f"{name:<{width}}  {_shown(value)}"
        for note in self.notes:
            yield f"note: {note}"
        for kind, texts in self.defects.items():
            yield f"{kind}: {len(texts)}"
            for text in texts[:SHOWN]:
                yield f"  {text}"
            if len(texts) > SHOWN:
                yield f"  and {len(texts) - SHOWN} more; --json lists all"
        yield f"{self.count} defects" if self.count else "no defect"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
