"""Training of an image classifier; ``--help`` lists the options.

python main.py DATA --cfg ./configs/lvt_imagenet.py                            in classification/
./distributed_train.sh 8 DATA --cfg ./configs/lvt_imagenet.py --token-label …  in classification/
python -m lvt_classify.train DATA …                                            in any folder
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lvt_classify.data.classes import (
    ClassIndex,
    check_label_classes,
    dataset_classes,
    index_classes,
    training_classes,
)
from lvt_classify.data.dataset import open_dataset
from lvt_classify.data.loader import Loader, data_config, train_loader, validation_loader
from lvt_classify.options.checks import check_train_options
from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options
from lvt_classify.run_folder import resolve_resume, run_folder, shared_facts
from lvt_classify.runtime import Runtime, start_runtime
from lvt_classify.token_labels.teacher import check_teacher_classes
from lvt_classify.training.build import build_scheduler, build_training
from lvt_classify.training.engine import SAVED, Training, average_statistics, evaluate, train_epoch
from lvt_classify.training.resume import read_run, restore
from lvt_classify.training.run_log import RunLog
from lvt_classify.training.saver import LAST, Position, Saver, write_options
from lvt_core.checkpoint import Facts, facts_of
from lvt_core.checkpoint.facts import names_by_index
from lvt_core.errors import UserError, run_command
from lvt_core.runs.live_folder import live_folder
from lvt_core.runs.stop import Stopped, StopRequest

logger = logging.getLogger(__name__)

WRITTEN = ("*.pth.tar", "options.yaml", "summary.csv", "curves.png")


def main() -> None:
    options = resolve_resume(parse_options(TrainOptions, shared=option_names()))
    notes = check_train_options(options)
    runtime = start_runtime(options)
    for note in notes:
        logger.warning("note: %s", note)
    try:
        with StopRequest() as stop:
            run(options, runtime, stop if runtime.is_main else lambda: False)
    finally:
        runtime.close()


def run(options: TrainOptions, runtime: Runtime, stop: Callable[[], bool]) -> None:
    """Run all of training, from the data to the curves.

    Args:
        options: Options of the run.
        runtime: Device and processes.
        stop: Function that says whether the run has been asked to stop.

    Raises:
        Stopped: The run was asked to stop, and has been saved.
    """
    folder = run_folder(options, runtime)
    with live_folder(folder, WRITTEN, owner=runtime.is_main):
        train_in(folder, options, runtime, stop)


def train_in(folder: Path, options: TrainOptions, runtime: Runtime, stop: Callable[[], bool]) -> None:
    """Run all of training in a folder, which no other run uses; arguments and errors as of `run`."""
    train_set = open_dataset(options, options.train_split, training=True)
    val_set = open_dataset(options, options.val_split, training=False)
    content = read_run(options.resume) if options.resume else {}
    classes, val_classes = run_classes(options, content, train_set, val_set)
    options = dataclasses.replace(options, num_classes=classes.num_classes)
    runtime.require_same(shared_facts(options, train_set, val_set, classes, content))
    training = build_training(options, runtime, classes)
    config = data_config(options, training.model)
    label_root = training.task.label_root
    loader = train_loader(options, runtime, train_set, config, label_root=label_root, classes=classes)
    val_loader = validation_loader(options, runtime, val_set, config, val_classes)
    batches = loader.steps
    updates = -(-batches // options.grad_accum_steps)
    training.scheduler, epochs = build_scheduler(options, training.optimizer, updates)
    position = restore(options.resume, content, training) if options.resume else Position()
    if position.batch > batches:
        raise UserError(f"--resume {options.resume}: is at batch {position.batch}, an epoch has {batches}")
    saver = Saver(folder, training, run_facts(options, config, classes))
    log = None
    if runtime.is_main:
        if options.resume and Path(options.resume).name == LAST:
            saver.arrange(position, continued=True)
        write_options(folder / "options.yaml", options)
        log = RunLog(folder, options, position.history)
        describe(options, runtime, training.model, len(train_set), len(val_set), epochs, folder)
    if training.scheduler is not None:
        # A schedule follows from the epoch: it is not saved, so that a resumed run may have other batches.
        training.scheduler.step(position.epoch)
        training.scheduler.step_update(position.epoch * updates + position.batch // options.grad_accum_steps)
    while position.epoch < epochs:
        row = train_and_validate(training, loader, val_loader, position, batches, saver, stop)
        position = Position(position.epoch + 1, 0, [*position.history, row], position.best)
        if log is not None:
            log.record(row)
            sign = -1.0 if options.eval_metric == "loss" else 1.0
            saver.rank(position, sign * row[best_column(options)])
        if stop() and position.epoch < epochs:
            raise Stopped(SAVED)
        runtime.barrier()
    if log is not None:
        log.close()
        if position.best:
            score, best = position.best[0]
            logger.info("best: %s %.4g at epoch %d", best_column(options), abs(score), best)
        logger.info("written to %s", folder)


def run_classes(
    options: TrainOptions, content: dict[str, Any], train_set: Any, val_set: Any
) -> tuple[ClassIndex, ClassIndex]:
    """Match the classes of both splits with those of the run, by name.

    Args:
        options: Options of the run.
        content: Checkpoint of the resumed run; empty for a new run.
        train_set: Training data.
        val_set: Validation data.

    Raises:
        UserError: A split has classes that the run does not know, or the labels' classes are others.
    """
    classes = training_classes(options, train_set) if not content else None
    if classes is None:
        number = options.num_classes or content["options"]["num_classes"]
        known = facts_of(content, options.resume).class_to_idx
        classes = _split_classes(options, train_set, known, number, options.train_split, options.resume)
    val_classes = _split_classes(
        options, val_set, classes.class_to_idx, classes.num_classes, options.val_split, "the training split"
    )
    if options.token_label and options.token_label_data:
        check_label_classes(options.token_label_data, classes, dataset_classes(train_set))
    if options.token_label and options.token_label_teacher:
        check_teacher_classes(options.teacher_checkpoint, classes)
    return classes, val_classes


def _split_classes(
    options: TrainOptions,
    dataset: Any,
    known: Mapping[str, int] | None,
    num_classes: int,
    split: str,
    model: str,
) -> ClassIndex:
    return index_classes(
        dataset,
        known,
        num_classes=num_classes,
        class_map=options.class_map,
        data=f"{options.data_dir}, split {split!r}",
        model=model,
    )


def run_facts(options: TrainOptions, config: dict[str, Any], classes: ClassIndex) -> Facts:
    """Return the facts of a run, which its checkpoints tell to other commands."""
    names = classes.class_to_idx
    return Facts(
        model=options.model,
        model_kwargs=options.model_kwargs,
        pictures={**config, "exif": options.exif},
        classes=None if names is None else names_by_index(names, classes.num_classes),
        class_to_idx=names,
    )


def train_and_validate(
    training: Training,
    loader: Loader,
    val_loader: Loader,
    position: Position,
    batches: int,
    saver: Saver,
    stop: Callable[[], bool],
) -> dict[str, Any]:
    """Train and validate one epoch; return its record."""
    options, runtime, epoch = training.options, training.runtime, position.epoch
    start = time.perf_counter()
    loader.set_position(epoch, position.batch)
    training.task.start_epoch(epoch)

    def save(done: int) -> None:
        if runtime.is_main:
            saver.save(dataclasses.replace(position, batch=done))

    trained = train_epoch(training, loader, epoch, position.batch, batches, save, stop)
    row: dict[str, Any] = {
        "epoch": epoch,
        "lr": training.optimizer.param_groups[0]["lr"],
        "train_loss": trained["loss"],
    }
    average_statistics(training)
    models = {"eval": training.model}
    if training.ema is not None:
        models["ema"] = training.ema.module
    for prefix, model in models.items():
        result = evaluate(
            model.eval(),
            val_loader,
            runtime,
            title=f"{prefix} {epoch}",
            log_interval=options.log_interval,
            channels_last=options.channels_last,
        )
        row |= {f"{prefix}_{key}": result[key] for key in ("loss", "top1", "top5")}
    if training.scheduler is not None:
        training.scheduler.step(epoch + 1, row[best_column(options)])
    row["train_images_per_second"] = trained["images_per_second"]
    row["seconds"] = time.perf_counter() - start
    return row


def best_column(options: TrainOptions) -> str:
    """Return the column of the record that decides which checkpoint is best."""
    return f"{'ema' if options.model_ema else 'eval'}_{options.eval_metric}"


def describe(
    options: TrainOptions,
    runtime: Runtime,
    model: nn.Module,
    train_images: int,
    val_images: int,
    epochs: int,
    folder: Path,
) -> None:
    """Log the model, the data and the length of the run."""
    precision = str(runtime.amp_dtype or torch.float32).removeprefix("torch.")
    params = sum(p.numel() for p in model.parameters())
    logger.info(
        "%s: %s parameters, %s classes, %d px, %s on %d x %s",
        options.model,
        f"{params:,}",
        options.num_classes,
        options.img_size,
        precision,
        runtime.world,
        runtime.device.type,
    )
    logger.info(
        "%s training and %s validation images, %d epochs of batches of %d x %d x %d; to %s",
        f"{train_images:,}",
        f"{val_images:,}",
        epochs,
        runtime.world,
        options.batch_size,
        options.grad_accum_steps,
        folder,
    )


if __name__ == "__main__":
    run_command(main)
