"""Resuming a run from its checkpoint: everything in the file is checked before anything is copied."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor

from lvt_classify.options.files import require_plain
from lvt_classify.training.engine import Training
from lvt_classify.training.quantization import input_ranges, load_input_ranges
from lvt_classify.training.saver import Position, plain
from lvt_core.checkpoint.read import CheckpointError, read_checkpoint
from lvt_core.errors import UserError
from lvt_predict.manifest import is_number, is_whole

logger = logging.getLogger(__name__)

# Options that the saved state of optimiser, schedule and seeds depends on: a resumed run cannot change them.
FIXED = (
    "opt", "lr", "weight_decay", "momentum", "opt_eps", "opt_betas", "layer_decay", "epochs", "sched",
    "sched_on_updates", "warmup_epochs", "warmup_lr", "min_lr", "cooldown_epochs", "decay_epochs",
    "decay_milestones", "decay_rate", "grad_accum_steps", "seed", "quantization_aware",
)  # fmt: skip
# Values of options that runs of earlier versions lack.
ADDED = {"quantization_aware": False, "decay_milestones": [30.0, 60.0], "exif": False}
MOST = 2**31  # epochs, batches, processes
# Settings of an optimiser that say how it computes: they are those of this machine, not of the file.
HOW = ("capturable", "differentiable", "foreach", "fused", "maximize")


def read_run(path: str) -> dict[str, Any]:
    """Read the checkpoint of a run.

    Raises:
        UserError: The checkpoint holds no state of a run, or values of other types than a run writes.
    """
    content = read_checkpoint(path)
    if not {"position", "optimizer", "options", "world"} <= content.keys():
        raise UserError(f"--resume {path}: holds only weights; start from them with --finetune")
    options = content["options"]
    if not _has_texts(options):
        _reject(path, "options", "must be a dict of options")
    require_plain(options, f"--resume {path}: options")
    for name, holds in (("model", _is_text), ("batch_size", _is_count), ("num_classes", _is_count)):
        if not holds(options.get(name)):
            _reject(path, f"options.{name}", "is missing or has another type")
    if not _is_count(content["world"]):
        _reject(path, "world", "must be the number of processes")
    position = content["position"]
    if not _has_texts(position) or not _is_position(**position):
        _reject(path, "position", "must be the epoch, the batch, the history and the best epochs")
    return content


def restore(path: str, content: dict[str, Any], training: Training) -> Position:
    """Restore the state of training from a checkpoint; return the position of the run.

    Args:
        path: File, for messages.
        content: Content of the file, from `read_run`.
        training: Training to restore.

    Raises:
        UserError: The checkpoint does not fit the options of this run.
    """
    position = Position(**content["position"])
    position.best = [(score, number) for score, number in position.best]
    _check_same_run(path, content, training, position)
    _require_like(path, content, "state_dict", training.model.state_dict())
    if training.ema is not None:
        _require_like(path, content, "state_dict_ema", training.ema.module.state_dict())
    if training.options.quantization_aware:
        _require_like(path, content, "input_ranges", input_ranges(training.model))
    optimizer = _checked_optimizer(path, content["optimizer"], training.optimizer)
    scaler = content.get("scaler") if training.scaler is not None else None
    if training.scaler is not None and scaler is not None:
        own = training.scaler.state_dict()
        if (
            not isinstance(scaler, dict)
            or scaler.keys() != own.keys()
            or not all(map(is_number, scaler.values()))
        ):
            _reject(path, "scaler", "must be the numbers of a loss scaler")
        training.scaler.load_state_dict(scaler)
    training.model.load_state_dict(content["state_dict"])
    training.optimizer.load_state_dict(optimizer)
    if training.ema is not None:
        training.ema.module.load_state_dict(content["state_dict_ema"])
    if training.options.quantization_aware:
        load_input_ranges(training.model, content["input_ranges"])
    logger.info("resumed %s at epoch %d, batch %d", path, position.epoch, position.batch)
    return position


def _check_same_run(path: str, content: dict[str, Any], training: Training, position: Position) -> None:
    """Log the options that differ; reject differences that the saved state does not allow.

    Raises:
        UserError: The run has another model, joint batch size or fixed option, or no moving average.
    """
    before, now = {**ADDED, **content["options"]}, plain(training.options)
    world = content["world"], training.runtime.world
    if before["model"] != now["model"]:
        raise UserError(f"--resume {path}: holds the model {before['model']}, not --model {now['model']}")
    if training.ema is not None and "state_dict_ema" not in content:
        raise UserError(f"--resume {path}: lacks the moving average that --model-ema needs")
    joint = before["batch_size"] * world[0], now["batch_size"] * world[1]
    if position.batch and joint[0] != joint[1]:
        raise UserError(
            f"--resume {path}: was saved within an epoch, whose batches had {joint[0]} images (all processes "
            f"together), but this run has {joint[1]}; choose -b and the number of processes to match"
        )
    changed = [name for name in FIXED if before.get(name) != now[name]]
    if changed:
        changes = ", ".join(f"{name} was {before.get(name)}, is {now[name]}" for name in changed)
        raise UserError(
            f"--resume {path}: a resumed run must keep its options, but {changes}; to change them, start "
            "from its weights with --finetune"
        )
    silent = {"resume", "output", "experiment", "workers", "log_interval", "data_dir"}
    for name, value in now.items():
        if name not in silent and before.get(name) != value:
            logger.warning("--resume: %s was %s, now is %s", name, before.get(name), value)
    if world[0] != world[1]:
        logger.warning("--resume: the run had %d processes, now has %d", *world)


def _reject(path: str, name: str, problem: str) -> NoReturn:
    raise CheckpointError(f"--resume {path}: does not fit this run: {name} {problem}")


def _has_texts(value: Any) -> bool:
    """Whether a value is a dict whose keys are texts."""
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any, low: int = 1) -> bool:
    return is_whole(value, low) and value < MOST


def _is_position(
    epoch: Any = None, batch: Any = None, history: Any = None, best: Any = None, **other: Any
) -> bool:
    return (
        not other
        and _is_count(epoch, 0)
        and _is_count(batch, 0)
        and isinstance(history, list)
        and all(
            isinstance(row, dict) and _is_count(row.get("epoch"), 0) and _is_record(row) for row in history
        )
        and isinstance(best, list)
        and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in best)
        and all(isinstance(score, (int, float)) and _is_count(number, 0) for score, number in best)
    )


def _is_record(row: Mapping[Any, Any]) -> bool:
    """Whether a row of the history has numbers by name; a loss may be infinite."""
    return all(isinstance(key, str) and isinstance(value, (int, float)) for key, value in row.items())


def _require_like(path: str, content: Mapping[str, Any], name: str, own: Mapping[str, Tensor]) -> None:
    """Reject tensors that lack a key, or have another one, another shape or another kind of numbers.

    Raises:
        CheckpointError: The tensors differ.
    """
    saved = content.get(name)
    if not isinstance(saved, Mapping):
        _reject(path, name, "is missing or contains no tensors")
    for key in saved.keys() ^ own.keys():
        _reject(path, name, f"has no {key}" if key in own else f"has an unknown {key!s:.100}")
    for key, value in own.items():
        if problem := _difference(saved[key], value):
            _reject(path, f"{name}.{key}", problem)


def _difference(saved: Any, own: Tensor) -> str:
    """Say in which way a value is not a tensor like another one; the device may differ."""
    if type(saved) not in (Tensor, torch.nn.Parameter) or saved.layout != torch.strided or saved.is_quantized:
        return "must be an ordinary tensor"
    if saved.shape != own.shape:
        return f"has the shape {tuple(saved.shape)}, must be {tuple(own.shape)}"
    if saved.is_floating_point() != own.is_floating_point() or saved.is_complex() != own.is_complex():
        return f"has the type {saved.dtype}, must be {own.dtype}"
    # A fused optimiser walks through memory by the number of elements.
    dense = saved.is_contiguous() or (
        saved.ndim == 4 and saved.is_contiguous(memory_format=torch.channels_last)
    )
    return "" if dense else "must be contiguous"


def _checked_optimizer(path: str, saved: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the saved state of an optimiser, if it has the form of the state after a step of this one.

    The step, without gradients, changes the weights, which the checkpoint's weights replace.

    Raises:
        CheckpointError: A group, a tensor or a number has another form.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    own = optimizer.state_dict()
    if not isinstance(saved, dict) or not isinstance(saved.get("state"), dict):
        _reject(path, "optimizer", "must be a dict with the state and the groups")
    groups = saved.get("param_groups")
    if not isinstance(groups, list) or len(groups) != len(own["param_groups"]):
        _reject(path, "optimizer.param_groups", f"must be {len(own['param_groups'])} groups")
    checked = [_checked_group(path, *pair) for pair in zip(groups, own["param_groups"], strict=True)]
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for index, values in saved["state"].items():
        name = f"optimizer.state.{index!s:.20}"
        if type(index) is not int or index not in own["state"] or not isinstance(values, dict):
            _reject(path, name, "belongs to no parameter")
        _check_state(path, name, values, own["state"][index], parameters[index])
    return {"state": saved["state"], "param_groups": checked}


def _check_state(
    path: str, name: str, saved: Mapping[Any, Any], own: Mapping[str, Any], weight: Tensor
) -> None:
    for key in own.keys() - saved.keys():
        _reject(path, name, f"has no {key}")
    for key, value in saved.items():
        # Some optimisers add a tensor of the weight's shape later.
        like = own.get(key, weight)
        if isinstance(value, Tensor) and (like is None or isinstance(like, Tensor)):
            problem = _difference(value, weight if like is None else like)
        elif isinstance(like, Tensor) and key in own:
            problem = "must be a tensor"
        else:
            problem = "" if _is_alike(value, like) or key not in own else "has another type"
        if problem:
            _reject(path, f"{name}.{key!s:.50}", problem)


def _checked_group(path: str, saved: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    if not _has_texts(saved):
        _reject(path, "optimizer.param_groups", "must be dicts of settings")
    parameters = saved.get("params")
    if not isinstance(parameters, list) or not all(type(each) is int for each in parameters):
        _reject(path, "optimizer.param_groups.params", "must be numbers")
    if parameters != own["params"]:
        _reject(path, "optimizer.param_groups", "must have the parameters of this run")
    tensors = {key for key, value in own.items() if isinstance(value, Tensor)}
    others = {key: value for key, value in saved.items() if key not in tensors and key != "params"}
    require_plain(others, f"--resume {path}: optimizer.param_groups")
    for key, value in own.items():
        if key in tensors and (problem := _difference(saved.get(key), value)):
            _reject(path, f"optimizer.param_groups.{key}", problem)
        if key in others and not _is_alike(saved[key], value):
            _reject(path, f"optimizer.param_groups.{key}", "has another type")
    return {**own, **saved, **{key: own[key] for key in HOW if key in own}}


def _is_alike(saved: Any, own: Any) -> bool:
    """Whether a plain value has the type of another one; ``None`` stands for any."""
    if isinstance(own, (list, tuple)):
        return isinstance(saved, (list, tuple)) and len(saved) == len(own) and all(map(is_number, saved))
    if isinstance(own, (int, float)) and not isinstance(own, bool):
        return is_number(saved)
    return own is None or saved is None or isinstance(saved, type(own))
