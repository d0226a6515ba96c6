"""Training tasks: the loss of a batch, and the options that belong to each task."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F

from lvt_classify.options.groups import TrainOptions
from lvt_classify.runtime import Runtime
from lvt_classify.token_labels.labels import Labels
from lvt_classify.training.tasks import ClassificationTask, TokenLabelTask, TrainingTask, task_type

HERE = Runtime(torch.device("cpu"), 0, 1, None)
SMALL: dict[str, Any] = {"depths": (1, 1, 1, 1), "embed_dims": (8, 8, 16, 16), "num_heads": (2, 2, 2, 2)}
TRUTH = torch.tensor([0, 1, 2, 3])


def options(**changes: Any) -> TrainOptions:
    return TrainOptions(data_dir="", num_classes=10, img_size=64, **changes)


def new_task(**changes: Any) -> TrainingTask:
    model = timm.create_model("lvt_cls", num_classes=10, **SMALL).eval()
    run = options(**changes)
    return task_type(run)(run, HERE, model)


def labels() -> Labels:
    return Labels(TRUTH, torch.eye(2, 3).repeat(4, 1, 1), None)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classification_is_cross_entropy(smoothing: float) -> None:
    task, images = new_task(smoothing=smoothing), torch.randn(4, 3, 64, 64)
    assert isinstance(task, ClassificationTask) and task.label_root == ""
    expected = F.cross_entropy(task.model(images), TRUTH, label_smoothing=smoothing)
    torch.testing.assert_close(task(images, labels()), expected)


def test_mixed_images_have_mixed_classes() -> None:
    task, images = new_task(mixup=1.0, smoothing=0.0), torch.randn(4, 3, 64, 64)
    mixed = images.clone()
    loss = task(mixed, labels())  # timm mixes in place
    share = ((mixed - images.flip(0)) / (images - images.flip(0))).median()
    target = share * F.one_hot(TRUTH, 10) + (1 - share) * F.one_hot(TRUTH.flip(0), 10)
    torch.testing.assert_close(loss, F.cross_entropy(task.model(mixed), target), rtol=1e-4, atol=1e-4)
    assert 0.01 < share < 0.99


@pytest.mark.parametrize("mix_token", [False, True])
def test_token_labels_weigh_tokens_and_class(mix_token: bool) -> None:
    task = new_task(token_label=True, mix_token=mix_token, smoothing=0.0, cls_weight=2.0, dense_weight=0.25)
    assert isinstance(task, TokenLabelTask)
    images, boxes = torch.randn(4, 3, 64, 64), []
    task.trainable_module.register_forward_pre_hook(lambda module, inputs: boxes.append(inputs[1]))
    loss = task(images, labels())
    output = task.model.forward_tokens(images, boxes[0])
    y0, x0, y1, x1 = boxes[0].tolist()
    share = 1 - (y1 - y0) * (x1 - x0) / output.tokens.shape[1]
    target = share * F.one_hot(TRUTH, 10) + (1 - share) * F.one_hot(TRUTH.flip(0), 10)
    tokens = TRUTH[:, None].expand(-1, output.tokens.shape[1])
    expected = 2 * F.cross_entropy(output.cls, target)
    expected += 0.25 * F.cross_entropy(output.tokens.flatten(0, 1), tokens.flatten())
    torch.testing.assert_close(loss, expected)
    assert mix_token or share == 1


def test_mixing_ends_at_its_epoch() -> None:
    task = new_task(mixup=1.0, mixup_off_epoch=3)
    for epoch in (2, 3):
        images = torch.randn(4, 3, 64, 64)
        mixed = images.clone()
        task.start_epoch(epoch)
        task(mixed, labels())
        assert torch.equal(images, mixed) == (epoch == 3)


def test_label_maps_belong_to_token_labels() -> None:
    assert new_task(token_label=True, token_label_data="maps").label_root == "maps"
    assert new_task(token_label_data="maps").label_root == ""
