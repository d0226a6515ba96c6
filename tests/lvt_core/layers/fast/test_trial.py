"""A trial keeps kernels that are right and faster, and disturbs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lvt_core.layers.fast.csa_fused import TOLERANCES, portable, portable_backward
from lvt_core.layers.fast.trial import WINDOWS, Trial

FORMS: dict[str, Callable] = {"forward": portable, "backward": portable_backward}


class Machine:
    """Kernels, a clock and a capture state that a test sets."""

    def __init__(self, windows: int = WINDOWS) -> None:
        self.kernels = SimpleNamespace(**FORMS)
        self.milliseconds = [2.0, 1.0]  # portable form, kernels
        self.capturing = False
        self.timed = 0
        self.trial = Trial(
            FORMS,
            lambda: self.kernels,
            TOLERANCES,
            measure=self.measure,
            is_capturing=lambda: self.capturing,
            windows=windows,
        )

    def measure(self, calls: Any) -> list[float]:
        self.timed += 1
        return self.milliseconds

    def prefers(self, direction: str = "forward", batch: int = 1, side: int = 4) -> bool:
        logits = torch.randn(batch, (side + 1) // 2, (side + 1) // 2, 162)
        return self.trial.prefers_kernels(direction, torch.randn(batch, side, side, 64), logits, 2)


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_faster_kernels_are_kept_for_a_class_of_sizes(direction: str) -> None:
    machine = Machine()
    assert machine.prefers(direction) and machine.prefers(direction, side=3)  # 4 windows each
    assert machine.timed == 1
    machine.milliseconds = [1.0, 2.0]
    assert machine.prefers(direction)
    assert not machine.prefers(direction, batch=2) and machine.timed == 2


@pytest.mark.parametrize("fault", ["wrong", "raises", "missing"])
def test_faulty_kernels_are_not_used(fault: str) -> None:
    def broken(*args: Any) -> Tensor:
        if fault == "raises":
            raise RuntimeError("no such instruction")
        return portable(*args) + 1

    machine = Machine()
    machine.kernels = SimpleNamespace() if fault == "missing" else SimpleNamespace(forward=broken)
    assert not machine.prefers()


def test_memory_that_is_short_once_is_tried_again() -> None:
    def starving(*args: Any) -> Tensor:
        raise torch.OutOfMemoryError("no memory")

    machine = Machine()
    machine.kernels.forward = starving
    assert not machine.prefers()
    machine.kernels.forward = portable
    assert machine.prefers()


def test_nothing_is_tried_while_a_graph_is_captured() -> None:
    machine = Machine()
    machine.capturing = True
    assert not machine.prefers() and machine.timed == 0
    machine.capturing = False
    assert machine.prefers()
    machine.capturing = True
    assert machine.prefers()


@pytest.mark.usefixtures("deterministic")
def test_deterministic_runs_ignore_the_clock() -> None:
    machine = Machine()
    machine.milliseconds = [1.0, 2.0]
    assert machine.prefers() and machine.timed == 0


def test_a_trial_keeps_the_random_state_and_cuts_large_batches() -> None:
    sizes = []

    def spy(x: Tensor, *args: Any) -> Tensor:
        sizes.append(len(x))
        return portable(x, *args)

    machine = Machine(windows=8)
    machine.kernels.forward = spy
    x, logits = torch.randn(5, 4, 4, 64), torch.randn(5, 2, 2, 162)
    state = torch.get_rng_state()
    assert machine.trial.prefers_kernels("forward", x, logits, 2)
    assert sizes == [2] and torch.equal(torch.get_rng_state(), state)
