"""Log of a run: lines, a progress bar, summary.csv, TensorBoard, W&B, curves.png."""

from __future__ import annotations

import csv
import io
import logging
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lvt_classify.options.groups import TrainOptions
from lvt_core.errors import UserError
from lvt_core.files import write_text, write_whole

logger = logging.getLogger(__name__)


class Progress:
    """A progress bar on a terminal; elsewhere one line per interval.

    Args:
        title: Title of the bar or the lines.
        total: Number of steps.
        interval: Steps between lines.
        active: Whether this process shows progress; only the main process does.
    """

    def __init__(self, title: str, total: int, interval: int, active: bool) -> None:
        self.title, self.total, self.interval = title, total, interval
        self.active = active
        self.bar = None
        if active and sys.stderr.isatty():
            self.bar = tqdm(total=total, desc=title, leave=False, dynamic_ncols=True)

    def is_due(self, step: int) -> bool:
        """Return whether to show this step."""
        return step % self.interval == 0 or step == self.total

    def show(self, step: int, **values: float) -> None:
        """Show numbers at a step."""
        if not self.active:
            return
        text = "  ".join(f"{name} {_short(value)}" for name, value in values.items())
        if self.bar is not None:
            self.bar.n = step
            self.bar.set_postfix_str(text)
        else:
            logger.info("%s  %d/%d  %s", self.title, step, self.total, text)

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()


class RunLog:
    """Records of the main process, one per epoch, written to all loggers.

    Args:
        folder: Folder of the run.
        options: Options of the run.
        history: Records of earlier epochs, if the run is resumed.

    Raises:
        UserError: A requested logger is not installed.
    """

    def __init__(self, folder: Path, options: TrainOptions, history: list[dict[str, Any]]) -> None:
        self.folder = folder
        self.history = list(history)
        self.writer: Any = None
        self.wandb: Any = None
        if options.tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise UserError(
                    "--tensorboard: TensorBoard is not installed; pip install tensorboard"
                ) from error
            self.writer = SummaryWriter(folder, purge_step=len(history) or None)
        if options.wandb:
            try:
                import wandb
            except ImportError as error:
                raise UserError("--wandb: Weights & Biases is not installed; pip install wandb") from error
            self.wandb = wandb.init(
                project=options.wandb_project,
                name=folder.name,
                id=folder.name,
                resume="allow",
                dir=str(folder),
            )

    def record(self, values: Mapping[str, Any]) -> None:
        """Log an epoch."""
        self.history.append(dict(values))
        text = "  ".join(f"{key} {_short(value)}" for key, value in values.items())
        logger.info("%s", text)
        write_csv(self.folder / "summary.csv", self.history)
        numbers = {key: value for key, value in values.items() if key != "epoch"}
        if self.writer is not None:
            for key, value in numbers.items():
                self.writer.add_scalar(key.replace("_", "/", 1), value, values["epoch"])
            self.writer.flush()
        if self.wandb is not None:
            self.wandb.log(numbers, step=values["epoch"])

    def close(self) -> None:
        """Draw the curves and close the loggers."""
        if self.history:
            draw_curves(self.folder / "curves.png", self.history)
        if self.writer is not None:
            self.writer.close()
        if self.wandb is not None:
            self.wandb.finish()


def write_csv(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows with the union of their columns, whole or not at all."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def draw_curves(path: Path, history: list[dict[str, Any]]) -> None:
    """Draw losses, accuracies and the learning rate over the epochs, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    epochs = [row["epoch"] for row in history]
    panels = (
        ("loss", [key for key in history[-1] if key.endswith("loss")]),
        ("accuracy, %", [key for key in history[-1] if "top" in key]),
        ("learning rate", ["lr"]),
    )
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    for axis, (title, keys) in zip(axes, panels, strict=True):
        for key in keys:
            axis.plot(epochs, [row.get(key) for row in history], marker=".", label=key)
        axis.set(title=title, xlabel="epoch")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
        axis.xaxis.get_major_locator().set_params(integer=True)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=110))
    pyplot.close(figure)


def _short(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.4g}"
