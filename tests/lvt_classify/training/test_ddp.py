"""DistributedDataParallel as training builds it: buckets, and a static graph where it is correct."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist

from lvt_classify.options.groups import TrainOptions
from lvt_classify.runtime import Runtime
from lvt_classify.token_labels.labels import Labels
from lvt_classify.training.build import build_ddp, build_training

OPTIONS = TrainOptions(data_dir="", num_classes=1000, img_size=32, token_label=True)
RUNTIME = Runtime(torch.device("cpu"), 0, 1, None)


@pytest.fixture
def group(tmp_path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_gradients_travel_in_buckets_while_the_backward_pass_runs(group) -> None:
    training = build_training(OPTIONS, RUNTIME)
    ddp = training.task.trainable_module = build_ddp(OPTIONS, RUNTIME, training.task.trainable_module)
    training.model.train()
    labels = Labels(torch.zeros(2, dtype=torch.int64), torch.eye(2, 3).repeat(2, 1, 1), None)
    for step in range(6):  # the third lays out the buckets, in the order that the second found
        training.compute_loss(torch.randn(2, 3, 32, 32), labels, step).backward()
        training.update(list(training.model.parameters()))
    log = ddp._get_ddp_logging_data()
    assert log["static_graph"] and log["gradient_as_bucket_view"]
    sizes = [int(size) for size in log["rebuilt_bucket_sizes"].split(",")]
    assert sum(sizes) == 4 * 5_521_844 and len(sizes) == log["num_buckets_reduced"]
    assert sizes[-1] < 0.25 * sum(sizes)  # the backward pass cannot hide the last bucket


@pytest.mark.parametrize("change", [{"grad_accum_steps": 2}, {"compile": True}])
def test_the_graph_is_not_static_where_pytorch_loses_gradients(group, change: dict) -> None:
    options = dataclasses.replace(OPTIONS, **change)
    ddp = build_ddp(options, RUNTIME, torch.nn.Linear(2, 2))
    assert not ddp.static_graph
