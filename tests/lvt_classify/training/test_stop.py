"""A signal ends a run with its step finished, the run saved, and an exit status of its own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from lvt_core.runs.stop import StopRequest
from tests.commands import TASK, run, train, train_command, weights
from tests.processes import stopped


def test_the_first_signal_asks_and_the_second_one_ends() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    with StopRequest() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop() and (stop.status, stop.name) == (130, "SIGINT")
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_continues_as_if_nothing_had_happened(
    folder: Path, tmp_path: Path, number: int
) -> None:
    options = ("--epochs", 6, "--model-ema", "--log-interval", 1)
    whole = train(folder, tmp_path / "whole", *options)
    command = train_command(folder, tmp_path / "parts", *options)
    assert "the run is saved" in stopped(command, TASK, after="epoch 1", number=number)
    last = tmp_path / "parts" / "run" / "last.pth.tar"
    assert torch.load(last, weights_only=True)["position"]["epoch"] < 6
    run(*train_command(folder, tmp_path / "parts", *options, "--resume", "auto"))
    for key in ("state_dict", "state_dict_ema"):
        first, second = weights(whole / "last.pth.tar", key), weights(last, key)
        assert all(torch.equal(first[name], second[name]) for name in first)
