"""Tests of the benchmarks' commands: each starts by its documented name and prints its help."""

from __future__ import annotations

import runpy
import sys
import warnings

import pytest

COMMANDS = (
    "benchmarks.run",
    "benchmarks.network",
    "benchmarks.network.segformer_head",
    "benchmarks.network.token_labels",
    "benchmarks.network.peers",
    "benchmarks.deploy",
    "benchmarks.deploy.label_map",
    "benchmarks.deploy.photos",
    "benchmarks.deploy.runtimes",
    "benchmarks.deploy.process_memory",
    "benchmarks.deploy.fresh_environments",
    "benchmarks.loader",
    "benchmarks.scaling",
    "benchmarks.gpu",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_prints_its_help(command: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", [command, "--help"])
    with warnings.catch_warnings(), pytest.raises(SystemExit, match="0"):
        warnings.simplefilter("ignore", RuntimeWarning)  # other tests have imported the module
        runpy.run_module(command, run_name="__main__")
    assert capsys.readouterr().out.startswith(f"usage: python -m {command} [")
