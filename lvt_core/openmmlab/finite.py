"""Training stops where a loss or the weights are no longer finite, before anything is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from lvt_core.checkpoint.finite import not_finite
from lvt_core.errors import UserError

EVERY = 10  # iterations between looks at the loss on a GPU, each of which waits for it
ADVICE = "lower optim_wrapper.optimizer.lr, or set optim_wrapper.clip_grad; earlier checkpoints are unchanged"


@HOOKS.register_module()
class FiniteHook(Hook):
    """A hook that ends training if the loss or the weights are NaN or infinite."""

    priority = "VERY_HIGH"  # before a checkpoint is saved

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at the loss of an iteration.

        Raises:
            UserError: The loss is not finite.
        """
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
        if not isinstance(loss, torch.Tensor) or (
            loss.is_cuda and not self.every_n_train_iters(runner, EVERY)
        ):
            return
        if not torch.isfinite(loss).all():
            pictures = ", ".join(_pictures(data_batch)) or "unknown"
            raise UserError(
                f"the loss is {float(loss.detach().mean())} in iteration {runner.iter + 1}, on the pictures "
                f"{pictures}: {ADVICE}"
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Look at the weights before they are written.

        Raises:
            UserError: A weight is not finite.
        """
        if name := not_finite(checkpoint.get("state_dict", {})):
            place = f"iteration {runner.iter + 1}"
            raise UserError(f"the weights are not finite after {place} ({name}); nothing is saved: {ADVICE}")


def _pictures(data_batch: Any) -> Sequence[str]:
    """Return the files of a batch's pictures."""
    samples = data_batch.get("data_samples", ()) if isinstance(data_batch, Mapping) else ()
    return [str(sample.img_path) for sample in samples if hasattr(sample, "img_path")]
