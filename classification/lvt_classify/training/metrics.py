"""Exact metrics: counts are summed over batches and ranks, and divided once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lvt_classify.runtime import Runtime


class AccuracyCounter:
    """Cross-entropy, top-1 and top-5 accuracy of a data set, counted per sample.

    Args:
        device: Device that holds the counts, so that no batch waits for the host.
    """

    def __init__(self, device: torch.device) -> None:
        # Sum of losses, top-1 hits, top-5 hits, samples. float64 counts exactly up to 2^53; MPS lacks it.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.sums = torch.zeros(4, device=device, dtype=dtype)

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Count a batch: logits ``(B, K)``, classes ``(B,)``."""
        logits = logits.float()
        loss = F.cross_entropy(logits, targets, reduction="sum")
        ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (B, 5)
        hits = ranked == targets[:, None]
        count = loss.new_full((), len(targets))  # `torch.tensor` would wait for the GPU
        self.sums += torch.stack((loss, hits[:, 0].sum(), hits.sum(), count))

    def result(self, runtime: Runtime) -> dict[str, float]:
        """Return ``loss``, ``top1`` and ``top5`` in percent, and ``samples``, over all ranks."""
        loss, top1, top5, samples = runtime.sum(self.sums.clone()).tolist()
        samples = max(samples, 1.0)
        return {
            "loss": loss / samples,
            "top1": 100.0 * top1 / samples,
            "top5": 100.0 * top5 / samples,
            "samples": int(samples),
        }
