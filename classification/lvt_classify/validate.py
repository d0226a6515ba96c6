"""Validation of an image classifier; ``--help`` lists the options.

    python validate.py DATA --checkpoint checkpoints/lvt_imagenet.pth.tar --cfg ./configs/lvt_imagenet.py

That is in classification/; ``python -m lvt_classify.validate`` runs in any folder. The checkpoint may be
ours or the original release's, a folder of checkpoints, or a program that `torch.export.save` wrote
(``.pt2``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from lvt_classify.data.dataset import class_names, open_dataset
from lvt_classify.data.loader import Loader, data_config, validation_loader
from lvt_classify.models import load_weights, new_model
from lvt_classify.options.groups import ValidateOptions, option_names
from lvt_classify.options.parser import parse_options
from lvt_classify.runtime import Runtime, start_runtime
from lvt_classify.training.engine import evaluate
from lvt_classify.training.run_log import write_csv
from lvt_core import complexity
from lvt_core.checkpoint.read import SUFFIXES, read_checkpoint, select_weights
from lvt_core.errors import UserError, run_command
from lvt_core.files import write_text

logger = logging.getLogger(__name__)


def main() -> None:
    options = parse_options(ValidateOptions, shared=option_names())
    runtime = start_runtime(options)
    if options.test_pool:
        logger.warning("note: --test-pool has no effect, because LVT has no test-time pooling")
    try:
        if options.results_file and not options.results_file.endswith((".csv", ".json")):
            raise UserError(f"--results-file {options.results_file}: must end in .json or .csv")
        if options.predictions_file:
            if not options.predictions_file.endswith(".csv"):
                raise UserError(f"--predictions-file {options.predictions_file}: must end in .csv")
            if runtime.world > 1 or Path(options.checkpoint).is_dir():
                raise UserError("--predictions-file: requires one process and one checkpoint")
        results = [validate(options, runtime, path) for path in find_checkpoints(options.checkpoint)]
        if runtime.is_main and options.results_file:
            write_results(options.results_file, results)
    finally:
        runtime.close()


def validate(options: ValidateOptions, runtime: Runtime, checkpoint: str) -> dict[str, Any]:
    """Validate one checkpoint; return its record."""
    dataset = open_dataset(options, options.val_split, training=False)
    names = class_names(dataset)
    record: dict[str, Any] = {"checkpoint": checkpoint, "model": options.model}
    call: Callable[[Tensor], Tensor]
    if checkpoint.endswith(".pt2"):
        call = load_program(checkpoint, runtime.device)
        stand_in = nn.Identity()  # a program has no configuration of its images
        stand_in.pretrained_cfg = timm.get_pretrained_cfg(options.model).to_dict()  # type: ignore
        config = data_config(options, stand_in)
    else:
        model = load_model(options, checkpoint, names)
        config = data_config(options, model)
        counted = complexity(model, config["input_size"][-2:])
        record |= {"params": counted.total_params, "gmacs": round(counted.total_macs / 1e9, 4)}
        model = model.to(runtime.device).eval()
        if options.channels_last:
            model = model.to(memory_format=torch.channels_last)
        call = torch.compile(model) if options.compile else model
    loader = validation_loader(options, runtime, dataset, config)
    if options.predictions_file and not hasattr(dataset, "filename"):
        raise UserError("--predictions-file: requires a data set of files")
    predictions = Predictions(options, names) if options.predictions_file else None
    result = evaluate(
        check_classes(call, names, checkpoint),
        loader,
        runtime,
        title="validate",
        log_interval=options.log_interval,
        channels_last=options.channels_last,
        on_batch=predictions.add if predictions else None,
    )
    record |= result | {"img_size": config["input_size"][-1], "crop_pct": config["crop_pct"]}
    if predictions:
        predictions.write(loader, dataset)
    logger.info(
        "%s: top-1 %.3f %%  top-5 %.3f %%  loss %.4f  on %s images",
        checkpoint or f"{options.model}, untrained",
        record["top1"],
        record["top5"],
        record["loss"],
        f"{record['samples']:,}",
    )
    if "params" in record:
        logger.info("%s parameters, %.3f GMACs", f"{record['params']:,}", record["gmacs"])
    logger.info("%.1f images per second per process", record["images_per_second"])
    return record


def find_checkpoints(path: str) -> list[str]:
    """Return the path itself or, for a folder, its checkpoints in the order of their names.

    Raises:
        UserError: The folder holds no checkpoint.
    """
    if not path or not Path(path).is_dir():
        return [path]
    checkpoints = sorted(str(p) for p in Path(path).iterdir() if p.name.endswith((*SUFFIXES, ".pt2")))
    if not checkpoints:
        raise UserError(f"--checkpoint {path}: the folder holds no {', '.join(SUFFIXES)} or .pt2 file")
    return checkpoints


def load_model(options: ValidateOptions, checkpoint: str, names: list[str] | None) -> nn.Module:
    """Return the model with the weights of a checkpoint, which also gives the number of classes."""
    num_classes = options.num_classes or (len(names) if names else None)
    if checkpoint:
        num_classes = options.num_classes or stored_classes(checkpoint) or num_classes
    classes: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    model = new_model(options.model, options.model_kwargs, **classes)
    if checkpoint:
        load_weights(model, checkpoint, use_ema=options.use_ema)
    else:
        logger.warning("note: the weights are random, because there is no --checkpoint")
    return model


def stored_classes(checkpoint: str) -> int | None:
    """Return the number of classes of a checkpoint's ``head``, or ``None`` without a head."""
    weights = select_weights(read_checkpoint(checkpoint), checkpoint)
    for key in ("head.bias", "module.head.bias"):
        if key in weights:
            return len(weights[key])
    return None


