"""Checks of training options together: contradictions are rejected, idle options named."""

from __future__ import annotations

from timm.optim import get_optimizer_info

from lvt_classify.options.groups import TrainOptions
from lvt_classify.options.idle import TRAIN, idle_options
from lvt_core.errors import UserError


def check_train_options(options: TrainOptions) -> list[str]:
    """Name the options that have no effect.

    Raises:
        UserError: Two options contradict each other.
    """
    o = options
    if o.resume and o.finetune:
        raise UserError("--resume and --finetune: choose one; a run either continues or starts afresh")
    if o.quantization_aware and not (o.resume or o.finetune):
        raise UserError("--quantization-aware: requires trained weights to start from; add --finetune FILE")
    if o.quantization_aware and o.compile:
        raise UserError(
            "--compile: cannot be combined with --quantization-aware, which exchanges weights at run time"
        )
    if is_second_order(o.opt):
        raise UserError(f"--opt {o.opt}: needs second derivatives, which training does not compute")
    if len(o.scale) != 2 or o.scale[0] > o.scale[-1]:
        raise UserError(f"--scale {o.scale}: must be the smallest and the largest share, in this order")
    if len(o.ratio) != 2 or o.ratio[0] > o.ratio[-1] or o.ratio[0] <= 0:
        raise UserError(f"--ratio {o.ratio}: must be the smallest and the largest ratio, in this order")
    if o.warmup_epochs > o.epochs:
        raise UserError(f"--warmup-epochs {o.warmup_epochs}: must not exceed --epochs {o.epochs}")
    if o.token_label_data and o.token_label_teacher:
        raise UserError("--token-label-data and --token-label-teacher: choose one source of labels")
    if (o.mixup > 0 or o.cutmix > 0) and o.batch_size % 2:
        raise UserError(f"-b {o.batch_size}: must be even for --mixup and --cutmix")
    if o.token_label:
        check_token_label_options(o)
    return idle_options(o, TRAIN)


def check_token_label_options(options: TrainOptions) -> None:
    """Reject options that contradict token labels.

    Raises:
        UserError: Two options contradict each other.
    """
    o = options
    if o.cutmix > 0:
        raise UserError(
            f"--cutmix {o.cutmix}: cannot be combined with --token-label, whose MixToken cuts already"
        )
    if o.mixup > 0 and o.mixup_mode != "batch":
        raise UserError(f"--mixup-mode {o.mixup_mode}: must be batch with --token-label")
    if o.token_label_data and o.aa.startswith("augmix"):
        raise UserError(f"--aa {o.aa}: mixes several geometries, which no label map can follow")


def is_second_order(opt: str) -> bool:
    """Whether an optimiser of timm needs the Hessian."""
    try:
        return getattr(get_optimizer_info(opt.lower().split("_")[-1]), "second_order", "hessian" in opt)
    except ValueError:  # no such optimiser, which building it reports
        return False
