"""Training tasks: the loss of a batch, and the options that apply to it, in the words of `timm.task`.

Legend: B batch, K classes, H W sides of the images.
"""

from __future__ import annotations

import abc
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import Tensor, nn

from lvt_classify.options.groups import TrainOptions
from lvt_classify.runtime import Runtime
from lvt_classify.token_labels.labels import Labels
from lvt_classify.token_labels.loss import TokenLabelLoss
from lvt_classify.token_labels.targets import TokenTargets, mix_targets
from lvt_classify.token_labels.teacher import Teacher, create_teacher
from lvt_core import TokenLogits
from lvt_core.errors import UserError


class TrainingTask(nn.Module, abc.ABC):
    """Base class of the tasks, which turn a batch of images and labels into its loss.

    Args:
        options: Options of the run; `check_train_options` has accepted them.
        runtime: Device and precision.
        model: Model to train, on its device.

    Attributes:
        trainable_module: Module that makes the outputs; DDP and ``torch.compile`` wrap it.
        label_root: Folder of label maps that the training data must carry; ``''`` for none.
    """

    label_root = ""

    def __init__(self, options: TrainOptions, runtime: Runtime, model: Any) -> None:
        super().__init__()
        self.options = options
        self.runtime = runtime
        self.model = model
        self.trainable_module: nn.Module = model
        self.mixup = build_mixup(options)
        self.erasing = build_erasing(options, runtime)

    @abc.abstractmethod
    def forward(self, images: Tensor, labels: Labels) -> Tensor:
        """Return the mean loss of a batch: images ``(B, 3, H, W)``, normalised, and their labels."""

    def start_epoch(self, epoch: int) -> None:
        """Turn mixup and cutmix off from ``--mixup-off-epoch`` on."""
        if self.mixup is not None and self.options.mixup_off_epoch:
            self.mixup.mixup_enabled = epoch < self.options.mixup_off_epoch

    def no_sync(self) -> AbstractContextManager:
        """Return a context without DDP's sum over processes; other modules never sum."""
        return getattr(self.trainable_module, "no_sync", nullcontext)()

    def _erase(self, images: Tensor) -> Tensor:
        return images if self.erasing is None else self.erasing(images)

    def _lay_out(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.options.channels_last else images


class ClassificationTask(TrainingTask):
    """One class per image: cross-entropy, smoothed or mixed."""

    def __init__(self, options: TrainOptions, runtime: Runtime, model: Any) -> None:
        super().__init__(options, runtime, model)
        self.criterion: nn.Module
        if self.mixup is not None:
            self.criterion = SoftTargetCrossEntropy()  # mixup smooths the labels
        elif options.smoothing > 0:
            self.criterion = LabelSmoothingCrossEntropy(options.smoothing)
        else:
            self.criterion = nn.CrossEntropyLoss()

    def forward(self, images: Tensor, labels: Labels) -> Tensor:
        images, targets = self._erase(images), labels.targets
        if self.mixup is not None:
            images, targets = self.mixup(images, targets)
        with self.runtime.autocast():
            logits = self.trainable_module(self._lay_out(images))
        return self.criterion(logits.float(), targets)


class TokenLabelTask(TrainingTask):
    """A soft label per token, with MixToken (Jiang et al. 2021).

    Args:
        options: Options of the run; `check_train_options` has accepted them.
        runtime: Device and precision.
        model: Model with a token head, such as ``lvt_cls``.

    Raises:
        UserError: The model has no token head or another number of tokens, or there is no such teacher.
    """

    def __init__(self, options: TrainOptions, runtime: Runtime, model: Any) -> None:
        super().__init__(options, runtime, model)
        size = count_tokens(options, model)
        self.label_root = options.token_label_data
        self.trainable_module = TokenForward(model)
        teacher: Teacher | None = None
        if options.token_label_teacher:
            teacher = create_teacher(
                options.token_label_teacher,
                num_classes=options.num_classes,
                checkpoint=options.teacher_checkpoint,
                img_size=options.img_size,
                device=runtime.device,
            )
        self.targets = TokenTargets(
            student=model,
            num_classes=model.num_classes,
            size=size,
            smoothing=options.smoothing,
            teacher=teacher.model if teacher else None,
            pictures=teacher.pictures if teacher else None,
            autocast=runtime.autocast,
        )
        self.criterion = TokenLabelLoss(
            dense_weight=options.dense_weight,
            cls_weight=options.cls_weight,
            ground_truth=options.ground_truth,
        )

    def forward(self, images: Tensor, labels: Labels) -> Tensor:
        target = self.targets(images, labels)  # a teacher sees the images before they are erased
        images = self._erase(images)
        if self.mixup is not None:
            share = self.mixup._mix_batch(images)  # in place; 1 where this batch is not mixed
            target = mix_targets(target, share)
        images = self._lay_out(images)
        with self.runtime.autocast():
            output = self.trainable_module(images, self._box(images))
        output = TokenLogits(output.cls.float(), output.tokens.float(), output.box)
        return self.criterion(output, target)

    def _box(self, images: Tensor) -> Tensor:
        """Draw MixToken's box; an empty one mixes nothing."""
        if self.options.mix_token:
            box = self.model.sample_box(*images.shape[-2:])
        else:
            box = torch.zeros(4, dtype=torch.int64)
        return box.to(images.device, non_blocking=True)


class TokenForward(nn.Module):
    """A classifier whose ``forward`` returns token logits: DDP and ``torch.compile`` wrap ``forward`` only.

    Args:
        model: Model with `forward_tokens`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, box: Tensor) -> Any:
        return self.model.forward_tokens(images, box)  # type: ignore[operator]


def task_type(options: TrainOptions) -> type[TrainingTask]:
    """Return the task that the options ask for."""
    return TokenLabelTask if options.token_label else ClassificationTask


def count_tokens(options: TrainOptions, model: Any) -> int:
    """Return the tokens per side: the model's, or 1 for soft labels of the image only.

    Raises:
        UserError: The model has no token head, or another number of tokens.
    """
    if not hasattr(model, "forward_tokens"):
        raise UserError(f"--token-label: requires --model lvt_cls; {options.model} has no token head")
    side, _ = model.token_grid(options.img_size, options.img_size)
    size = options.token_label_size or side
    if size not in (1, side):
        raise UserError(
            f"--token-label-size {size}: at --img-size {options.img_size} the model has {side} x "
            f"{side} tokens, so it must be {side}, or 1 for soft labels of the image only"
        )
    return size


def build_mixup(options: TrainOptions) -> Mixup | None:
    """Return timm's mixup and cutmix, or ``None`` where both are off."""
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
    """Return timm's random erasing, or ``None`` where it is off."""
    if not options.aug or options.reprob == 0:
        return None
    return RandomErasing(
        options.reprob, mode=options.remode, max_count=options.recount, device=runtime.device
    )