def check_classes(
    model: Callable[[Tensor], Tensor], names: list[str] | None, checkpoint: str
) -> Callable[[Tensor], Tensor]:
    """Wrap a model so that it rejects data with more classes than it has logits."""

    def checked(images: Tensor) -> Tensor:
        logits = model(images)
        if names and logits.shape[1] < len(names):
            raise UserError(
                f"{checkpoint}: has {logits.shape[1]} classes, but the data set has {len(names)}; map the "
                "classes of the data set to those of the model with --class-map"
            )
        return logits

    return checked


def load_program(path: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Load a program that `torch.export.save` wrote; with a fixed batch size, smaller batches are padded.

    Raises:
        UserError: The file cannot be read.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such exported program")
    try:
        program = torch.export.load(path)
    except Exception as error:
        raise UserError(f"{path}: not a readable exported program") from error
    model = program.module().to(device)
    batch = next(iter(program.example_inputs[0])).shape[0]
    fixed = not program.range_constraints

    def call(images: Tensor) -> Tensor:
        if not fixed:
            return model(images)
        parts = []
        for chunk in images.split(batch):
            missing = batch - len(chunk)
            padded = torch.cat((chunk, chunk[:1].expand(missing, -1, -1, -1))) if missing else chunk
            parts.append(model(padded)[: len(chunk)])
        return torch.cat(parts)

    return call


class Predictions:
    """Predicted classes of all images, collected on one process.

    Args:
        options: Options of the command.
        names: Names of the classes by index, or ``None``.
    """

    def __init__(self, options: ValidateOptions, names: list[str] | None) -> None:
        self.path = options.predictions_file
        self.names = names
        self.rows: list[tuple[int, int, float]] = []

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Collect a batch."""
        confidence, predicted = logits.float().softmax(dim=1).max(dim=1)
        self.rows += zip(targets.tolist(), predicted.tolist(), confidence.tolist(), strict=True)

    def write(self, loader: Loader, dataset: Any) -> None:
        """Write the file; the predictions are in the order of the loader's sampler."""
        rows = []
        for index, (label, predicted, confidence) in zip(loader.sampler, self.rows, strict=True):
            row = {"file": dataset.filename(index), "label": label, "prediction": predicted}
            row |= {"label_name": self._name(label), "prediction_name": self._name(predicted)}
            rows.append(row | {"confidence": round(confidence, 6)})
        write_csv(self.path, rows)

    def _name(self, index: int) -> str:
        return self.names[index] if self.names and index < len(self.names) else str(index)


def write_results(path: str, results: list[dict[str, Any]]) -> None:
    """Write a row of CSV or an object of JSON per checkpoint."""
    if path.endswith(".csv"):
        write_csv(path, results)
    else:
        write_text(path, json.dumps([dict(row) for row in results], indent=2) + "\n")


if __name__ == "__main__":
    run_command(main)
