"""Model cards: what a network is, where it comes from, what it costs, and how to load it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from lvt_core.complexity import complexity

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Origin:
    """Facts about a network that no checkpoint has.

    Attributes:
        license: Licence of the weights, in the hub's words, such as ``apache-2.0``.
        data: Data set of the training.
        metric: Result with its name, such as ``top-1 74.8 %``.
    """

    license: str = UNKNOWN
    data: str = UNKNOWN
    metric: str = UNKNOWN


def model_card(
    model: nn.Module,
    *,
    title: str,
    architecture: str,
    task: str,
    size: tuple[int, int],
    origin: Origin,
    loading: str,
) -> str:
    """Write the README of a hub folder, with the front matter that the hub reads.

    Args:
        model: Network.
        title: Name of the network.
        architecture: Name of the architecture.
        task: Task in the hub's words.
        size: Height and width of the image whose cost is counted.
        origin: Facts from the user.
        loading: Python code that loads the folder.
    """
    with torch.no_grad():
        cost = complexity(model, size)
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
| Training data | {origin.data} |
| Result | {origin.metric} |
| Parameters | {cost.total_params:,} |
| Multiply-adds | {cost.total_macs / 1e9:.3g} G for one image of {size[0]} x {size[1]} pixels |

## Load it

```python
{loading}
```
"""
