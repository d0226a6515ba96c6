"""Model cards: what a network is, where it comes from, what it costs, and how to load it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lvt_core.errors import UserError

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Origin:
    """Facts about a network that no checkpoint has.

    Attributes:
        license: Licence of the weights, in the hub's words, such as ``apache-2.0``.
        data: Data set of the training.
        metric: Result with its name, such as ``top-1 74.8 %``.

    Raises:
        UserError: The licence is not one word, as the hub's names are.
    """

    license: str = UNKNOWN
    data: str = UNKNOWN
    metric: str = UNKNOWN

    def __post_init__(self) -> None:
        """Check the licence, which stands in YAML."""
        if not re.fullmatch(r"[A-Za-z][\w.+-]*", self.license, re.ASCII):
            raise UserError(
                f"--license {self.license!r}: must be one word; give the hub's name, such as apache-2.0"
            )


@dataclass(frozen=True)
class Cost:
    """Cost of a network.

    Attributes:
        params: Number of parameters.
        macs: Multiply-adds of one image; ``None`` if they were not counted.
        size: Height and width of that image.
    """

    params: int
    macs: float | None = None
    size: tuple[int, int] = (0, 0)


def model_card(*, title: str, architecture: str, task: str, cost: Cost, origin: Origin, loading: str) -> str:
    """Write the README of a hub folder, with the front matter that the hub reads.

    Args:
        title: Name of the network.
        architecture: Name of the architecture.
        task: Task in the hub's words.
        cost: Cost of the network.
        origin: Facts from the user.
        loading: Python code that loads the folder, with ``{title}`` for its name.
    """
    macs = ""
    if cost.macs is not None:
        height, width = cost.size
        macs = f"| Multiply-adds | {cost.macs / 1e9:.3g} G for one image of {height} x {width} pixels |\n"
    license_line = f"license: {origin.license if origin.license != UNKNOWN else 'other'}"
    return f"""---
library_name: timm
pipeline_tag: {task}
{license_line}
tags:
- {task}
- lvt
- timm
---
# {title}

{architecture}: the Lite Vision Transformer with enhanced self-attention
([Yang et al., CVPR 2022](https://arxiv.org/abs/2112.10809)).

| | |
|---|---|
| Licence of the weights | {origin.license} |
| Training data | {_cell(origin.data)} |
| Result | {_cell(origin.metric)} |
| Parameters | {cost.params:,} |
{macs}
## Load it

```python
{loading.format(title=title)}
print(lvt_core.load("{title}").predict("photo.jpg"))
```
"""


def _cell(text: str) -> str:
    """Return text as one line that a table's cell can hold."""
    return " ".join(text.split()).replace("|", "\\|") or UNKNOWN
