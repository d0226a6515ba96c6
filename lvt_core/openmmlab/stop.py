"""A signal ends the training of a dense task: the step is finished, and a schedule of iterations is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from lvt_core.files import write_text
from lvt_core.runs.stop import Stopped, StopRequest


class StopHook(Hook):
    """A hook that ends training when a signal asks for it.

    mmengine continues a schedule of epochs only at the start of one, so nothing is saved within an epoch.

    Args:
        stop: Request, which a signal sets.
    """

    priority = "LOWEST"  # after the learning rate's step and the regular checkpoint

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save, if the schedule has iterations, and stop.

        Raises:
            Stopped: The run was asked to stop.
        """
        if not self.stop():
            return
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            state = "--resume continues the run from its last whole epoch"
        else:
            name = f"iter_{runner.iter + 1}.pth"
            runner.save_checkpoint(runner.work_dir, name, by_epoch=False)
            write_text(Path(runner.work_dir, "last_checkpoint"), str(Path(runner.work_dir, name)))
            state = f"{name} is saved; --resume continues the run"
        raise Stopped(f"after iteration {runner.iter + 1}, {state}")
