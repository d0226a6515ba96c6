"""From options to a training: model, optimiser, loss, and what changes batches."""

from __future__ import annotations

from typing import Any

import torch
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2, optimizer_kwargs
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler_factory import scheduler_kwargs
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lvt_classify.data.dataset import class_names
from lvt_classify.models import load_weights, new_model
from lvt_classify.options.groups import TrainOptions
from lvt_classify.runtime import Runtime
from lvt_classify.seeds import seed_everything
from lvt_classify.token_labels.loss import TokenLabelLoss
from lvt_classify.token_labels.targets import Targets
from lvt_classify.token_labels.teacher import create_teacher
from lvt_classify.training.engine import TokenForward, Training
from lvt_classify.training.quantization import make_quantization_aware, share_input_ranges
from lvt_core.errors import UserError

# Of 22 MB of gradients. The last bucket is sent when no backward pass is left to hide it, so it should be
# small; each bucket costs the network's latency, so they should be few (docs/scaling.md).
BUCKET_MB = 4


def build_training(options: TrainOptions, runtime: Runtime) -> Training:
    """The model and all that acts on it."""
    seed_everything(options.seed)  # equal weights on every rank
    rates: dict[str, Any] = {
        "drop_rate": options.drop or None,  # timm leaves out what is None: not every model takes all
        "attn_drop_rate": options.attn_drop or None,
        "drop_path_rate": options.drop_path or None,
    }
    model = new_model(options.model, options.model_kwargs, num_classes=options.num_classes, **rates)
    size = check_tokens(options, model)
    if options.finetune:
        load_weights(model, options.finetune, use_ema=options.use_ema, reset_head=True)
    if options.grad_checkpointing:
        model.set_grad_checkpointing(True)
    model = model.to(runtime.device)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
    if options.quantization_aware:
        make_quantization_aware(model)
    ema = ModelEmaV3(model, decay=options.model_ema_decay) if options.model_ema else None
    if ema is not None:
        share_input_ranges(model, ema.module)
    forward: Any = TokenForward(model) if options.token_label else model
    if runtime.world > 1:
        forward = build_ddp(options, runtime, forward)
    if options.compile:
        forward = torch.compile(forward)  # of DDP, so that Dynamo splits the backward at its buckets
    teacher = None
    if options.token_label and options.token_label_teacher:
        teacher = create_teacher(
            options.token_label_teacher,
            num_classes=options.num_classes,
            checkpoint=options.teacher_checkpoint,
            img_size=options.img_size,
            device=runtime.device,
        )
    half = runtime.amp_dtype is torch.float16
    return Training(
        options=options,
        runtime=runtime,
        core=model,
        forward=forward,
        optimizer=build_optimizer(options, model),
        scheduler=None,
        scaler=torch.amp.GradScaler(runtime.device.type) if half else None,
        ema=ema,
        targets=Targets(options, student=model, num_classes=model.num_classes, size=size, teacher=teacher),
        loss=build_loss(options),
        mixup=build_mixup(options),
        erasing=build_erasing(options, runtime),
    )


def build_ddp(
    options: TrainOptions, runtime: Runtime, model: nn.Module, bucket_mb: float = BUCKET_MB
) -> DistributedDataParallel:
    """DDP that sends each bucket of gradients while the backward pass makes the next.

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
    """timm's optimiser of that name; Adam's fused form, one pass over memory, where there is one."""
    fused: dict[str, Any] = {"fused": True} if options.opt in ("adam", "adamw") else {}
    try:
        return create_optimizer_v2(model, **optimizer_kwargs(options), **fused)
    except (ValueError, TypeError, AssertionError) as error:
        raise UserError(f"--opt {options.opt}: {error}") from error


def build_scheduler(
    options: TrainOptions, optimizer: torch.optim.Optimizer, updates_per_epoch: int
) -> tuple[Any, int]:
    """timm's scheduler, and the number of epochs with its cool-down.

    Raises:
        UserError: There is none of that name, or it cannot work so.
    """
    if options.sched == "plateau":
        raise UserError("--sched plateau: its memory cannot be saved, so such a run could not be resumed")
    try:
        return create_scheduler_v2(
            optimizer, **scheduler_kwargs(options), updates_per_epoch=updates_per_epoch
        )
    except (ValueError, AssertionError, RuntimeError) as error:
        raise UserError(f"--sched {options.sched}: {error}") from error


def build_loss(options: TrainOptions) -> nn.Module:
    """The training loss that the options ask for."""
    if options.token_label:
        return TokenLabelLoss(
            dense_weight=options.dense_weight,
            cls_weight=options.cls_weight,
            ground_truth=options.ground_truth,
        )
    if options.mixup > 0 or options.cutmix > 0:
        return SoftTargetCrossEntropy()
    if options.smoothing > 0:
        return LabelSmoothingCrossEntropy(options.smoothing)
    return nn.CrossEntropyLoss()


def build_mixup(options: TrainOptions) -> Mixup | None:
    """timm's mixup and cutmix, or ``None``."""
    if options.mixup <= 0 and options.cutmix <= 0:
        return None
    return Mixup(
        mixup_alpha=options.mixup,
        cutmix_alpha=options.cutmix,
        prob=options.mixup_prob,
        switch_prob=options.mixup_switch_prob,
        mode=options.mixup_mode,
        label_smoothing=options.smoothing,
        num_classes=options.num_classes,
    )


def build_erasing(options: TrainOptions, runtime: Runtime) -> RandomErasing | None:
    """timm's random erasing, or ``None``."""
    if not options.aug or options.reprob == 0:
        return None
    return RandomErasing(
        options.reprob, mode=options.remode, max_count=options.recount, device=runtime.device
    )


def check_tokens(options: TrainOptions, model: Any) -> int:
    """Tokens per side, once it is sure that the model has as many.

    Raises:
        UserError: The model cannot be trained on tokens, or has another number of them.
    """
    if not options.token_label:
        return 1
    if not hasattr(model, "forward_tokens"):
        raise UserError(f"--token-label: needs --model lvt_cls, {options.model} has no token head")
    side, _ = model.token_grid(options.img_size, options.img_size)
    size = options.token_label_size or side
    if size not in (1, side):
        raise UserError(
            f"--token-label-size {size}: at --img-size {options.img_size} the model has {side} x "
            f"{side} tokens, so it must be {side}, or 1 for soft labels of the image only"
        )
    return size


def count_classes(options: TrainOptions, classes: list[str] | None, val_set: Any) -> int:
    """How many classes to train.

    Raises:
        UserError: The validation set has other classes, or `--num-classes` is too small.
    """
    val_classes = class_names(val_set)
    if classes and val_classes and classes != val_classes:
        other = sorted(set(classes) ^ set(val_classes))[:5]
        raise UserError(
            f"the training split has {len(classes)} classes, the validation split "
            f"{len(val_classes)}; in one only: {', '.join(other)}"
        )
    wanted = options.num_classes or (len(classes) if classes else 1000)
    if classes and wanted < len(classes):
        raise UserError(f"--num-classes {wanted}: the dataset has {len(classes)} classes")
    return wanted
