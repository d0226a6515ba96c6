"""Validation of an image classifier; ``--help`` lists the options.

    python validate.py DATA --checkpoint checkpoints/lvt_imagenet.pth.tar --cfg ./configs/lvt_imagenet.py

That is in classification/; ``python -m lvt_classify.validate`` runs in any folder. The checkpoint may be
ours or the original release's, timm's or Lightning's, a folder of checkpoints, or a program that
`torch.export.save` wrote (``.pt2``), which can run any code and needs ``--trust``. Architecture, size of the
images and classes come from the checkpoint.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn

from lvt_classify.data.classes import ClassIndex, dataset_classes, index_classes
from lvt_classify.data.dataset import open_dataset
from lvt_classify.data.loader import Loader, data_config, validation_loader
from lvt_classify.facts import apply_facts, read_facts
from lvt_classify.models import check_image_size, count_outputs, load_weights, new_model
from lvt_classify.options.groups import ValidateOptions, option_names
from lvt_classify.options.idle import VALIDATE, idle_options
from lvt_classify.options.parser import given, parse_options
from lvt_classify.runtime import Runtime, start_runtime
from lvt_classify.training.engine import evaluate
from lvt_classify.training.run_log import write_csv
from lvt_core import complexity
from lvt_core.checkpoint import Facts
from lvt_core.checkpoint.facts import names_by_index
from lvt_core.checkpoint.read import SUFFIXES, read_checkpoint, shorten
from lvt_core.errors import UserError, run_command
from lvt_core.files import require_writable_file, write_text
from lvt_predict.model import needs_trust

logger = logging.getLogger(__name__)

PROGRAM = ".pt2"


class Opened(NamedTuple):
    """A classifier that is ready to be validated.

    Attributes:
        call: Function from images to logits.
        options: Options, with what the checkpoint tells.
        config: How to read a picture, in timm's words.
        num_classes: Number of logits.
        names: Names of the classes with their indices, if they are known.
        numbers: Parameters and multiply-adds, for the record.
    """

    call: Callable[[Tensor], Tensor]
    options: ValidateOptions
    config: dict[str, Any]
    num_classes: int
    names: Mapping[str, int] | None
    numbers: dict[str, Any]


def main() -> None:
    options = parse_options(ValidateOptions, shared=option_names())
    runtime = start_runtime(options)
    for note in idle_options(options, VALIDATE):
        logger.warning("note: %s", note)
    try:
        if options.results_file and not options.results_file.endswith((".csv", ".json")):
            raise UserError(f"--results-file {options.results_file}: must end in .json or .csv")
        if options.predictions_file:
            if not options.predictions_file.endswith(".csv"):
                raise UserError(f"--predictions-file {options.predictions_file}: must end in .csv")
            if runtime.world > 1 or Path(options.checkpoint).is_dir():
                raise UserError("--predictions-file: requires one process and one checkpoint")
        for path in filter(None, (options.results_file, options.predictions_file)):
            if runtime.is_main:
                require_writable_file(path)
        if options.trust and "trust" not in given(options):
            raise UserError("--trust: must be given on the command line, not in a file")
        checkpoints = find_checkpoints(options.checkpoint, trust=options.trust)
        results = [validate(options, runtime, path) for path in checkpoints]
        if runtime.is_main and options.results_file:
            write_results(options.results_file, results)
    finally:
        runtime.close()


def validate(options: ValidateOptions, runtime: Runtime, checkpoint: str) -> dict[str, Any]:
    """Validate one checkpoint; return its record."""
    dataset = open_dataset(options, options.val_split, training=False)
    runtime.require_same({"images": len(dataset), "--batch-size": options.batch_size})
    if checkpoint.endswith(PROGRAM):
        opened = open_program(options, runtime, checkpoint)
    else:
        opened = open_checkpoint(options, runtime, checkpoint, dataset)
    classes = index_classes(
        dataset,
        opened.names,
        num_classes=opened.num_classes,
        class_map=options.class_map,
        data=options.data_dir,
        model=checkpoint or opened.options.model,
    )
    loader = validation_loader(opened.options, runtime, dataset, opened.config, classes)
    if options.predictions_file and not hasattr(dataset, "filename"):
        raise UserError("--predictions-file: requires a data set of files")
    predictions = Predictions(options, classes) if options.predictions_file else None
    result = evaluate(
        opened.call,
        loader,
        runtime,
        title="validate",
        log_interval=options.log_interval,
        channels_last=options.channels_last,
        on_batch=predictions.add if predictions else None,
    )
    config = opened.config
    record = {"checkpoint": checkpoint, "model": opened.options.model, **opened.numbers, **result}
    record |= {"img_size": config["input_size"][-1], "crop_pct": config["crop_pct"]}
    if predictions:
        predictions.write(loader, dataset)
    log_record(record)
    return record


def log_record(record: dict[str, Any]) -> None:
    """Log a result."""
    logger.info(
        "%s: top-1 %.3f %%  top-5 %.3f %%  loss %.4f  on %s images",
        record["checkpoint"] or f"{record['model']}, untrained",
        record["top1"],
        record["top5"],
        record["loss"],
        f"{record['samples']:,}",
    )
    if "params" in record:
        logger.info("%s parameters, %.3f GMACs", f"{record['params']:,}", record["gmacs"])
    logger.info("%.1f images per second per process", record["images_per_second"])


def find_checkpoints(path: str, *, trust: bool = False) -> list[str]:
    """Return the path itself or, for a folder, its checkpoints in the order of their names.

    Args:
        path: File or folder.
        trust: Whether programs may be opened, which can run any code.

    Raises:
        UserError: The folder holds no checkpoint that may be opened, or the file is such a program.
    """
    if not path or not Path(path).is_dir():
        if path.endswith(PROGRAM) and not trust:
            raise UserError(needs_trust(f"--checkpoint {path}"))
        return [path]
    names = sorted(file.name for file in Path(path).iterdir())
    programs = [name for name in names if name.endswith(PROGRAM)]
    taken = [name for name in names if name.endswith(SUFFIXES) or (trust and name in programs)]
    if not taken:
        raise UserError(
            f"--checkpoint {path}: the folder holds no {', '.join(SUFFIXES)} file; "
            ".pt2 programs, which can run any code, are only opened with --trust"
        )
    if programs and not trust:
        logger.warning(
            "note: %s: left out, because programs can run code: %s; --trust opens them",
            path,
            shorten(programs),
        )
    return [str(Path(path, name)) for name in taken]


def open_checkpoint(options: ValidateOptions, runtime: Runtime, checkpoint: str, dataset: Any) -> Opened:
    """Open a checkpoint, which gives the architecture, the images and the classes.

    Raises:
        UserError: The file cannot be read, or its weights do not fit the model.
    """
    content = read_checkpoint(checkpoint) if checkpoint else {}
    facts = read_facts(content, checkpoint) if checkpoint else Facts()
    options, kwargs, pictures = apply_facts(options, facts, checkpoint)
    names = facts.class_to_idx
    outputs = options.num_classes
    if checkpoint and outputs is None:
        outputs = count_outputs(new_model(options.model, kwargs), content, checkpoint)
    if outputs is None:
        known = names or dataset_classes(dataset)
        outputs = 1 + max(known.values()) if known else None
    classes: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
    model = new_model(options.model, kwargs, **classes)
    if checkpoint:
        load_weights(model, checkpoint, content=content, use_ema=options.use_ema)
    else:
        logger.warning("note: the weights are random, because there is no --checkpoint")
    config = data_config(options, model, pictures)
    check_image_size(model, options.model, config["input_size"][-1])
    counted = complexity(model, config["input_size"][-2:])
    numbers = {"params": counted.total_params, "gmacs": round(counted.total_macs / 1e9, 4)}
    model = model.to(runtime.device).eval()
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
    call = torch.compile(model) if options.compile else model
    return Opened(call, options, config, outputs or model.num_classes, names, numbers)


def open_program(options: ValidateOptions, runtime: Runtime, path: str) -> Opened:
    """Open a program, which has no facts of its run: the options say how to read images."""
    call = load_program(path, runtime.device)
    stand_in = nn.Identity()  # a program has no configuration of its images
    stand_in.pretrained_cfg = timm.get_pretrained_cfg(options.model).to_dict()  # type: ignore
    config = data_config(options, stand_in)
    try:
        logits = call(torch.zeros(1, *config["input_size"], device=runtime.device))
    except Exception as error:  # a graph fails in any of its operators
        raise UserError(
            f"{path}: does not support images of {config['input_size'][-1]} px; choose --img-size"
        ) from error
    return Opened(call, options, config, logits.shape[1], None, {})


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
        classes: Names of the model's classes.
    """

    def __init__(self, options: ValidateOptions, classes: ClassIndex) -> None:
        self.path = options.predictions_file
        self.names = names_by_index(classes.class_to_idx or {}, classes.num_classes)
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
        return self.names[index] or str(index)


def write_results(path: str, results: list[dict[str, Any]]) -> None:
    """Write a row of CSV or an object of JSON per checkpoint."""
    if path.endswith(".csv"):
        write_csv(path, results)
    else:
        write_text(path, json.dumps([dict(row) for row in results], indent=2) + "\n")


if __name__ == "__main__":
    run_command(main)
