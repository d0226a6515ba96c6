"""Training, built from its options: model, task, optimiser, schedule."""

from __future__ import annotations

from typing import Any

import torch
from timm.optim import create_optimizer_v2, optimizer_kwargs
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler_factory import scheduler_kwargs
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lvt_classify.data.classes import ClassIndex
from lvt_classify.models import check_image_size, load_weights, new_model
from lvt_classify.options.groups import TrainOptions
from lvt_classify.runtime import Runtime
from lvt_classify.seeds import seed_everything
from lvt_classify.training.engine import Training
from lvt_classify.training.quantization import make_quantization_aware, share_input_ranges
from lvt_classify.training.tasks import task_type
from lvt_core.checkpoint import facts_of, read_checkpoint
from lvt_core.errors import UserError

# The gradients take 22 MB. The last bucket should be small, because no backward pass is left to hide its
# sending; the buckets should be few, because each costs the network's latency (docs/scaling.md).
BUCKET_MB = 4


def build_training(options: TrainOptions, runtime: Runtime, classes: ClassIndex | None = None) -> Training:
    """Build the model, and everything that trains it but the schedule; `classes` are those of the run."""
    seed_everything(options.seed)  # equal weights on every rank
    model = build_model(options, classes).to(runtime.device)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
    if options.quantization_aware:
        make_quantization_aware(model)
    ema = ModelEmaV3(model, decay=options.model_ema_decay) if options.model_ema else None
    if ema is not None:
        share_input_ranges(model, ema.module)
    task = task_type(options)(options, runtime, model)
    if runtime.world > 1:
        task.trainable_module = build_ddp(options, runtime, task.trainable_module)
    if options.compile:  # after DDP, so that Dynamo splits the backward pass at DDP's buckets
        task.trainable_module = torch.compile(task.trainable_module)  # type: ignore[assignment]
    half = runtime.amp_dtype is torch.float16
    return Training(
        options=options,
        runtime=runtime,
        task=task,
        optimizer=build_optimizer(options, model),
        scheduler=None,
        scaler=torch.amp.GradScaler(runtime.device.type) if half else None,
        ema=ema,
    )


def build_model(options: TrainOptions, classes: ClassIndex | None = None) -> Any:
    """Build the model with the weights that training starts from.

    A classifier of other classes is initialised anew.

    Raises:
        UserError: There is no such model, or the checkpoint does not fit it.
    """
    rates: dict[str, Any] = {
        "drop_rate": options.drop,  # timm leaves out what is None: not every model takes all
        "attn_drop_rate": options.attn_drop,
        "drop_path_rate": options.drop_path,
    }
    model = new_model(options.model, options.model_kwargs, num_classes=options.num_classes, **rates)
    if options.finetune:
        content = read_checkpoint(options.finetune)
        known = facts_of(content, options.finetune).class_to_idx
        names = classes.class_to_idx if classes else None
        load_weights(
            model,
            options.finetune,
            content=content,
            use_ema=options.use_ema,
            reset_head=True,
            drop_head=None not in (known, names) and known != names,
        )
    check_image_size(model, options.model, options.img_size)
    if options.grad_checkpointing:
        enable_grad_checkpointing(model, options.model)
    return model


def enable_grad_checkpointing(model: Any, name: str) -> None:
    """Let a model recompute activations.

    Raises:
        UserError: The model does not support it.
    """
    message = f"--grad-checkpointing: {name} does not support it; leave it out"
    if not hasattr(model, "set_grad_checkpointing"):
        raise UserError(message)
    try:
        model.set_grad_checkpointing(True)
    except AssertionError as error:  # how timm's models without it say so
        raise UserError(message) from error


def build_ddp(
    options: TrainOptions, runtime: Runtime, model: nn.Module, bucket_mb: float = BUCKET_MB
) -> DistributedDataParallel:
    """Wrap a model in DDP, which sends each bucket of gradients while the backward pass computes the next.

    PyTorch's static graph loses gradients where some backward passes do not synchronise (its issue 143580),
    and Dynamo cannot trace it (torchdynamo's issue 1237).
    """
    return DistributedDataParallel(
        model,
        device_ids=[runtime.device.index] if runtime.device.type == "cuda" else None,
        bucket_cap_mb=bucket_mb,  # type: ignore[arg-type]
        gradient_as_bucket_view=True,
        static_graph=options.grad_accum_steps == 1 and not options.compile,
    )


def build_optimizer(options: TrainOptions, model: nn.Module) -> torch.optim.Optimizer:
    """Build timm's optimiser; Adam in its fused form, which passes over memory once.

    Raises:
        UserError: timm has no optimiser with this name, or it rejects a setting.
    """
    fused: dict[str, Any] = {"fused": True} if options.opt in ("adam", "adamw") else {}
    try:
        return create_optimizer_v2(model, **optimizer_kwargs(options), **fused)
    except (ValueError, TypeError, AssertionError, ImportError, RuntimeError) as error:
        raise UserError(f"--opt {options.opt}: {error}") from error


def build_scheduler(
    options: TrainOptions, optimizer: torch.optim.Optimizer, updates_per_epoch: int
) -> tuple[Any, int]:
    """Build timm's scheduler; return it and the number of epochs with the cool-down.

    Raises:
        UserError: timm has no scheduler with this name, or it rejects a setting.
    """
    if options.sched == "plateau":
        raise UserError(
            "--sched plateau: timm does not save its counters, so the run could not be resumed; choose "
            "another schedule"
        )
    try:
        return create_scheduler_v2(
            optimizer, **scheduler_kwargs(options), updates_per_epoch=updates_per_epoch
        )
    except (ValueError, AssertionError, RuntimeError) as error:
        raise UserError(f"--sched {options.sched}: {error}") from error
