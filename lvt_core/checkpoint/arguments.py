"""Arguments of command lines that read checkpoints."""

from __future__ import annotations

import argparse


def add_use_ema(parser: argparse.ArgumentParser) -> None:
    """Declare ``--use-ema``, ``--no-use-ema``; without them the value is ``None``."""
    parser.add_argument(
        "--use-ema",
        action=argparse.BooleanOptionalAction,
        help="take the moving average of the weights; default: if the checkpoint has one",
    )
