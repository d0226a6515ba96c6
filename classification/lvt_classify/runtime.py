"""Device, processes and precision of a command."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lvt_classify.options.groups import DeviceOptions
from lvt_core.errors import UserError
from lvt_core.runs.ranks import require_same_facts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """Device, processes and precision of a command.

    Attributes:
        device: Device of this process.
        rank: Number of this process, from 0.
        world: Number of processes.
        amp_dtype: Data type of mixed precision, or ``None``.
    """

    device: torch.device
    rank: int
    world: int
    amp_dtype: torch.dtype | None

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def autocast(self) -> AbstractContextManager:
        """Return a context of mixed precision, if it is on."""
        enabled = self.amp_dtype is not None
        return torch.autocast(self.device.type, dtype=self.amp_dtype, enabled=enabled)

    def sum(self, values: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            dist.barrier()

    def require_same(self, facts: Mapping[str, Any]) -> None:
        """Reject processes that differ in what all must share: they would wait for each other for ever.

        Args:
            facts: Values by their names for readers, in the same order in all processes.

        Raises:
            UserError: A process has another value than the first one.
        """
        if self.world == 1:
            return
        everywhere: list[Any] = [None] * self.world
        dist.all_gather_object(everywhere, dict(facts))
        require_same_facts(everywhere)

    def close(self) -> None:
        """Leave the process group."""
        if self.world > 1:
            dist.destroy_process_group()


class HostCopy:
    """A number that is copied from the device to the host asynchronously.

    Args:
        value: Tensor with one element.
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value.to("cpu", non_blocking=value.is_cuda)
        self.arrived = torch.cuda.Event() if value.is_cuda else None
        if self.arrived is not None:
            self.arrived.record()

    def read(self) -> float:
        """Wait until the number has arrived, not for work that was queued after it."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.value.item()


def start_runtime(options: DeviceOptions) -> Runtime:
    """Choose the device, join the processes that torchrun started, set up logging.

    Raises:
        UserError: The device does not exist, or does not support the precision.
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    rank = int(os.environ.get("RANK", 0))
    logging.basicConfig(format="%(message)s", level=logging.INFO if rank == 0 else logging.ERROR, force=True)
    # The gradient of a depthwise weight has two equally good memory layouts; DDP warns if it meets the other.
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    device = _device(options.device, world)
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
    return Runtime(device, rank, world, _amp_dtype(options, device))


def _device(name: str, world: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(
            f"--device {name}: unknown kind of device; choose auto, cpu, cuda, cuda:N or mps"
        ) from error
    if device.type == "cuda":
        index = int(os.environ.get("LOCAL_RANK", 0)) if world > 1 else device.index or 0
        count = torch.cuda.device_count()
        if index >= count:
            raise UserError(f"--device {name}: GPU {index} is unavailable; this machine has {count} GPUs")
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: unavailable on this machine")
    return device


def _amp_dtype(options: DeviceOptions, device: torch.device) -> torch.dtype | None:
    if not options.amp:
        return None
    if options.amp_dtype == "auto":
        half = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.float16 if half else torch.bfloat16
    dtype = getattr(torch, options.amp_dtype)
    if dtype is torch.float16 and device.type == "cpu":
        raise UserError("--amp-dtype float16: a CPU supports bfloat16 only")
    return dtype
