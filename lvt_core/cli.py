"""The ``lvt`` command: predict, explain, doctor, info, convert, hub, export, delegates, recipe."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

import timm

from lvt_core import __version__
from lvt_core.checkpoint import convert_checkpoint, load_checkpoint
from lvt_core.checkpoint.arguments import add_use_ema
from lvt_core.complexity import complexity
from lvt_core.doctor.command import add_doctor, run_doctor
from lvt_core.errors import CommandParser, UserError, run_command
from lvt_core.explain.command import add_explain, run_explain
from lvt_core.export.command import run_delegates, run_export, run_recipe
from lvt_core.export.options import add_delegates, add_export, add_recipe
from lvt_core.hub.command import add_hub, run_hub
from lvt_core.predict.command import add_predict, run_predict


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the arguments and run the command.

    Raises:
        UserError: An argument or a file is wrong.
    """
    parser = CommandParser(prog="lvt", description=__doc__)
    parser.add_argument("--version", action="version", version=f"lvt {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=CommandParser)

    add_predict(commands.add_parser("predict", help="name what is in photos and videos; draw or write masks"))

    add_doctor(commands.add_parser("doctor", help="read a whole data set once, and list all defects"))

    info = commands.add_parser("info", help="parameters and multiply-adds of a model, by module")
    info.add_argument("model", help="lvt, lvt_cls, or any timm model")
    info.add_argument("--size", nargs="+", type=int, default=[224], metavar="PIXELS")
    info.add_argument("--depth", type=int, default=3, help="how deep to list modules")
    info.add_argument("--checkpoint", help="also check that it fits the model")

    convert = commands.add_parser(
        "convert", help="rewrite a checkpoint with our names or the original release's"
    )
    convert.add_argument("source", help="checkpoint: ours, or the original release's")
    convert.add_argument("target", help="ends in .pth, .pth.tar, .pt or .safetensors")
    convert.add_argument(
        "--to", choices=("lvt", "original"), default="lvt", help="names of the weights; default: lvt, ours"
    )
    convert.add_argument(
        "--backbone", action="store_true", help="only the backbone, from which dense tasks start"
    )
    add_use_ema(convert)

    add_explain(commands.add_parser("explain", help="show what the attention looks at in a photo, as a page"))
    add_hub(commands.add_parser("hub", help="write a checkpoint as a folder of the hub, with a model card"))
    add_export(
        commands.add_parser("export", help="write a network for another runtime, if its outputs agree")
    )
    add_delegates(
        commands.add_parser("delegates", help="list what accelerators' delegates leave to a runtime")
    )
    add_recipe(commands.add_parser("recipe", help="search which layers must stay in float in int8 (minutes)"))

    arguments = parser.parse_args(argv)
    runs = {
        "predict": run_predict,
        "info": _info,
        "convert": _convert,
        "explain": run_explain,
        "doctor": run_doctor,
        "export": run_export,
        "hub": run_hub,
        "delegates": run_delegates,
        "recipe": run_recipe,
    }
    runs[arguments.command](arguments)


def command() -> None:
    """Run the shell command; our notes go to the error stream."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("lvt_core").setLevel(logging.INFO)
    run_command(main)


def _info(arguments: argparse.Namespace) -> None:
    if len(arguments.size) > 2:
        raise UserError(f"--size {arguments.size}: must be a side, or height and width")
    try:
        model = timm.create_model(arguments.model)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{arguments.model}: {error}") from error
    if arguments.checkpoint:
        print(load_checkpoint(model, arguments.checkpoint))
    height, width = arguments.size[0], arguments.size[-1]
    print(f"{arguments.model}, one image of {height} x {width}")
    print(complexity(model, (height, width)).table(arguments.depth))


def _convert(arguments: argparse.Namespace) -> None:
    weights = convert_checkpoint(
        arguments.source,
        arguments.target,
        to=arguments.to,
        backbone=arguments.backbone,
        use_ema=arguments.use_ema,
    )
    params = sum(value.numel() for value in weights.values())
    print(f"{arguments.target}: {len(weights)} tensors, {params:,} values, {arguments.to} names")
