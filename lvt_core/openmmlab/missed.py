"""The validation that a killed run missed: it is made up for when the run continues."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner


@HOOKS.register_module()
class MissedValidationHook(Hook):
    """A hook that validates before a continued run goes on.

    mmengine saves a checkpoint before it validates it. So the file does not say whether the validation
    took place, or which checkpoint is the best one since.
    """

    priority = "LOWEST"  # after the checkpoint's hook has found its files

    def before_train(self, runner: Runner) -> None:
        """Validate, if the schedule has a validation at the place of the checkpoint."""
        loop: Any = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop):
            place, last = loop.epoch, loop.max_epochs
        else:
            place, last = loop.iter, loop.max_iters
        due = place >= loop.val_begin and (place % loop.val_interval == 0 or place == last)
        if runner.val_loop is not None and place > 0 and due:
            runner.val_loop.run()
