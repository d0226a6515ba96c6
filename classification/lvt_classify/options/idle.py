"""Options that cannot act: each is named at the start of a command, by one table per command."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from timm.optim import get_optimizer_info

from lvt_classify.options.groups import TokenLabelOptions
from lvt_classify.options.parser import given


@dataclass(frozen=True)
class Idle:
    """Options that have no effect under a condition on the other options.

    Attributes:
        names: Names of the options.
        when: Condition under which they have no effect.
        why: End of the sentence, which begins with the options.
    """

    names: tuple[str, ...]
    when: Callable[[Any], Any]
    why: str


def _is_elsewhere(o: Any) -> bool:
    """Whether a resumed run's folder is not the one that the options name."""
    return bool(o.resume) and os.path.dirname(o.resume) != os.path.join(o.output, o.experiment)


def idle_options(options: Any, rules: Sequence[Idle]) -> list[str]:
    """Name the options that were set and have no effect, a sentence for each rule."""
    known = {item.name: item for item in fields(options)}
    sentences = []
    for rule in rules:
        flags = [_flag(known[name], options) for name in rule.names if _is_set(known[name], options)]
        if flags and rule.when(options):
            has = "has" if len(flags) == 1 else "have"
            sentences.append(f"{', '.join(flags)} {has} no effect {rule.why}")
    return sentences


def _is_set(item: Field, options: Any) -> bool:
    """Whether the command line names an option, or a file gives it another value than the default."""
    default = item.default if item.default_factory is MISSING else item.default_factory()
    return item.name in given(options) or getattr(options, item.name) != default


def _flag(item: Field, options: Any) -> str:
    off = item.default is True and getattr(options, item.name) is False
    return f"--{'no-' if off else ''}{item.name.replace('_', '-')}"


def _mixes(o: Any) -> bool:
    return o.mixup > 0 or o.cutmix > 0


def _optimizer_lacks(name: str) -> Callable[[Any], bool]:
    """Return the condition that the optimiser has no such setting."""

    def lacks(o: Any) -> bool:
        try:
            return not getattr(get_optimizer_info(o.opt.lower().split("_")[-1]), name)
        except ValueError:  # no such optimiser, which building it reports
            return False

    return lacks


SCHEDULE = (
    *("min_lr", "cooldown_epochs", "decay_epochs", "decay_milestones", "decay_rate"),
    *("warmup_epochs", "warmup_lr", "sched_on_updates"),
)
WARMUP = {"warmup_epochs", "warmup_lr", "sched_on_updates"}
CYCLE = {*WARMUP, "min_lr", "cooldown_epochs"}
ACTING = {  # options of timm's schedules
    "cosine": CYCLE,
    "tanh": CYCLE,
    "poly": CYCLE | {"decay_rate"},
    "step": WARMUP | {"decay_epochs", "decay_rate"},
    "multistep": WARMUP | {"decay_milestones", "decay_rate"},
    "constant": WARMUP,
    "none": set(),
}


def _schedule_rule(sched: str) -> Idle:
    names = tuple(name for name in SCHEDULE if name not in ACTING[sched])
    return Idle(names, lambda o: o.sched == sched, f"with --sched {sched}")


_TOKEN_LABELS = tuple(item.name for item in fields(TokenLabelOptions) if item.name != "token_label")
_AUGMENTATION = (
    "aa",
    "aug_order",
    "reprob",
    "hflip",
    "vflip",
    "scale",
    "ratio",
    "color_jitter",
    "remode",
    "recount",
)
_AMP = Idle(("amp_dtype",), lambda o: not o.amp, "without --amp")

TRAIN = (
    Idle(("experiment", "output"), _is_elsewhere, "with --resume, which stays in its folder"),
    Idle(("use_ema",), lambda o: not o.finetune, "without --finetune"),
    _AMP,
    Idle(("clip_mode",), lambda o: o.clip_grad is None, "without --clip-grad"),
    Idle(_AUGMENTATION, lambda o: not o.aug, "without augmentation (--no-aug is set)"),
    Idle(
        ("train_interpolation",),
        lambda o: not o.aug and o.train_interpolation == "random",
        "with --no-aug, which resamples all images alike",
    ),
    Idle(("color_jitter",), lambda o: o.aug and o.aa and "3a" not in o.aa, "with --aa, which replaces it"),
    Idle(("remode", "recount"), lambda o: o.aug and not o.reprob, "without --reprob"),
    Idle(
        ("mixup_prob", "mixup_mode", "mixup_off_epoch"),
        lambda o: not _mixes(o),
        "without --mixup or --cutmix",
    ),
    Idle(
        ("mixup_switch_prob",), lambda o: not (o.mixup > 0 and o.cutmix > 0), "without --mixup and --cutmix"
    ),
    Idle(("dist_bn",), lambda o: os.environ.get("WORLD_SIZE", "1") == "1", "on one process"),
    Idle(("model_ema_decay",), lambda o: not o.model_ema, "without --model-ema"),
    Idle(("wandb_project",), lambda o: not o.wandb, "without --wandb"),
    Idle(("momentum",), _optimizer_lacks("has_momentum"), "with this --opt, which has no momentum"),
    Idle(("opt_betas",), _optimizer_lacks("has_betas"), "with this --opt, which has no betas"),
    Idle(("opt_eps",), _optimizer_lacks("has_eps"), "with this --opt, which has no epsilon"),
    *(_schedule_rule(sched) for sched in ACTING),
    Idle(("warmup_lr",), lambda o: o.sched != "none" and not o.warmup_epochs, "without --warmup-epochs"),
    Idle(_TOKEN_LABELS, lambda o: not o.token_label, "without --token-label"),
    Idle(
        ("ground_truth",),
        lambda o: o.token_label and not (o.token_label_data or o.token_label_teacher),
        "without token labels of a teacher",
    ),
    Idle(
        ("ground_truth", "dense_weight"),
        lambda o: o.token_label and o.token_label_size == 1,
        "without labels per token",
    ),
    Idle(("teacher_checkpoint",), lambda o: o.token_label and not o.token_label_teacher, "without a teacher"),
    Idle(
        ("token_label_crop", "token_label_geometry"),
        lambda o: o.token_label and not o.token_label_data,
        "without --token-label-data",
    ),
)


def _is_program(o: Any) -> bool:
    return o.checkpoint.endswith(".pt2")


VALIDATE = (
    _AMP,
    Idle(("test_pool",), lambda o: o.test_pool, "because LVT has no test-time pooling"),
    Idle(("use_ema",), lambda o: not o.checkpoint, "without --checkpoint"),
    Idle(
        ("trust",),
        lambda o: not _is_program(o) and not os.path.isdir(o.checkpoint),
        "without a .pt2 program",
    ),
    Idle(
        ("model_kwargs", "use_ema", "compile", "channels_last", "num_classes"),
        _is_program,
        "on an exported program, which is as it was written",
    ),
)

GENERATE = (
    _AMP,
    Idle(
        ("crop_pct", "compile", "channels_last", "val_split"),
        lambda o: True,
        "on label maps; --view and --split say what is labelled",
    ),
)
