"""Epochs of training and passes of validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from timm.utils import ModelEmaV3, dispatch_clip_grad, distribute_bn
from torch import Tensor, nn

from lvt_classify.data.loader import Loader
from lvt_classify.options.groups import TrainOptions
from lvt_classify.runtime import HostCopy, Runtime
from lvt_classify.seeds import seed_everything
from lvt_classify.token_labels.labels import Labels
from lvt_classify.training.metrics import AccuracyCounter
from lvt_classify.training.precision import float32_head, head_layers
from lvt_classify.training.quantization import join_ranges
from lvt_classify.training.run_log import Progress
from lvt_classify.training.tasks import TrainingTask
from lvt_core.errors import UserError
from lvt_core.runs.stop import Stopped

SAVED = "the run is saved; --resume its last.pth.tar continues it"


@dataclass
class Training:
    """Objects that an epoch of training works on.

    Attributes:
        options: Options of the run.
        runtime: Device, processes and precision.
        task: Task that turns a batch into its loss; it holds the model.
        optimizer: timm's optimiser.
        scheduler: timm's scheduler, or ``None``.
        scaler: Loss scaler for float16, or ``None``.
        ema: Moving average of the weights, or ``None``.
    """

    options: TrainOptions
    runtime: Runtime
    task: TrainingTask
    optimizer: torch.optim.Optimizer
    scheduler: Any
    scaler: torch.amp.GradScaler | None
    ema: ModelEmaV3 | None

    @property
    def model(self) -> Any:
        """The bare model, without DDP and ``torch.compile``."""
        return self.task.model

    def compute_loss(self, images: Tensor, labels: Labels, step: int) -> Tensor:
        """Return the loss of one batch. All randomness follows from the seed, the rank and the step."""
        seed_everything(self.options.seed, self.runtime.rank, step)
        return self.task(images, labels)

    def update(self, parameters: list[nn.Parameter]) -> None:
        """Update the weights by the gradients that have accumulated, and clear these."""
        clip = self.options.clip_grad
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if clip is not None:
            dispatch_clip_grad(parameters, clip, mode=self.options.clip_mode)
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        self.optimizer.zero_grad()


def train_epoch(
    training: Training,
    loader: Loader,
    epoch: int,
    first_batch: int,
    batches: int,
    save: Callable[[int], None],
    stop: Callable[[], bool],
) -> dict[str, float]:
    """Train one epoch, or the rest of it.

    Args:
        training: Model, optimiser and what belongs to them.
        loader: Loader of the batches from ``first_batch`` on.
        epoch: Number of the epoch, from 0.
        first_batch: Number of batches that are done already.
        batches: Number of batches in the whole epoch.
        save: Function that saves the run, called with the number of batches done every `recovery_interval`.
        stop: Function that says whether the run has been asked to stop.

    Returns:
        ``loss``, the mean over the batches of this call and over all ranks, and ``images_per_second``.

    Raises:
        UserError: The loss is NaN or infinite.
        Stopped: The run was asked to stop, and has been saved.
    """
    o, runtime = training.options, training.runtime
    accumulate = o.grad_accum_steps
    updates = math.ceil(batches / accumulate)
    parameters = clipped_parameters(training.model, o.clip_mode)
    sums = torch.zeros(2, device=runtime.device)  # loss, batches
    training.model.train()
    training.optimizer.zero_grad()
    progress = Progress(f"epoch {epoch}", updates, o.log_interval, runtime.is_main)
    start, images_seen = time.perf_counter(), 0
    due: _LogLine | None = None
    for number, (images, labels) in enumerate(loader, start=first_batch):
        if number >= batches:
            break
        update = number // accumulate
        group = min(accumulate, batches - update * accumulate)  # batches that share this update
        is_last = (number + 1) % accumulate == 0 or number + 1 == batches
        with nullcontext() if is_last else training.task.no_sync():
            loss = training.compute_loss(images, labels, epoch * batches + number)
            scaled = loss / group
            (training.scaler.scale(scaled) if training.scaler else scaled).backward()
        sums += torch.stack((loss.detach(), torch.ones_like(loss)))
        images_seen += len(images) * runtime.world
        if not is_last:
            continue
        training.update(parameters)
        if training.ema is not None:
            training.ema.update(training.model, step=epoch * updates + update)
        if training.scheduler is not None:
            training.scheduler.step_update(epoch * updates + update + 1)
        if due is not None:  # line of the previous update: the device is already busy with this one
            due.show(progress, epoch)
            due = None
        if progress.is_due(update + 1):
            rate = images_seen / (time.perf_counter() - start)
            learning_rate = training.optimizer.param_groups[0]["lr"]
            due = _LogLine(update, HostCopy(sums[0] / sums[1]), learning_rate, rate)
        if o.recovery_interval and (update + 1) % o.recovery_interval == 0 and number + 1 < batches:
            if due is not None:  # raises if the loss is not finite, before bad weights replace good ones
                due.show(progress, epoch)
                due = None
            save(number + 1)
        if stop() and number + 1 < batches:
            save(number + 1)
            raise Stopped(SAVED)
    if due is not None:
        due.show(progress, epoch)
    progress.close()
    seconds = time.perf_counter() - start
    total, count = runtime.sum(sums).tolist()
    return {"loss": total / max(count, 1), "images_per_second": images_seen / seconds}


def average_statistics(training: Training) -> None:
    """Give all ranks equal statistics before validation and saving.

    Batch norm's follow ``--dist-bn``; ranges of ``--quantization-aware`` are joined.
    """
    world, how = training.runtime.world, training.options.dist_bn
    if world > 1 and training.options.quantization_aware:
        join_ranges(training.model)  # the moving average shares them
    if world == 1 or how == "none":
        return
    models = [training.model] if training.ema is None else [training.model, training.ema.module]
    for model in models:
        distribute_bn(model, world, reduce=how == "reduce")


def clipped_parameters(model: nn.Module, mode: str) -> list[nn.Parameter]:
    """Return the parameters to clip: adaptive clipping leaves the head out (Brock et al. 2021)."""
    left_out = {id(p) for layer in head_layers(model) for p in layer.parameters()} if mode == "agc" else set()
    return [parameter for parameter in model.parameters() if id(parameter) not in left_out]


@dataclass
class _LogLine:
    update: int
    loss: HostCopy
    learning_rate: float
    rate: float

    def show(self, progress: Progress, epoch: int) -> None:
        mean = self.loss.read()
        if not math.isfinite(mean):
            raise UserError(
                f"the loss is {mean} at epoch {epoch}, update {self.update}: lower --lr, clip with "
                "--clip-grad, or train without --amp"
            )
        progress.show(self.update + 1, loss=mean, lr=self.learning_rate, images_per_second=self.rate)


@torch.inference_mode()
def evaluate(
    model: Callable[[Tensor], Tensor],
    loader: Iterable[tuple[Tensor, Labels]],
    runtime: Runtime,
    *,
    title: str,
    log_interval: int,
    channels_last: bool = False,
    on_batch: Callable[[Tensor, Tensor], None] | None = None,
) -> dict[str, float]:
    """Measure the accuracy over a data set; each sample counts once, on any number of ranks.

    Args:
        model: Model in evaluation mode.
        loader: Loader of this rank's batches.
        runtime: Device, processes and precision.
        title: Title of the log lines.
        log_interval: Batches between log lines.
        channels_last: Put the images into NHWC memory.
        on_batch: Function that also receives the logits and classes of each batch.

    Returns:
        ``loss, top1, top5, samples`` over all ranks, and this rank's ``images_per_second``.

    Raises:
        UserError: A stream has another number of samples than it says.
    """
    counter = AccuracyCounter(runtime.device)
    progress = Progress(title, len(loader), log_interval, runtime.is_main)  # type: ignore[arg-type]
    start, seen = time.perf_counter(), 0
    with float32_head(model) if runtime.amp_dtype else nullcontext():
        for number, (images, labels) in enumerate(loader, start=1):
            if channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            with runtime.autocast():
                logits = model(images)
            counter.add(logits, labels.targets)
            if on_batch is not None:
                on_batch(logits, labels.targets)
            seen += len(images)
            if progress.is_due(number):
                progress.show(number, images_per_second=seen / (time.perf_counter() - start))
    progress.close()
    if runtime.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    result = counter.result(runtime)
    declared = getattr(loader, "declared", None)
    if declared is not None and declared != result["samples"]:
        raise UserError(
            f"--dataset: {result['samples']} samples were read, but the stream says that it has {declared}: "
            "a shard is cut off, or the number is wrong"
        )
    return result | {"images_per_second": seen / seconds}
