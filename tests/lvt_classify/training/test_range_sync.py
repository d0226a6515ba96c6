"""Ranges of --quantization-aware on several processes: all ranks validate and save the same ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn

from lvt_classify.options.groups import TrainOptions
from lvt_classify.runtime import Runtime
from lvt_classify.training.engine import Training, average_statistics
from lvt_classify.training.quantization import InputRange

EXTREMES = ((-1.0, 5.0), (-3.0, 2.0))  # Computed by rank


def average_on_a_rank(rank: int, folder: str) -> None:
    """Give this rank its own range, as its last batch of training did, and save what validation sees."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    layer = InputRange()
    layer.extremes.copy_(torch.tensor(EXTREMES[rank]))
    task: Any = SimpleNamespace(model=nn.Sequential(layer, nn.ReLU()))
    options = TrainOptions(data_dir="", quantization_aware=True, dist_bn="none")
    runtime = Runtime(torch.device("cpu"), rank, 2, None)
    nothing: Any = None
    average_statistics(Training(options, runtime, task, nothing, None, None, None))
    torch.save(layer.extremes, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_ranges_of_all_processes_are_joined(tmp_path: Path) -> None:
    spawn(average_on_a_rank, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt", weights_only=True).tolist() == [-3.0, 5.0]
